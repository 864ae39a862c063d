"""One pool of workers for all verifiers of a process that want the same kind of workers."""

import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from data_gen.verifiers.pool import Pool

_pools: dict[tuple[Any, ...], tuple[Pool, int]] = {}
_lock = threading.Lock()


class SharedPool:
    """A `Pool`, shared with every other one that was opened alike; the last to close ends it.

    A worker that has read some hundred answers knows their grammar and reads others in a tenth
    of the time, so that a second verifier does better with it than with workers of its own.
    """

    def __init__(
        self, module: str, limits: Mapping[str, int], workers: int, deadline_seconds: float
    ) -> None:
        # A forked process must not talk to its parent's workers.
        self._key = (os.getpid(), module, *limits.items(), workers, deadline_seconds)
        self._closed = False
        with _lock:
            if self._key not in _pools:
                _pools[self._key] = (Pool(module, {"setup": limits}, workers, deadline_seconds), 0)
            self._pool, users = _pools[self._key]
            _pools[self._key] = (self._pool, users + 1)

    def map(self, tasks: Sequence[Any]) -> list[Any]:
        """As `Pool.map`. Raises ValueError once this one is closed."""
        if self._closed:
            raise ValueError("the verifier is closed")
        return self._pool.map(tasks)

    def close(self) -> None:
        """Safe to call twice."""
        with _lock:
            if self._closed:
                return
            self._closed = True
            pool, users = _pools.pop(self._key)
            if users > 1:
                _pools[self._key] = (pool, users - 1)
                return
        pool.close()
