"""Settings files: YAML and dotted overrides to a checked Experiment, with errors in one line."""

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from data_gen.problems import ProblemSource
from offline_rl.config import Experiment
from offline_rl.data_settings import DataSettings, ModelSettings
from offline_rl.yaml_text import SettingsError as SettingsError
from offline_rl.yaml_text import check_values, parse_yaml, to_yaml

EXPERIMENTS = Path(str(resources.files("offline_rl"))) / "experiments"

# The keys that an experiment has and a data set has not.
_EXPERIMENT_KEYS = Experiment.model_fields.keys() - DataSettings.model_fields.keys()

S = TypeVar("S", bound=ModelSettings)


def shipped_experiments() -> dict[str, Path]:
    """The experiments that come with the package, by name."""
    return {path.stem: path for path in sorted(EXPERIMENTS.glob("*.yaml"))}


def load_experiment(path: str | Path, overrides: Sequence[str] = ()) -> Experiment:
    """Reads a settings file, or a shipped experiment by its name, and applies `key=value` ones.

    A value is read as YAML; a dotted key reaches inside. Of a file with several base models one is
    named by an override. Raises SettingsError.
    """
    raw, source = read_settings(path)
    apply(raw, overrides)
    if "models" in raw:
        if "model" not in raw:
            raise SettingsError(f"{source}models: several base models: name one with model=NAME")
        del raw["models"]
    return checked(Experiment, raw, (), source)


def data_settings_of(
    arguments: Sequence[str],
    *,
    model: str | None = None,
    problems: str | None = None,
    rollouts: str | None = None,
) -> DataSettings:
    """The settings of a data set alone, as a command line gives them.

    `arguments` are `key=value` settings, before which a settings file may be named: of a data set,
    or of a whole experiment. `model`, the source of `problems` and the path of `rollouts` take the
    place of the file's, or make a file needless. Raises SettingsError.
    """
    files = [one for one in arguments if "=" not in one or os.path.isfile(one)]
    if len(files) > 1 or (files and files[0] != arguments[0]):
        raise SettingsError(f"{files[-1]!r} is no setting: write key=value")
    origin = problems if rollouts is None else rollouts
    if not files and (model is None or origin is None):
        raise SettingsError("name a settings file, or give --model and --problems (or --rollouts)")
    raw, source = (
        read_settings(files[0]) if files else ({"name": label_of(Path(origin or "").stem)}, "")
    )
    if "models" in raw and model is None:
        raise SettingsError(f"{source}models: one data set is of one model: name it with --model")
    raw |= {} if model is None else {"model": model}
    raw.pop("models", None)
    if origin is not None:
        raw |= {
            "problems": None if problems is None else {"source": problems},
            "rollouts": None if rollouts is None else {"path": rollouts},
        }
    kind = Experiment if raw.keys() & _EXPERIMENT_KEYS else DataSettings
    return checked(kind, raw, arguments[len(files) :], source)


def label_of(name: str) -> str:
    """A label made of a name that may hold anything."""
    return re.sub(r"[^A-Za-z0-9_.=-]+", "-", name).strip("-_.=")[:64] or "unnamed"


def dump_settings(settings: DataSettings) -> str:
    """The settings as resolved, as YAML that is read back to the same value."""
    return to_yaml(settings_mapping(settings))


def settings_mapping(settings: DataSettings) -> dict[str, Any]:
    """The settings as resolved, in plain values that are read back to the same."""
    dumped = settings.model_dump(mode="json")
    # A default written out would overrule a preset's own settings when the file is read again.
    if settings.problems is not None:
        dumped["problems"] = settings.problems.model_dump(mode="json", exclude_unset=True)
    if settings.filters.decontaminate is not None:
        against = settings.filters.decontaminate.benchmarks
        dumped["filters"]["decontaminate"]["benchmarks"] = _as_given(against)
    if isinstance(settings, Experiment):
        dumped["evaluation"]["benchmarks"] = _as_given(settings.evaluation.benchmarks)
    return dumped


def _as_given(sources: Mapping[str, ProblemSource]) -> dict[str, Any]:
    return {
        name: source.model_dump(mode="json", exclude_unset=True) for name, source in sources.items()
    }


def read_settings(path: str | Path) -> tuple[dict[str, Any], str]:
    """What a settings file holds, and its name for messages. Raises SettingsError."""
    source = shipped_experiments().get(str(path), Path(path))
    try:
        text = source.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        known = ", ".join(shipped_experiments())
        raise SettingsError(
            f"{path}: cannot be read as a settings file ({_reason(error)}); shipped: {known}"
        ) from error
    try:
        raw = parse_yaml(text)
    except SettingsError as error:
        raise SettingsError(f"{source}: {error}") from error
    if not isinstance(raw, dict):
        raise SettingsError(f"{source}: holds no settings (`key: value` lines)")
    return raw, f"{source}: "


def checked(kind: type[S], raw: dict[str, Any], overrides: Sequence[str], source: str) -> S:
    """`raw` with overrides as settings; `source` stands before each fault. Raises SettingsError."""
    apply(raw, overrides)
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise SettingsError(source + explain(error, raw)) from error


def apply(raw: dict[str, Any], overrides: Sequence[str]) -> None:
    """Puts `dotted.key=value` settings into `raw`. Raises SettingsError."""
    for override in overrides:
        _override(raw, override)
    check_values(raw)


def explain(error: ValidationError, raw: Any) -> str:
    """A line for each fault: dotted path, what is wrong, the value, a likely spelling."""
    return "\n".join(_fault(dict(fault), raw) for fault in error.errors(include_url=False))


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
        place[parts[-1]] = parse_yaml(value)
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
    elif fault["loc"][-1:] == ("api_key_variable",):
        # Whoever writes the key itself there must not find it in a log.
        message = "the name of an environment variable that ends in _API_KEY is meant"
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
    known = _known_keys()
    close = difflib.get_close_matches(str(location[-1]), known, 1, 0.75)
    return f" (did you mean {close[0]}?)" if close else ""


@cache
def _known_keys() -> set[str]:
    return _keys(Experiment.model_json_schema())


def _keys(schema: Any) -> set[str]:
    if isinstance(schema, list):
        return set().union(*(_keys(part) for part in schema)) if schema else set()
    if not isinstance(schema, dict):
        return set()
    found = set(schema.get("properties", {}))
    return found.union(*(_keys(part) for part in schema.values()))


def _reason(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
