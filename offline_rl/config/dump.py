"""Settings as YAML that is read back to the same value."""

import hashlib
from collections.abc import Mapping

from data_gen.problems.sources import ProblemSource
from offline_rl.config.schema import Experiment
from offline_rl.config.several_models import SeveralModels
from offline_rl.config.yaml_io import RawSettings, to_yaml
from offline_rl.settings.data import DataSettings


def dump_settings(settings: DataSettings) -> str:
    """The settings as resolved."""
    return to_yaml(_resolved(settings))


def settings_digest(settings: DataSettings) -> str:
    """A hash of the settings as resolved."""
    return hashlib.sha256(dump_settings(settings).encode()).hexdigest()


def dump_several_models(series: SeveralModels) -> str:
    """The settings of each model as resolved, under `models`."""
    models = {label: _resolved(one) for label, one in series.experiments.items()}
    stored = {} if series.store is None else {"store": series.store}
    return to_yaml({"name": series.name, **stored, "models": models})


def as_given(sources: Mapping[str, ProblemSource]) -> dict[str, RawSettings]:
    """Problem sources by name, each without its defaults."""
    return {
        name: source.model_dump(mode="json", exclude_unset=True) for name, source in sources.items()
    }


def _resolved(settings: DataSettings) -> RawSettings:
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
