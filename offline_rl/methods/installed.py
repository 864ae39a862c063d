"""Methods of other installed packages: entry points of the group `offline_rl.methods`."""

import hashlib
import inspect
import os
import re
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import Field, TypeAdapter

from offline_rl.methods.base import Method
from offline_rl.methods.rft import Rft
from offline_rl.settings.training import TrainingSettings

GROUP = "offline_rl.methods"
_KIND = re.compile(r"[a-z][a-z0-9_]{0,63}")
_OURS = ("offline_rl", "data_gen", "losses", "eval")
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class Added:
    """A method of another package."""

    method: type[Method]
    package: str
    """Name and version."""
    sha256: str
    """Of all source files of the modules that the package brings, as they are when it is loaded."""

    @property
    def origin(self) -> str:
        return f"{self.package}, sha256 {self.sha256[:12]}"

    @property
    def code(self) -> dict[str, str]:
        """What a trained policy depends on."""
        return {"module": self.method.__module__, "source_sha256": self.sha256}


def installed_methods(taken: Collection[str]) -> tuple[dict[str, Added], dict[str, str]]:
    """The methods by their kinds, and by kind why another cannot be had.

    An entry point's name is the kind: `focal = "my_package.focal:Focal"`. `taken` are the kinds
    that no package may bring, and none may be brought by two. A package that does not load is a
    reason, and never an error.
    """
    found: dict[str, Added] = {}
    faults: dict[str, str] = {}
    brought: dict[str, list[tuple[EntryPoint, str]]] = {}
    for about, entry in _entries(faults):
        brought.setdefault(entry.name, []).append((entry, _package(about)))
    for name, offers in sorted(brought.items()):
        kind = _printable(name)
        entry, package = offers[0]
        where = _printable(" and ".join(f"{one.value} of {package}" for one, package in offers))
        try:
            if name in taken or len(offers) > 1:
                raise ValueError("a kind is one method's alone")
            found[kind] = _load(entry, package)
        # Foreign code may fail in any way, and ends nothing but its own method.
        except (Exception, SystemExit) as error:
            faults[kind] = f"{where}: {_told(error)}"
    return found, faults


def _entries(faults: dict[str, str]) -> Iterator[tuple[Distribution, EntryPoint]]:
    # Never of the current folder, where a stranger's files may lie.
    path = [one for one in sys.path if one and one != os.getcwd()]
    seen = set()
    for about in distributions(path=path):
        try:
            entries = about.entry_points.select(group=GROUP)
        except Exception as error:
            faults[f"({_package(about)})"] = f"its entry points: {_told(error)}"
            continue
        # As with imports, the first on the path is the one that counts.
        if entries and (name := _package(about).partition(" ")[0]) not in seen:
            seen.add(name)
            yield from ((about, entry) for entry in entries)


def _load(entry: EntryPoint, package: str) -> Added:
    if not _KIND.fullmatch(entry.name):
        raise ValueError("a kind is lower-case letters, digits and _, the first a letter")
    cls = entry.load()
    if not (isinstance(cls, type) and issubclass(cls, Method)):
        raise TypeError("it is no subclass of offline_rl.methods.Method")
    for fault in _faults(cls, entry.name):
        raise TypeError(fault)
    _check_settings(cls)
    return Added(cls, package, _source_hash(cls, entry))


def _faults(cls: type[Method], kind: str) -> Iterator[str]:
    """What is missing of all that the trainer and the settings count on."""
    if inspect.isabstract(cls):
        yield f"it does not define {', '.join(sorted(cls.__abstractmethods__))}"
    field = cls.model_fields["kind"]
    if get_args(field.annotation) != (kind,) or field.default != kind:
        yield f'it has no `kind: Literal["{kind}"] = "{kind}"`'
    if str(cls.per) not in ("token", "example"):
        yield "its `per` is none of token, example"
    if str(cls.learns_from) not in ("rollouts", "demonstrations"):
        yield "its `learns_from` is none of rollouts, demonstrations"
    if not str(cls.wants):
        yield "its `wants` does not say what an example is made of"
    if not cls.model_config.get("frozen") or cls.model_config.get("extra") != "forbid":
        yield "its `model_config` is not the one of Method"
    if cls.model_fields["training"].annotation is not TrainingSettings:
        yield "its `training` is not the one of Method"
    if both := sorted(cls.model_fields.keys() & TrainingSettings.model_fields.keys()):
        yield f"its {', '.join(both)} is a setting of `training`"


def _check_settings(cls: type[Method]) -> None:
    """Raises what the settings of every experiment would, were the method among the others."""
    TrainingSettings.model_validate(dict(cls.training_defaults))
    cls.model_rebuild()
    either: Any = Annotated[Rft | cls, Field(discriminator="kind")]
    TypeAdapter(either).json_schema()


def _source_hash(cls: type[Method], entry: EntryPoint) -> str:
    """Of the files of the modules that the package brings, and that its classes stand in."""
    files: dict[str, Path] = {}
    for name in sorted(_modules(cls, entry)):
        module = sys.modules.get(name)
        if module is not None and module.__file__ is not None:
            file = Path(module.__file__)
            inside = file.parent.rglob("*.py") if file.name == "__init__.py" else [file]
            above = file.parent.parent if file.name == "__init__.py" else file.parent
            files |= {str(one.relative_to(above)): one for one in inside}
    if not files:
        raise ValueError("it stands in no file")
    digest = hashlib.sha256()
    for name, one in sorted(files.items()):
        digest.update(f"{name}\0{hashlib.sha256(one.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _modules(cls: type[Method], entry: EntryPoint) -> set[str]:
    """The names at the top of the package's modules and of those of its class's ancestors."""
    classes = set(cls.__mro__) - set(Method.__mro__)
    names = {one.__module__ for one in classes}
    about = entry.dist
    if about is not None:
        names |= set((about.read_text("top_level.txt") or "").split())
        names |= {
            str(file).removesuffix(".py").partition("/")[0]
            for file in about.files or ()
            if file.suffix == ".py"
        }
    tops = {name.partition(".")[0] for name in names} - {*_OURS, ".."}
    # Made by pip for `-e`, with the path of the folder in it.
    return {name for name in tops if not name.startswith("__editable__")}


def _package(about: Distribution) -> str:
    try:
        return _printable(f"{about.metadata['Name']} {about.version}")
    # Whatever is wrong with what a package says of itself, its name is all that is lost.
    except Exception:
        return "a package without a name"


def _told(error: BaseException) -> str:
    return _printable(f"{type(error).__name__}: {error}")


def _printable(text: str) -> str:
    """One line of text that a terminal and a table can show."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return line[:_LONGEST]
