"""One experiment on several base models: a run for each, and one report on all."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from offline_rl.config.errors import Key, explain, validated
from offline_rl.config.schema import Experiment
from offline_rl.config.yaml_io import RawSettings, UsageError
from offline_rl.settings.base import Frozen, Label, Store, label_of
from offline_rl.settings.report import FORMATS, Format


class SeveralModels(Frozen):
    """Experiments by the names of their base models, in the order of the tables."""

    name: Label
    experiments: dict[Label, Experiment]
    store: Store = None
    """As of an experiment; those of the series are stored below it, by their labels."""

    @property
    def formats(self) -> tuple[Format, ...]:
        """Of the report on all: whatever one of the experiments asks for."""
        asked = {
            one for experiment in self.experiments.values() for one in experiment.report.formats
        }
        return tuple(one for one in FORMATS if one in asked)

    def stored_inside(self) -> list[str]:
        """The labels of the runs that lie below the store of the series."""
        return [
            label
            for label, one in self.experiments.items()
            if self.store is not None and one.store == _below(self.store, label)
        ]


def split_models(raw: RawSettings, source: str, given: Collection[Key]) -> SeveralModels:
    """The settings of a file `source` with `models`; keys in `given` are of the command line.

    `models` is a list of names or folders, or a mapping from labels of one's own to a name, or to
    settings of that model (`model`, and any other that differs from the rest of the file). Raises
    UsageError.
    """
    if "model" in raw:
        raise UsageError(f"{source}models: give either model or models")
    models = _by_label(raw["models"], source)
    store = raw.get("store")
    common = {key: value for key, value in raw.items() if key not in ("models", "name", "store")}
    experiments = {
        label: validated(
            Experiment,
            _merged(common, {**_stored(store, label), **own, "name": label}),
            source,
            _given_to(label, own, given),
            f"models.{label}: ",
        )
        for label, own in models.items()
    }
    try:
        return SeveralModels(name=raw.get("name"), experiments=experiments, store=store)
    except ValidationError as error:
        raise UsageError(explain(error, raw, source, given)) from error


def _given_to(label: str, own: RawSettings, given: Collection[Key]) -> set[Key]:
    """The keys of one model's settings that the command line sets."""
    if ("models",) in given or ("models", label) in given:
        return {*given, *((key,) for key in own)}
    return {*given, *(key[2:] for key in given if key[:2] == ("models", label))}


def _by_label(models: Any, source: str) -> dict[str, RawSettings]:
    if isinstance(models, list) and models and all(isinstance(one, str) for one in models):
        labels = [label_of(Path(one).name) for one in models]
        doubled = sorted({label for label in labels if labels.count(label) > 1})
        if doubled:
            raise UsageError(
                f"{source}models: several are called {doubled[0]}: write a mapping from labels of"
                " your own to models"
            )
        return {label: {"model": one} for label, one in zip(labels, models, strict=True)}
    if isinstance(models, dict) and models:
        return {
            label: {"model": one} if isinstance(one, str) else _own(one, label, source)
            for label, one in models.items()
        }
    raise UsageError(
        f"{source}models: neither a list of models nor a mapping from labels to models"
    )


def _own(settings: Any, label: str, source: str) -> RawSettings:
    if not isinstance(settings, dict):
        raise UsageError(f"{source}models.{label}: neither a model nor settings of one")
    return settings


def _stored(store: Any, label: str) -> dict[str, str]:
    """Where the run of one model is stored, below what is given for all."""
    return {"store": _below(store, label)} if isinstance(store, str) else {}


def _below(store: str, label: str) -> str:
    return f"{store.rstrip('/')}/{label}"


def _merged(common: RawSettings, own: RawSettings) -> RawSettings:
    """Settings with a model's own over them; mappings are merged, anything else is replaced."""
    merged = dict(common)
    for key, value in own.items():
        below = merged.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            value = _merged(below, value)
        merged[key] = value
    return merged
