"""Methods of other installed packages: entry points of the group `offline_rl.methods`."""

import inspect
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import EntryPoint, distributions
from typing import Annotated, Any, get_args

from pydantic import Field, TypeAdapter

from offline_rl.methods.base import Method
from offline_rl.methods.rft import Rft
from offline_rl.settings.training import TrainingSettings

GROUP = "offline_rl.methods"


@dataclass(frozen=True, slots=True)
class Added:
    """A method of another package, with the name and version of its distribution."""

    method: type[Method]
    package: str
    version: str

    @property
    def origin(self) -> str:
        return f"{self.package} {self.version}"

    @property
    def code(self) -> dict[str, str]:
        """What a trained policy depends on."""
        return {"package": self.package, "version": self.version}


def installed_methods(taken: Collection[str]) -> tuple[dict[str, Added], dict[str, str]]:
    """The methods by their kinds, and by kind why another is unavailable.

    An entry point's name is the kind: `focal = "my_package.focal:Focal"`. `taken` are the kinds
    that no package may bring, and none may be brought by two. A package that does not load is a
    reason, and never an error.
    """
    found: dict[str, Added] = {}
    faults: dict[str, str] = {}
    entries: list[EntryPoint] = []
    # As with imports, the first of a name on the path counts.
    for installed in {one.name: one for one in reversed(list(distributions()))}.values():
        try:
            entries += installed.entry_points.select(group=GROUP)
        except Exception as error:
            faults[f"({installed.name})"] = f"its entry points: {type(error).__name__}: {error}"
    count = Counter(entry.name for entry in entries)
    for entry in sorted(entries, key=lambda entry: entry.name):
        about = entry.dist
        assert about is not None  # a distribution's own entry points have it
        try:
            if entry.name in taken or count[entry.name] > 1:
                raise ValueError("another method has this kind")
            found[entry.name] = Added(_load(entry), about.name, about.version)
        # Code of others may fail in any way, and costs nothing but its own method.
        except (Exception, SystemExit) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            faults[entry.name] = f"{entry.value} of {about.name} {about.version}: {reason}"
    return found, faults


def _load(entry: EntryPoint) -> type[Method]:
    cls, kind = entry.load(), entry.name
    if not (isinstance(cls, type) and issubclass(cls, Method)):
        raise TypeError("it is not a subclass of offline_rl.methods.Method")
    if inspect.isabstract(cls):
        raise TypeError(f"it does not define {', '.join(sorted(cls.__abstractmethods__))}")
    field = cls.model_fields["kind"]
    if get_args(field.annotation) != (kind,) or field.default != kind:
        raise TypeError(f'it has no `kind: Literal["{kind}"] = "{kind}"`')
    if not isinstance(cls.training_defaults, TrainingSettings):
        raise TypeError("its training_defaults are not TrainingSettings")
    # Raises what the settings of every experiment would, with this method among the others.
    cls.model_rebuild()
    either: Any = Annotated[Rft | cls, Field(discriminator="kind")]
    TypeAdapter(either).json_schema()
    return cls
