"""Worker processes that may hang, run out of memory or crash, while every task gets its answer."""

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import Any, Generic, TypedDict, TypeVar

from data_gen.processes.child import Child, ChildDied
from data_gen.types import DataError

# A worker's exit code when a task needed more memory than it is allowed.
OUT_OF_MEMORY = 77

# Tasks that wait inside a worker, so that it never idles for the length of a round trip.
_TASKS_AHEAD = 16
# A worker takes a second to start, which is worth it for some dozens of tasks.
_TASKS_PER_WORKER = 32
_START_SECONDS = 120.0

Task = TypeVar("Task")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Failure:
    """A task that its worker did not survive."""

    reason: str


@dataclass(eq=False, slots=True)
class _Worker:
    child: Child
    tasks: deque[int] = field(default_factory=deque)
    head_since: float = 0.0


class Limits(TypedDict):
    """What a worker may use: memory for its life, processor time for each task."""

    memory_megabytes: int
    cpu_seconds: int


class WorkerStart(TypedDict):
    """The first message to a worker, answered by null, or by why the worker cannot work."""

    limits: Limits
    setup: object


class Pool(Generic[Task, Answer]):
    """Runs tasks in processes of `python -m module`, which answers each with a JSON value.

    A worker gets its limits and `setup` before its first task. As many workers as there are tasks
    for start, up to `workers`; None: one a core. A task that has not been answered
    `deadline_seconds` after its worker took it up costs that worker its life; the tasks behind it
    are given to another one. A worker that cannot work at all is a DataError.
    """

    def __init__(
        self,
        module: str,
        workers: int | None,
        deadline_seconds: float,
        memory_megabytes: int,
        setup: object = None,
    ) -> None:
        """`setup` is what the module's `prepare` gets."""
        limits = Limits(memory_megabytes=memory_megabytes, cpu_seconds=int(deadline_seconds) + 2)
        self._module = module
        self._first = WorkerStart(limits=limits, setup=setup)
        self._limit = workers or os.cpu_count() or 1
        self._deadline_seconds = deadline_seconds
        self._workers: list[_Worker] = []
        self._lock = threading.Lock()

    def start(self) -> None:
        """Starts a worker ahead of its first task. Raises DataError when it cannot work."""
        with self._lock:
            try:
                self._start_workers(1)
            except BaseException:
                self._kill_all()
                raise

    def map(self, tasks: Sequence[Task]) -> list[Answer | Failure]:
        """The answers in the order of the tasks, a `Failure` where the worker ended first."""
        with self._lock:
            try:
                return self._map(tasks)
            except BaseException:
                # Unread answers would be taken for those of the next call.
                self._kill_all()
                raise

    def close(self) -> None:
        with self._lock:
            self._kill_all()

    def _map(self, tasks: Sequence[Task]) -> list[Answer | Failure]:
        answers: list[Any] = [None] * len(tasks)
        waiting = deque(range(len(tasks)))
        while waiting or any(worker.tasks for worker in self._workers):
            self._start_workers(len(waiting))
            for worker in self._workers:
                self._hand_out(worker, waiting, tasks)
            for worker in self._answering():
                self._collect(worker, waiting, answers)
            self._end_overdue(waiting, answers)
        return answers

    def _start_workers(self, waiting: int) -> None:
        wanted = min(self._limit, -(-waiting // _TASKS_PER_WORKER))
        missing = range(wanted - len(self._workers))
        started = [
            Child(self._module, {"SYMPY_GROUND_TYPES": "python", "MPMATH_NOGMPY": "1"})
            for _ in missing
        ]
        self._workers += [_Worker(child) for child in started]
        for child in started:
            child.send(self._first)
        for child in started:
            fault = child.receive(_START_SECONDS)
            if fault is not None:
                raise DataError(fault)

    def _hand_out(self, worker: _Worker, waiting: deque[int], tasks: Sequence[Task]) -> None:
        while waiting and len(worker.tasks) < _TASKS_AHEAD:
            if not worker.tasks:
                worker.head_since = time.monotonic()
            task = waiting.popleft()
            worker.tasks.append(task)
            try:
                worker.child.send(tasks[task])
            except ChildDied:
                return  # `_collect` finds it dead and says why.

    def _answering(self) -> list[_Worker]:
        busy = {worker.child.connection: worker for worker in self._workers if worker.tasks}
        if not busy:
            return []
        first_end = min(worker.head_since for worker in busy.values()) + self._deadline_seconds
        patience = max(0.0, first_end - time.monotonic())
        ready = wait(busy, patience)
        return [worker for connection, worker in busy.items() if connection in ready]

    def _collect(self, worker: _Worker, waiting: deque[int], answers: list[Any]) -> None:
        try:
            answer = worker.child.receive(self._deadline_seconds)
        except (ChildDied, TimeoutError):
            answers[worker.tasks.popleft()] = Failure(_cause(worker.child.exit_code))
            self._replace(worker, waiting)
            return
        answers[worker.tasks.popleft()] = answer
        worker.head_since = time.monotonic()

    def _end_overdue(self, waiting: deque[int], answers: list[Any]) -> None:
        now = time.monotonic()
        for worker in list(self._workers):
            if not worker.tasks or now - worker.head_since < self._deadline_seconds:
                continue
            if worker.child.connection.poll():
                continue  # It has answered while this process was held up.
            answers[worker.tasks.popleft()] = Failure("time-out")
            self._replace(worker, waiting)

    def _replace(self, worker: _Worker, waiting: deque[int]) -> None:
        waiting.extendleft(reversed(worker.tasks))
        worker.child.kill()
        self._workers.remove(worker)

    def _kill_all(self) -> None:
        for worker in self._workers:
            worker.child.kill()
        self._workers.clear()


def _cause(exit_code: int | None) -> str:
    if exit_code == OUT_OF_MEMORY:
        return "out of memory"
    if exit_code is None or exit_code == -signal.SIGXCPU:
        return "time-out"
    return "verifier crashed"
