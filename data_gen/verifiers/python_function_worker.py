"""The process that calls a user's own verifier, under limits on memory and time."""

import importlib
import math
import numbers
import sys
from collections.abc import Callable
from typing import Any

from data_gen.processes.child import serve
from data_gen.types import Verdict
from data_gen.verifiers.pool_limits import limited
from data_gen.verifiers.python_function import FunctionCall, FunctionSetup, VerdictFields

_LABELS = {
    "correct": Verdict("correct", 1.0),
    "wrong": Verdict("wrong", 0.0, "wrong"),
    "unverifiable": Verdict("unverifiable", 0.0, "unverifiable"),
}
_function: list[Callable[[str, str], Any]] = []


def _prepare(setup: FunctionSetup) -> str | None:
    """Loads the function, or returns why it cannot be called."""
    # Last, so that no file of the current folder stands in for an installed module.
    sys.path.append(setup["folder"])
    module_name, _, name = setup["function"].rpartition(".")
    where = f"verifier python:{setup['function']}"
    try:
        found = getattr(importlib.import_module(module_name), name, None)
    except Exception as error:
        return f"{where}: the module cannot be loaded: {_described(error)}"
    if not callable(found):
        return f"{where}: the module {module_name!r} has no function {name!r}"
    _function[:] = [found]
    return None


def _call(message: FunctionCall) -> VerdictFields:
    try:
        verdict = _verdict(_function[0](message["gold"], message["completion"]))
    except MemoryError:
        raise
    except Exception as error:
        verdict = Verdict.unverifiable(f"verifier raised {_described(error)}")
    return VerdictFields(
        label=verdict.label, reward=verdict.reward, reason=verdict.reason, answer=verdict.answer
    )


def _verdict(returned: Any) -> Verdict:
    if type(returned).__module__ == "numpy":
        returned = returned.item()
    if isinstance(returned, Verdict):
        if not math.isfinite(returned.reward):
            return Verdict.unverifiable("the reward is not finite", returned.answer)
        return returned
    if isinstance(returned, str) and returned in _LABELS:
        return _LABELS[returned]
    if isinstance(returned, numbers.Real):
        reward = float(returned)
        if not math.isfinite(reward):
            return Verdict.unverifiable("the reward is not finite")
        return (
            Verdict("correct", reward)
            if reward >= 1
            else Verdict("wrong", reward, "reward below 1")
        )
    return Verdict.unverifiable(f"verifier returned {type(returned).__name__}")


def _described(error: Exception) -> str:
    text = f"{type(error).__name__}: {error}"[:200]
    return "".join(character if character.isprintable() else " " for character in text)


if __name__ == "__main__":
    serve(limited(_call, _prepare))
