"""The user's own verifier: a Python function, run in the worker processes."""

import os
import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Literal, TypedDict

from pydantic import Field

from data_gen.store.atomic_files import sha256
from data_gen.types import DataError, Label, Verdict
from data_gen.verifiers.base import OpenVerifier, Settings
from data_gen.verifiers.pool import Failure, Pool


class PythonSettings(Settings):
    """Calls `function`, given as "module.function", as f(gold, completion) for every pair.

    It returns True or False; or a reward, a finite number, whose label is "correct" from 1 on and
    "wrong" below; or a label ("correct", "wrong", "unverifiable"); or a `data_gen.types.Verdict`.
    Whatever it raises makes that one completion unverifiable. The module is found on Python's
    path, or in the current folder. It runs in processes with these limits, so it may hang or crash.
    """

    kind: Literal["python"] = "python"
    function: str = Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$", description="module.function")
    deadline_seconds: float = Field(
        default=8.0, gt=0, le=600, description="longest time for one call"
    )
    workers: int | None = Field(default=None, ge=1, description="processes; None: one a core")
    memory_megabytes: int = Field(default=4096, ge=512, description="limit of one worker")

    def open(self) -> "PythonVerifier":
        """Raises DataError when the module or the function does not exist, or cannot be loaded."""
        _source(self.function)
        return PythonVerifier(self)

    @property
    def description(self) -> dict[str, str]:
        """With a hash of the module's own file, so that a change in it is seen."""
        settings = super().description
        del settings["workers"]
        source = sha256(_source(self.function))
        return settings | {"source_sha256": source}


class FunctionSetup(TypedDict):
    """Which function is called, and the folder that its module may be found in besides."""

    function: str
    folder: str


class FunctionCall(TypedDict):
    """Its arguments."""

    gold: str
    completion: str


class VerdictFields(TypedDict):
    """A `data_gen.types.Verdict`."""

    label: Label
    reward: float
    reason: str
    answer: str


class PythonVerifier(OpenVerifier):
    def __init__(self, settings: PythonSettings) -> None:
        self._pool: Pool[FunctionCall, VerdictFields] = Pool(
            "data_gen.verifiers.python_function_worker",
            settings.workers,
            settings.deadline_seconds,
            settings.memory_megabytes,
            FunctionSetup(function=settings.function, folder=os.getcwd()),
        )
        self._pool.start()

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[Verdict]:
        calls = [FunctionCall(gold=gold, completion=completion) for gold, completion in pairs]
        return [_verdict(reply) for reply in self._pool.map(calls)]

    def close(self) -> None:
        self._pool.close()


def _verdict(reply: VerdictFields | Failure) -> Verdict:
    if isinstance(reply, Failure):
        return Verdict.unverifiable(reply.reason)
    return Verdict(**reply)


def _source(function: str) -> Path:
    """The file of a function's module, found without running anything of it."""
    module = function.rpartition(".")[0]
    # Never with the empty entry, which is the current folder at the front.
    path: list[str] | None = [*filter(None, sys.path), os.getcwd()]
    name, spec = "", None
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        spec = PathFinder.find_spec(name, path)
        if spec is None:
            break
        path = list(spec.submodule_search_locations or [])
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        raise DataError(
            f"verifier python:{function}: no module {module!r} on Python's path or in {os.getcwd()}"
        )
    return Path(spec.origin)
