"""Methods of other installed packages: entry points of the group `offline_rl.methods`."""

import hashlib
import inspect
import re
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import get_args

from offline_rl.methods.base import Method
from offline_rl.training_settings import TrainingSettings

GROUP = "offline_rl.methods"
_KIND = re.compile(r"[a-z][a-z0-9_]{0,63}")
_ONE_OF = {"per": ("token", "example"), "learns_from": ("rollouts", "demonstrations")}
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class Added:
    """A method of another package."""

    method: type[Method]
    package: str
    """Name and version."""
    sha256: str
    """Of the file that the class stands in, as it was when it was loaded."""

    @property
    def origin(self) -> str:
        return f"{self.package}, {self.method.__module__}, sha256 {self.sha256[:12]}"


def installed_methods(taken: Collection[str]) -> tuple[dict[str, Added], dict[str, str]]:
    """The methods by their kinds, and by kind why another cannot be had.

    An entry point's name is the kind: `focal = "my_package.focal:Focal"`. `taken` are the kinds
    that no package may bring. A package that fails to load is a reason, and never an error.
    """
    found: dict[str, Added] = {}
    faults: dict[str, str] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        kind = _printable(entry.name)
        try:
            if entry.name in taken or entry.name in found:
                raise ValueError("another method has this kind")
            found[kind] = _load(entry)
        # Foreign code may fail in any way, and ends nothing but its own method.
        except (Exception, SystemExit) as error:
            told = _printable(f"{type(error).__name__}: {error}")
            faults[kind] = f"{_printable(entry.value)} of {_package(entry)}: {told}"
    return found, faults


def _load(entry: EntryPoint) -> Added:
    if not _KIND.fullmatch(entry.name):
        raise ValueError("a kind is lower-case letters, digits and _, the first a letter")
    cls = entry.load()
    if not (isinstance(cls, type) and issubclass(cls, Method)):
        raise TypeError("it is no subclass of offline_rl.methods.Method")
    for fault in _faults(cls, entry.name):
        raise TypeError(fault)
    file = sys.modules[cls.__module__].__file__
    if file is None:
        raise ValueError("it stands in no file")
    return Added(cls, _package(entry), hashlib.sha256(Path(file).read_bytes()).hexdigest())


def _faults(cls: type[Method], kind: str) -> Iterator[str]:
    """What is missing of all that the trainer and the settings count on."""
    if inspect.isabstract(cls):
        yield f"it does not define {', '.join(sorted(cls.__abstractmethods__))}"
    field = cls.model_fields["kind"]
    if get_args(field.annotation) != (kind,) or field.default != kind:
        yield f'it has no `kind: Literal["{kind}"] = "{kind}"`'
    for name, allowed in _ONE_OF.items():
        if getattr(cls, name, None) not in allowed:
            yield f"its `{name}` is none of {', '.join(allowed)}"
    if not isinstance(getattr(cls, "wants", None), str):
        yield "it has no `wants`, a name for what an example is made of"
    TrainingSettings.model_validate(dict(cls.training_defaults))


def _package(entry: EntryPoint) -> str:
    about = entry.dist
    return "an unknown package" if about is None else _printable(f"{about.name} {about.version}")


def _printable(text: str) -> str:
    """One line of text that a terminal and a table can show."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return line[:_LONGEST]
