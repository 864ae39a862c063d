"""The settings of a model that is evaluated alone, and the file that keeps those of a folder."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError, field_validator, model_validator

from data_gen.types import DataError
from offline_rl.artifacts.records import EvaluatedLabels, StoredLabel
from offline_rl.config.errors import explain
from offline_rl.config.yaml_io import RawSettings
from offline_rl.settings.data import ModelSettings
from offline_rl.settings.evaluation import EvaluationSettings


class CheckpointEvaluation(ModelSettings):
    """One model on some benchmarks; `name` is its label in the tables."""

    evaluation: EvaluationSettings

    @model_validator(mode="after")
    def _one_sampler(self) -> "CheckpointEvaluation":
        if self.evaluation.sampler is not None:
            raise ValueError("evaluation.sampler: only one model is sampled here: set sampler")
        return self

    @field_validator("evaluation")
    @classmethod
    def _decoded_as_a_base(cls, value: EvaluationSettings) -> EvaluationSettings:
        every = {
            name: decoding.model_copy(update={"of": "all"})
            for name, decoding in value.decodings.items()
        }
        return value.model_copy(update={"decodings": every})


def read_labels(folder: Path) -> dict[str, StoredLabel]:
    """The labels of a folder, in the order they came; empty for a new one.

    Raises DamagedArtifact.
    """
    if not (folder / EvaluatedLabels.FILE).is_file():
        return {}
    return dict(EvaluatedLabels.read(folder).labels)


def settings_of(label: str, stored: StoredLabel) -> CheckpointEvaluation:
    """The settings of a label, as the folder keeps them. Raises DataError."""
    raw = {**stored.settings, "name": label}
    try:
        return CheckpointEvaluation.model_validate(raw)
    except ValidationError as error:
        raise DataError(f"{EvaluatedLabels.FILE}: {explain(error, raw)}") from error


def command_of(settings: CheckpointEvaluation) -> str:
    """What evaluates the label again; all that differs from the defaults is in it."""
    given = settings.model_dump(mode="json", exclude_unset=True)
    evaluation = given.pop("evaluation")
    benchmarks = {name: dict(one) for name, one in evaluation.pop("benchmarks").items()}
    words = ["offline-rl", "evaluate", "--model", given.pop("model"), "--label", given.pop("name")]
    words += ["--benchmarks", ",".join(benchmarks)]
    words += ["--k", str(evaluation["sampling"].pop("samples", 16)), "--out", "NEW_FOLDER"]
    for name, one in benchmarks.items():
        if one.get("source") == name:
            one.pop("source")
    evaluation["benchmarks"] = benchmarks
    usual = CheckpointEvaluation(name="x", model="x", evaluation=settings.evaluation)
    defaults = usual.model_dump(mode="json")
    changed = {name: value for name, value in given.items() if defaults[name] != value}
    return shlex.join(words + list(_overrides({**changed, "evaluation": evaluation})))


def _overrides(settings: RawSettings, path: str = "") -> Iterator[str]:
    """Settings as `dotted.key=value`."""
    for key, value in settings.items():
        place = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            yield from _overrides(value, place)
        elif value is not None:
            yield f"{place}={json.dumps(value)}"
