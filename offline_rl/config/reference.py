"""Every setting with its default and meaning, read off the models that check them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import PydanticUndefined


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of a settings file. `default` is empty where leaving the key out means "off"."""

    name: str
    default: str
    meaning: str


def settings_reference(model: type[BaseModel]) -> list[Setting]:
    """The settings of a model and of what it holds, with dotted names, in their order.

    Where a section may be of several kinds, the kind stands in brackets: `sampler[vllm].dtype`;
    NAME stands for a name of one's own.
    What is held in several places is listed at the first.
    """
    return list(_settings(model, "", set()))


def _settings(
    model: type[BaseModel], prefix: str, listed: set[type[BaseModel]]
) -> Iterator[Setting]:
    for name, field in model.model_fields.items():
        if name == "kind":
            continue
        mapped = _mapped(field.annotation)
        held = [one for one in _models(mapped or field.annotation) if one not in listed]
        meaning = field.description or (_first_line(held[0]) if len(held) == 1 else "")
        default = field.get_default(call_default_factory=True)
        yield Setting(f"{prefix}{name}", _shown(default), meaning)
        listed.update(held)
        section = f"{prefix}{name}.NAME" if mapped else f"{prefix}{name}"
        for inner in held:
            kind = inner.model_fields.get("kind")
            place = f"{section}[{kind.default}]" if kind else section
            if kind:
                yield Setting(place, "", _first_line(inner))
            yield from _settings(inner, f"{place}.", listed)


def _mapped(annotation: Any) -> Any:
    """What the values of a mapping are; None for a field that is none."""
    while getattr(annotation, "__metadata__", None):
        annotation = annotation.__origin__
    return get_args(annotation)[1] if getattr(annotation, "__origin__", None) is dict else None


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models that a field may hold itself, not those in a list or mapping."""
    if isinstance(annotation, type):
        return [annotation] if issubclass(annotation, BaseModel) else []
    if getattr(annotation, "__origin__", None) in (dict, list, tuple):
        return []
    return [model for part in get_args(annotation) for model in _models(part)]


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().split("\n")[0]


def _shown(default: Any) -> str:
    if default is PydanticUndefined:
        return "required"
    if isinstance(default, BaseModel):
        return str(default.model_dump().get("kind", ""))
    if default is None or default == {} or default == ():
        return ""
    return default if isinstance(default, str) else json.dumps(default, default=str)
