"""Verifiers: each judges (gold answer, completion) pairs; one file a kind."""

import atexit
import os
import threading
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from data_gen.types import Verdict
from data_gen.verifiers.base import OpenVerifier, Settings
from data_gen.verifiers.choice import ChoiceSettings
from data_gen.verifiers.exact import ExactSettings
from data_gen.verifiers.math import MathSettings
from data_gen.verifiers.numeric import NumericSettings
from data_gen.verifiers.python_function import PythonSettings

__all__ = ["VERIFIERS", "OpenVerifier", "Settings", "VerifierSettings", "named", "verify"]

VerifierSettings = Annotated[
    MathSettings | ExactSettings | NumericSettings | ChoiceSettings | PythonSettings,
    Field(discriminator="kind"),
]

VERIFIERS: dict[str, type[Settings]] = {
    "math": MathSettings,
    "exact": ExactSettings,
    "numeric": NumericSettings,
    "choice": ChoiceSettings,
    "python": PythonSettings,
}

_SETTINGS: TypeAdapter[Settings] = TypeAdapter(VerifierSettings)
_opened: dict[tuple[int, Settings], OpenVerifier] = {}
_lock = threading.Lock()


def named(value: Any) -> Any:
    """The settings that a verifier's short name stands for: "math", "python:module.function".

    Anything but a string is given back as it is.
    """
    if not isinstance(value, str):
        return value
    kind, colon, function = value.partition(":")
    return {"kind": kind, "function": function} if colon else {"kind": kind}


def verify(
    pairs: Sequence[tuple[str, str]], kind: str = "math", answer: str = "boxed", **settings: Any
) -> list[Verdict]:
    """One verdict for each (gold answer, completion text) pair, in the order given.

    `kind` names a verifier of `VERIFIERS`, or a function of your own as "python:module.function";
    `answer` says where the completion's answer is looked for ("boxed": its last box, "any": also a
    final statement outside of a box); `settings` are the further settings of that kind. Callable
    from a plain script and from any thread. Worker processes are kept for the next call and end
    with this process.
    """
    given = named(kind) | settings
    if answer != "boxed" or given["kind"] != "python":
        given["answer"] = answer
    return _shared(_SETTINGS.validate_python(given))(pairs)


def _shared(settings: Settings) -> OpenVerifier:
    # A forked process must not talk to its parent's workers.
    key = (os.getpid(), settings)
    with _lock:
        if key not in _opened:
            _opened[key] = settings.open()
        return _opened[key]


@atexit.register
def _close_shared() -> None:
    with _lock:
        for (owner, _), verifier in _opened.items():
            if owner == os.getpid():
                verifier.close()
        _opened.clear()
