"""The finished evaluations of checkpoints that no experiment trained, as one value."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from data_gen.types import DataError
from eval.notes import Note
from offline_rl.artifacts.checksums import digest
from offline_rl.artifacts.provenance import public_name
from offline_rl.artifacts.records import EvaluationInfo, StoredLabel
from offline_rl.config.checkpoint_evaluation import (
    CheckpointEvaluation,
    command_of,
    read_labels,
    settings_of,
)
from offline_rl.config.yaml_io import to_yaml
from offline_rl.report import curves_table, data_table, training_table
from offline_rl.report.contents import RunResults
from offline_rl.results.merge import SEVERAL
from offline_rl.results.run_notes import benchmark_notes, damage_notes
from offline_rl.results.run_stages import RunStages
from offline_rl.stages.evaluate import evaluation_folder


def collect_checkpoints(folder: Path) -> RunResults:
    """What is finished in a folder of evaluated checkpoints. Raises DataError where nothing is."""
    known = read_labels(folder)
    stages = RunStages(folder)
    settings = {label: settings_of(label, one) for label, one in known.items()}
    model = _model_of(known, settings)
    samples = [
        one
        for n, label in settings.items()
        for one in stages.evaluations(label.evaluation, n, None, model=model)
    ]
    if not samples:
        raise DataError(f"{folder}: no finished evaluation yet, so there is nothing to compare")
    first = samples[0].evaluation.label
    benchmarks = dict.fromkeys(b for one in settings.values() for b in one.evaluation.benchmarks)
    return RunResults(
        name=folder.resolve().name,
        samples=tuple(samples),
        labels=tuple(label for n, one in settings.items() for label in one.evaluation.labels(n)),
        benchmarks=tuple(benchmarks),
        baseline=first,
        reference=first,
        training=training_table([], model=model),
        curves=curves_table([], model=model),
        data=data_table({}, model=model),
        summaries={},
        bases={model: _hash_of_weights(known)},
        hashes={},
        notes=(*damage_notes(stages.damaged), *dict.fromkeys(_notes(settings, stages))),
        failures={},
        environment={label: {**one.common["versions"]} for label, one in known.items()},
        settings=to_yaml({label: one.model_dump(mode="json") for label, one in known.items()}),
        command="\n".join(command_of(one) for one in settings.values()),
        among_untrained=True,
    )


def _notes(settings: Mapping[str, CheckpointEvaluation], stages: RunStages) -> Iterator[Note]:
    """What must be said of the evaluations, finished or not."""
    for name, one in settings.items():
        for benchmark in one.evaluation.benchmarks:
            for label in one.evaluation.decoded(name, benchmark):
                stage = stages.at(evaluation_folder(stages.folder, label, None, benchmark))
                if stage.manifest is None and stage.damage() is None:
                    text = f"{label} on {benchmark} is not finished: the same command goes on."
                    yield Note("missing", text)
                elif stage.damage() is None:
                    yield from benchmark_notes(stage.read(EvaluationInfo))


def _model_of(
    known: Mapping[str, StoredLabel], settings: Mapping[str, CheckpointEvaluation]
) -> str:
    """The model's name where all labels are of the same weights."""
    names = {public_name(one.model) for one in settings.values()}
    return names.pop() if len(names) == 1 and len(_weights(known)) == 1 else SEVERAL


def _weights(known: Mapping[str, StoredLabel]) -> set[str]:
    return {digest(one.common["model"]) for one in known.values()}


def _hash_of_weights(known: Mapping[str, StoredLabel]) -> str:
    distinct = _weights(known)
    return distinct.pop() if len(distinct) == 1 else digest(sorted(distinct))
