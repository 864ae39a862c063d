"""What a worker process may use: memory for its life, processor time for each task."""

import os
import resource
from collections.abc import Callable
from typing import Any, TypeVar

from data_gen.verifiers.pool import OUT_OF_MEMORY, Limits

Setup = TypeVar("Setup")
Task = TypeVar("Task")
Answer = TypeVar("Answer")


def _no_fault(setup: object) -> None:
    return None


def limited(
    handle: Callable[[Task], Answer], prepare: Callable[[Setup], str | None] = _no_fault
) -> Callable[[Any], Answer | str | None]:
    """`handle` for each task, under the limits of the first message, a `WorkerStart`.

    `prepare` gets its setup under those limits, and returns why the worker cannot work, or None.
    """
    cpu_seconds = 0

    def answer(message: Any) -> Answer | str | None:
        nonlocal cpu_seconds
        if "limits" in message:
            limits: Limits = message["limits"]
            cpu_seconds = limits["cpu_seconds"]
            size = limits["memory_megabytes"] << 20
            resource.setrlimit(resource.RLIMIT_AS, (size, size))
            return prepare(message["setup"])
        # The kernel ends a task that computes for too long even if the parent is gone.
        used = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
        resource.setrlimit(resource.RLIMIT_CPU, (used + cpu_seconds, resource.RLIM_INFINITY))
        try:
            return handle(message)
        except MemoryError:
            os._exit(OUT_OF_MEMORY)

    return answer
