"""Settings files: YAML and dotted overrides to a checked Experiment, with errors in one line."""

import os
import re
from collections.abc import Collection, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from data_gen.problems.sources import ProblemSource
from offline_rl.config.errors import Key, explain, keys_given
from offline_rl.config.schema import Experiment
from offline_rl.config.yaml_io import UsageError as UsageError
from offline_rl.config.yaml_io import check_values, parse_yaml, to_yaml
from offline_rl.settings.data import DataSettings, ModelSettings

EXPERIMENTS = Path(str(resources.files("offline_rl"))) / "experiments"

# The keys that an experiment has and a data set has not.
_EXPERIMENT_KEYS = Experiment.model_fields.keys() - DataSettings.model_fields.keys()

S = TypeVar("S", bound=ModelSettings)
M = TypeVar("M", bound=BaseModel)


def shipped_experiments() -> dict[str, Path]:
    """The experiments that come with the package, by name."""
    return {path.stem: path for path in sorted(EXPERIMENTS.glob("*.yaml"))}


def load_experiment(path: str | Path, overrides: Sequence[str] = ()) -> Experiment:
    """Reads a settings file, or a shipped experiment by its name, and applies `key=value` ones.

    A value is read as YAML; a dotted key reaches inside. Of a file with several base models one is
    named by an override. Raises UsageError.
    """
    raw, source = read_settings(path)
    apply(raw, overrides)
    if "models" in raw:
        if "model" not in raw:
            raise UsageError(f"{source}models: several base models: name one with model=NAME")
        del raw["models"]
    return validated(Experiment, raw, source, keys_given(overrides))


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
    place of the file's, or make a file needless. Raises UsageError.
    """
    files = [one for one in arguments if "=" not in one or os.path.isfile(one)]
    if len(files) > 1 or (files and files[0] != arguments[0]):
        raise UsageError(f"{files[-1]!r} is no setting: write key=value")
    origin = problems if rollouts is None else rollouts
    if not files and (model is None or origin is None):
        raise UsageError("name a settings file, or give --model and --problems (or --rollouts)")
    raw, source = (
        read_settings(files[0]) if files else ({"name": label_of(Path(origin or "").stem)}, "")
    )
    if "models" in raw and model is None:
        raise UsageError(f"{source}models: one data set is of one model: name it with --model")
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
        dumped["filters"]["decontaminate"]["benchmarks"] = as_given(against)
    if isinstance(settings, Experiment):
        dumped["evaluation"]["benchmarks"] = as_given(settings.evaluation.benchmarks)
    return dumped


def as_given(sources: Mapping[str, ProblemSource]) -> dict[str, Any]:
    """Problem sources by name, each without its defaults."""
    return {
        name: source.model_dump(mode="json", exclude_unset=True) for name, source in sources.items()
    }


def read_settings(path: str | Path) -> tuple[dict[str, Any], str]:
    """What a settings file holds, and its name for messages. Raises UsageError."""
    source = shipped_experiments().get(str(path), Path(path))
    try:
        text = source.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        known = ", ".join(shipped_experiments())
        raise UsageError(
            f"{path}: cannot be read as a settings file ({_reason(error)}); shipped: {known}"
        ) from error
    try:
        raw = parse_yaml(text)
    except UsageError as error:
        raise UsageError(f"{source}: {error}") from error
    if not isinstance(raw, dict):
        raise UsageError(f"{source}: holds no settings (`key: value` lines)")
    return raw, f"{source}: "


def checked(kind: type[S], raw: dict[str, Any], overrides: Sequence[str], source: str) -> S:
    """`raw` from a file `source` with overrides, as settings. Raises UsageError."""
    apply(raw, overrides)
    return validated(kind, raw, source, keys_given(overrides))


def apply(raw: dict[str, Any], overrides: Sequence[str]) -> None:
    """Puts `dotted.key=value` settings into `raw`. Raises UsageError."""
    for override in overrides:
        _override(raw, override)
    check_values(raw)


def validated(
    kind: type[M], raw: Mapping[str, Any], source: str, given: Collection[Key], within: str = ""
) -> M:
    """`raw` as settings; the other arguments are those of `explain`. Raises UsageError."""
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise UsageError(explain(error, raw, source, given, within)) from error


def _override(raw: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    parts = key.split(".")
    if not equals or not all(parts):
        raise UsageError(f"{override!r} is no override: write key=value, for example seeds=[0]")
    place = raw
    for part in parts[:-1]:
        below = place.get(part)
        if below is None:
            below = place[part] = {}
        if not isinstance(below, dict):
            raise UsageError(f"{key}: {part} is a single value here and has no keys")
        place = below
    try:
        place[parts[-1]] = parse_yaml(value)
    except UsageError as error:
        raise UsageError(f"{key}: {error}") from error


def _reason(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
