"""What every kind of verifier shares: its settings, and the opened verifier."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from data_gen.processes.closing import Closing
from data_gen.types import Verdict


class OpenVerifier(Closing):
    """A verifier in use; a context manager, because it may hold worker processes.

    Calls from several threads are safe, and every call gives the verdicts of its own pairs.
    """

    @abstractmethod
    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[Verdict]:
        """Judges (gold answer, completion text) pairs, one verdict a pair, in the order given."""


class Settings(BaseModel, ABC):
    """The settings of one kind of verifier; each kind adds `kind`, its name in a settings file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @abstractmethod
    def open(self) -> OpenVerifier:
        """The verifier with these settings; close it, or use it in a `with` block."""

    @property
    def description(self) -> dict[str, str]:
        """What a verdict depends on: the settings and the versions of the libraries behind them."""
        return {name: str(value) for name, value in self.model_dump().items()}
