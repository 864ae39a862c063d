"""The one entrance for settings: YAML, options and overrides to checked values."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TypeVar, overload

from offline_rl.config.errors import keys_given, validated
from offline_rl.config.schema import Experiment
from offline_rl.config.several_models import SeveralModels, split_models
from offline_rl.config.yaml_io import RawSettings, check_values, parse_yaml
from offline_rl.config.yaml_io import UsageError as UsageError
from offline_rl.settings.data import DataSettings, ModelSettings

EXPERIMENTS = Path(str(resources.files("offline_rl"))) / "experiments"

# The keys that an experiment has and a data set has not.
_EXPERIMENT_KEYS = Experiment.model_fields.keys() - DataSettings.model_fields.keys()

S = TypeVar("S", bound=ModelSettings)


def shipped_experiments() -> dict[str, Path]:
    """The experiments that come with the package, by name."""
    return {path.stem: path for path in sorted(EXPERIMENTS.glob("*.yaml"))}


@overload
def load(
    path: str | Path | None,
    overrides: Sequence[str],
    kind: type[SeveralModels],
    options: RawSettings | None = None,
) -> Experiment | SeveralModels: ...


@overload
def load(
    path: str | Path | None,
    overrides: Sequence[str],
    kind: type[S],
    options: RawSettings | None = None,
) -> S: ...


def load(
    path: str | Path | None,
    overrides: Sequence[str],
    kind: type[ModelSettings | SeveralModels],
    options: RawSettings | None = None,
) -> ModelSettings | SeveralModels:
    """The settings in a file, or in a shipped experiment by its name; without one, in the rest.

    `options`, which a command's options give, replace whole keys of the file. Each of `overrides`
    is `dotted.key=value`, with the value as YAML, and replaces what it names in either.
    SeveralModels is for files with `models` or with `model`. Any other kind is of one model, which
    an option or override must name where the file has several; DataSettings of an experiment's file
    are an Experiment. Raises UsageError with a line for each fault.
    """
    raw, source = ({}, "") if path is None else read_settings(path)
    options = options or {}
    raw |= options
    for override in overrides:
        _apply(override, raw)
    check_values(raw)
    given = {*keys_given(overrides), *((key,) for key in options)}
    if issubclass(kind, SeveralModels):
        if "models" in raw:
            return split_models(raw, source, given)
        kind = Experiment
    if issubclass(kind, DataSettings):
        if "models" in raw and "model" not in raw:
            raise UsageError(f"{source}models: several base models: name one with model=NAME")
        raw.pop("models", None)
        kind = Experiment if raw.keys() & _EXPERIMENT_KEYS else kind
    return validated(kind, raw, source, given)


def load_experiment(path: str | Path, overrides: Sequence[str] = ()) -> Experiment:
    """The experiment of a settings file, or a shipped one by its name. Raises as `load`."""
    return load(path, overrides, Experiment)


def read_settings(path: str | Path) -> tuple[RawSettings, str]:
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


def _apply(override: str, raw: RawSettings) -> None:
    """Puts a `dotted.key=value` setting into `raw`."""
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
