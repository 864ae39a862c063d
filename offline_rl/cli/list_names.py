"""What a settings file can name, with a line of meaning for each."""

from collections.abc import Callable, Mapping

from data_gen.problems.arithmetic import SPLITS
from data_gen.problems.presets import PRESETS
from data_gen.samplers import SAMPLERS
from data_gen.verifiers import VERIFIERS
from offline_rl.config.load import shipped_experiments
from offline_rl.config.reference import settings_reference
from offline_rl.config.schema import Experiment
from offline_rl.config.yaml_io import UsageError
from offline_rl.methods import Method
from offline_rl.methods.registry import ADDED, FAULTS, METHODS
from offline_rl.settings.training import LENGTHS, TrainingSettings, resolve_training

Rows = list[tuple[str, str]]


def listing(what: str) -> Rows:
    """Names and meanings. Raises DataError for something that has no list."""
    lists: dict[str, Callable[[], Rows]] = {
        "methods": _methods,
        "problems": _problems,
        "benchmarks": _benchmarks,
        "verifiers": lambda: _classes(VERIFIERS),
        "samplers": lambda: _classes(SAMPLERS),
        "experiments": _experiments,
        "settings": _settings,
    }
    if what not in lists:
        raise UsageError(f"{what!r} has no list: choose one of {', '.join(lists)}")
    return lists[what]()


def _methods() -> Rows:
    rows = []
    for name, method in METHODS.items():
        defaults = training_defaults(method)
        origin = f" Of {ADDED[name].origin}." if name in ADDED else ""
        rows.append((name, f"{_first_line(method)}{origin} Trained by default with {defaults}."))
    return rows + [(kind, f"cannot be had: {fault}") for kind, fault in FAULTS.items()]


def training_defaults(method: type[Method]) -> str:
    """Rate and length of a training that nobody has set, and whatever else its paper has."""
    defaults = method.training_defaults
    settings = resolve_training(defaults, TrainingSettings(), TrainingSettings()).of_weights()
    shown = dict.fromkeys(("lr", *LENGTHS, "examples_per_step", *defaults.written()))
    return ", ".join(
        f"{name} {_short(settings[name])}" for name in shown if settings.get(name) is not None
    )


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _classes(classes: Mapping[str, type]) -> Rows:
    return [(name, _first_line(cls)) for name, cls in classes.items()]


def _first_line(cls: type) -> str:
    first, *_ = [*(cls.__doc__ or "").strip().splitlines(), ""]
    return first


def _problems() -> Rows:
    arithmetic = f"the built-in task; splits {', '.join(SPLITS)}"
    return [
        ("arithmetic", arithmetic),
        *((name, str(preset.settings["source"])) for name, preset in PRESETS.items()),
    ]


def _benchmarks() -> Rows:
    return [
        (name, f"{preset.rows:,} problems, {preset.settings['source']}")
        for name, preset in PRESETS.items()
        if preset.held_out
    ]


def _experiments() -> Rows:
    rows = []
    for name, path in shipped_experiments().items():
        first = path.read_text(encoding="utf-8").splitlines()[0]
        rows.append((name, first.removeprefix("#").strip()))
    return rows


def _settings() -> Rows:
    return [
        (one.name, f"{one.meaning} [{one.default}]" if one.default else one.meaning)
        for one in settings_reference(Experiment)
    ]
