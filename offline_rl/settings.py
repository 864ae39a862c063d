"""Settings files: YAML and dotted overrides to a checked Experiment, with errors in one line."""

import difflib
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from data_gen.types import DataError
from offline_rl.config import Experiment

EXPERIMENTS = Path(str(resources.files("offline_rl"))) / "experiments"


class SettingsError(DataError):
    """Settings that cannot be used; a line for each fault, with the dotted path."""


class _Loader(yaml.SafeLoader):
    """YAML's safe loader that refuses a key given twice and reads 1e-5 as a number."""


def _mapping(loader: _Loader, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            raise SettingsError(
                f"line {key_node.start_mark.line + 1}: {key_node.value!r} is read as {key!r}:"
                " write the key in quotes"
            )
        if key in seen:
            raise SettingsError(f"line {key_node.start_mark.line + 1}: {key!r} stands twice")
        seen.add(key)
    return yaml.SafeLoader.construct_mapping(loader, node, deep)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def shipped_experiments() -> dict[str, Path]:
    """The experiments that come with the package, by name."""
    return {path.stem: path for path in sorted(EXPERIMENTS.glob("*.yaml"))}


def load_experiment(path: str | Path, overrides: Sequence[str] = ()) -> Experiment:
    """Reads a settings file, or a shipped experiment by its name, and applies `key=value` ones.

    A value is read as YAML; a dotted key reaches inside. Raises SettingsError.
    """
    source = shipped_experiments().get(str(path), Path(path))
    try:
        text = source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        known = ", ".join(shipped_experiments())
        raise SettingsError(
            f"{path}: cannot be read as a settings file ({_reason(error)}); shipped: {known}"
        ) from error
    try:
        raw = _parse(text)
    except SettingsError as error:
        raise SettingsError(f"{source}: {error}") from error
    if not isinstance(raw, dict):
        raise SettingsError(f"{source}: holds no settings (`key: value` lines)")
    for override in overrides:
        _override(raw, override)
    try:
        return Experiment.model_validate(raw)
    except ValidationError as error:
        raise SettingsError(f"{source}: " + explain(error, raw)) from error


def dump_experiment(experiment: Experiment) -> str:
    """The settings as resolved, as YAML that `load_experiment` reads back to the same value."""
    settings = experiment.model_dump(mode="json")
    # A default written out would overrule a preset's own settings when the file is read again.
    if experiment.problems is not None:
        settings["problems"] = experiment.problems.model_dump(mode="json", exclude_unset=True)
    settings["evaluation"]["benchmarks"] = {
        name: source.model_dump(mode="json", exclude_unset=True)
        for name, source in experiment.evaluation.benchmarks.items()
    }
    return yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)


def explain(error: ValidationError, raw: Any) -> str:
    """A line for each fault: dotted path, what is wrong, the value, a likely spelling."""
    return "\n".join(_fault(dict(fault), raw) for fault in error.errors(include_url=False))


def _parse(text: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (a subclass of the safe loader)
    except yaml.YAMLError as error:
        raise SettingsError(f"not valid YAML: {' '.join(str(error).split())}") from error
    except (RecursionError, ValueError) as error:
        if isinstance(error, SettingsError):
            raise
        raise SettingsError(f"not valid YAML: {_reason(error)}") from error


def _override(raw: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    parts = key.split(".")
    if not equals or not all(parts):
        raise SettingsError(f"{override!r} is no override: write key=value, for example seeds=[0]")
    place = raw
    for part in parts[:-1]:
        below = place.get(part)
        if below is None:
            below = place[part] = {}
        if not isinstance(below, dict):
            raise SettingsError(f"{key}: {part} is a single value here and has no keys")
        place = below
    try:
        place[parts[-1]] = _parse(value)
    except SettingsError as error:
        raise SettingsError(f"{key}: {error}") from error


def _fault(fault: dict[str, Any], raw: Any) -> str:
    message = fault["msg"].removeprefix("Value error, ")
    kind = fault["type"]
    if kind == "extra_forbidden":
        message = "unknown key" + _suggestion(fault["loc"])
    elif kind == "missing":
        message = "this key is missing"
    elif kind == "union_tag_not_found":
        message = "this needs a `kind` (offline-rl list methods)"
    elif kind == "union_tag_invalid":
        message = f"there is no kind {fault['ctx']['tag']!r}, only {fault['ctx']['expected_tags']}"
    elif isinstance(fault["input"], str | int | float | None) and kind != "value_error":
        message += f" (got {fault['input']!r})"
    path = _path(fault["loc"], raw, names_absent_key=kind in ("extra_forbidden", "missing"))
    return f"{path}: {message}" if path else message


def _path(location: Sequence[str | int], raw: Any, names_absent_key: bool) -> str:
    """The dotted path as written in the file: pydantic's names of union members left out."""
    kept: list[str] = []
    place: Any = raw
    for position, part in enumerate(location):
        inside = isinstance(place, dict) and part in place
        if inside or (isinstance(place, list) and isinstance(part, int) and part < len(place)):
            place = place[part]
        elif not (names_absent_key and position == len(location) - 1):
            continue
        kept.append(str(part))
    return ".".join(kept)


def _suggestion(location: Sequence[str | int]) -> str:
    known = _keys(Experiment.model_json_schema())
    close = difflib.get_close_matches(str(location[-1]), known, 1, 0.75)
    return f" (did you mean {close[0]}?)" if close else ""


def _keys(schema: Any) -> set[str]:
    if isinstance(schema, list):
        return set().union(*(_keys(part) for part in schema)) if schema else set()
    if not isinstance(schema, dict):
        return set()
    found = set(schema.get("properties", {}))
    return found.union(*(_keys(part) for part in schema.values()))


def _reason(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
