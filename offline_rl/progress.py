"""How a run tells what it is doing: to nobody, or to a terminal."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.progress import Task as BarTask
from rich.text import Text

from offline_rl.redaction import redacted


class Task(Protocol):
    """A piece of work; its length may become known with an update, or never."""

    def update(self, done: int, total: int | None = None, note: str = "") -> None: ...


class Progress(Protocol):
    """Where a run reports to; `unit` is what a task's length is counted in, in the plural."""

    def say(self, line: str) -> None: ...

    def task(self, title: str, unit: str) -> AbstractContextManager[Task]: ...


class Silent:
    """Reports nothing; its own task."""

    def say(self, line: str) -> None: ...

    def update(self, done: int, total: int | None = None, note: str = "") -> None: ...

    @contextmanager
    def task(self, title: str, unit: str) -> Iterator[Task]:
        yield self


class Lines:
    """Passes lines on and shows no bars: for work that goes on beside other work."""

    def __init__(self, inner: Progress) -> None:
        self._inner = inner

    def say(self, line: str) -> None:
        self._inner.say(line)

    @contextmanager
    def task(self, title: str, unit: str) -> Iterator[Task]:
        yield Silent()
        self._inner.say(f"{title}: done")


class Terminal:
    """A line for each stage, and a bar with rate and remaining time while one is at work.

    Where the output is no terminal, the bar is left out and a line says when the work is done.
    """

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, line: str) -> None:
        self._console.print(Text(printable(line)), soft_wrap=True)

    @contextmanager
    def task(self, title: str, unit: str) -> Iterator[Task]:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            _RateColumn(),
            TextColumn("{task.fields[note]}", markup=False),
        )
        bars = Bars(
            *columns,
            console=self._console,
            transient=True,
            refresh_per_second=4,
            disable=not self._console.is_terminal,
        )
        task = _Bar(bars, bars.add_task(printable(title), total=None, note=""))
        started = time.monotonic()
        with bars:
            yield task
        seconds = time.monotonic() - started
        rate = f" ({task.done / seconds:,.0f} a second)" if task.done >= seconds else ""
        note = f", {task.note}" if task.note else ""
        self.say(f"{title}: {task.done:,} {unit} in {seconds:.0f} s{rate}{note}")


class _RateColumn(ProgressColumn):
    """How much is done in a second."""

    def render(self, task: BarTask) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


class _Bar:
    def __init__(self, bars: Bars, number: TaskID) -> None:
        self._bars = bars
        self._number = number
        self.done = 0
        self.note = ""

    def update(self, done: int, total: int | None = None, note: str = "") -> None:
        self.done = done
        self.note = note
        self._bars.update(self._number, completed=done, total=total, note=printable(note))


def printable(text: str) -> str:
    """The text without secrets and characters that steer a terminal or turn the writing."""
    return "".join(
        c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in redacted(text)
    )
