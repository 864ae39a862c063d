"""What holds something to be given back: a context manager that closes at its end."""

from abc import ABC, abstractmethod
from typing import Self


class Closing(ABC):
    """`with thing:` calls `thing.close()` at the end, whatever happens inside."""

    @abstractmethod
    def close(self) -> None:
        """Frees what is held. Safe to call twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
