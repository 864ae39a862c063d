"""Evaluates given models, without an experiment: each under a label, several beside each other."""

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError, field_validator, model_validator

from data_gen.types import DataError
from eval.evaluation import load_evaluation
from offline_rl.data_settings import ModelSettings
from offline_rl.environment import SAMPLING_PACKAGES, public_name, versions
from offline_rl.evaluation_settings import Evaluation
from offline_rl.files import write_atomically
from offline_rl.findings import SEVERAL, Findings, report_on
from offline_rl.gathering_notes import benchmark_notes, damage_notes
from offline_rl.locating import EVALUATION, REPORT
from offline_rl.progress import Progress, Silent
from offline_rl.report import (
    Report,
    Samples,
    curves_table,
    data_table,
    training_table,
    write_report,
)
from offline_rl.settings import explain
from offline_rl.stages import Stage, digest, first_change, holds
from offline_rl.steps.context import Run
from offline_rl.steps.evaluations import (
    Job,
    evaluation_folder,
    evaluation_inputs,
    evaluations_step,
    manners,
)
from offline_rl.work import at_work
from offline_rl.yaml_text import check_values, parse_yaml, to_yaml


class EvaluationSettings(ModelSettings):
    """One model on some benchmarks; `name` is its label in the tables."""

    evaluation: Evaluation

    @model_validator(mode="after")
    def _one_sampler(self) -> "EvaluationSettings":
        if self.evaluation.sampler is not None:
            raise ValueError("evaluation.sampler: only one model is sampled here: set sampler")
        return self

    @field_validator("evaluation")
    @classmethod
    def _decoded_as_a_base(cls, value: Evaluation) -> Evaluation:
        every = {
            name: decoding.model_copy(update={"of": "all"})
            for name, decoding in value.decodings.items()
        }
        return value.model_copy(update={"decodings": every})


def evaluate_alone(
    settings: EvaluationSettings, folder: Path, *, progress: Progress | None = None
) -> Report:
    """Evaluates the model on each benchmark, beside what the folder holds, and writes the report.

    What is finished is skipped, and a killed evaluation goes on where it was. Raises DataError
    where the label stands for other settings already: results of another model, prompt, sampling,
    verifier or version are not mixed under one label.
    """
    with at_work(settings, folder, progress or Silent()) as run:
        _evaluate(run)
        report = report_on(gather_alone(folder))
        write_report(folder / REPORT, report)
        return report


def _evaluate(run: Run[EvaluationSettings]) -> None:
    known = _read(run.folder)
    label = run.settings.name
    common = _common(run)
    if label in known:
        difference = first_change(known[label]["common"], json.loads(json.dumps(common)))
        if difference is not None:
            raise DataError(
                f"{run.folder}: {label} was evaluated otherwise before ({difference}): give this"
                " one a --label or an --out of its own"
            )
    jobs = _jobs(run)
    for job in jobs:
        conflict = job.stage.conflict()
        if conflict is not None:
            raise DataError(
                f"{job.stage.folder}: evaluated otherwise before ({conflict}): give this one a"
                " --label or an --out of its own"
            )
    if any(not job.stage.finished() for job in jobs):
        # A model that does not load leaves no label behind.
        run.engines.sampler(run.settings.model_path, run.settings.revision)
    _remember(run, known, common)
    evaluations_step(run, jobs)


def gather_alone(folder: Path) -> Findings:
    """All that is finished in a folder of `evaluate_alone`. Raises DataError where nothing is."""
    known = _read(folder)
    samples: list[Samples] = []
    notes: dict[str, None] = {}
    damaged: list[str] = []
    settings = {label: _settings(one["settings"]) for label, one in known.items()}
    model = _model_of(known, settings)
    for one in settings.values():
        for benchmark in one.evaluation.benchmarks:
            for label, manner in manners(one, one.name, benchmark).items():
                at = evaluation_folder(folder, label, None, benchmark)
                damage = Stage(at, {}).damage()
                if damage is not None:
                    damaged.append(f"{at.relative_to(folder)}: {damage}")
                    continue
                if not holds(at, manner.settings()):
                    notes[f"{label} on {benchmark} is not finished: the same command goes on."] = (
                        None
                    )
                    continue
                evaluation = load_evaluation(
                    at,
                    model=model,
                    label=label,
                    training_seed=None,
                    benchmark=benchmark,
                    temperature=manner.sampling.temperature,
                )
                samples.append(Samples(evaluation, at))
                notes |= dict.fromkeys(benchmark_notes(at, benchmark))
    if not samples:
        raise DataError(f"{folder}: no finished evaluation yet, so there is nothing to compare")
    first = samples[0].evaluation.label
    benchmarks = dict.fromkeys(b for one in settings.values() for b in one.evaluation.benchmarks)
    return Findings(
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
        notes=(*notes, *damage_notes(damaged)),
        failures={},
        environment={label: one["common"]["versions"] for label, one in known.items()},
        settings=to_yaml(known),
        command="\n".join(_command(one) for one in settings.values()),
        among_untrained=True,
    )


def _model_of(known: Mapping[str, Any], settings: Mapping[str, EvaluationSettings]) -> str:
    """The model's name where all labels are of the same weights."""
    names = {public_name(one.model) for one in settings.values()}
    return names.pop() if len(names) == 1 and len(_weights(known)) == 1 else SEVERAL


def _weights(known: Mapping[str, Any]) -> set[str]:
    return {digest(one["common"]["model"]) for one in known.values()}


def _hash_of_weights(known: Mapping[str, Any]) -> str:
    distinct = _weights(known)
    return distinct.pop() if len(distinct) == 1 else digest(sorted(distinct))


def _jobs(run: Run[EvaluationSettings]) -> list[Job]:
    settings = run.settings
    jobs = []
    for name, source in settings.evaluation.benchmarks.items():
        problems = run.problems(source)
        for label, manner in manners(settings, settings.name, name).items():
            folder = evaluation_folder(run.folder, label, None, name)
            stage = Stage(folder, evaluation_inputs(problems, manner, run.base))
            doubt = source.doubt(problems)
            jobs.append(Job(label, None, settings.model_path, name, problems, manner, stage, doubt))
    return jobs


def _common(run: Run[EvaluationSettings]) -> dict[str, Any]:
    """What every benchmark's samples under a label depend on."""
    settings = run.settings
    return {
        "model": run.base,
        "prompt": settings.prompt,
        "sampling": settings.evaluation.sampling.model_dump(mode="json"),
        "sampler": settings.sampler.result_settings,
        "verifier": settings.verifier.description,
        "versions": versions(SAMPLING_PACKAGES),
    }


def _remember(
    run: Run[EvaluationSettings], known: dict[str, Any], common: Mapping[str, Any]
) -> None:
    """Adds the label, or the benchmarks that are new under it, to the folder's settings."""
    settings = run.settings.model_dump(mode="json")
    benchmarks = {
        name: source.model_dump(mode="json", exclude_unset=True)
        for name, source in run.settings.evaluation.benchmarks.items()
    }
    if run.settings.name in known:
        before = known[run.settings.name]["settings"]["evaluation"]["benchmarks"]
        benchmarks = {**before, **benchmarks}
    settings["evaluation"]["benchmarks"] = benchmarks
    known[run.settings.name] = {"common": json.loads(json.dumps(common)), "settings": settings}
    text = to_yaml(known)
    write_atomically(run.folder / EVALUATION, text)


def _read(folder: Path) -> dict[str, Any]:
    """The labels of a folder with their settings, in the order they came; empty for a new one."""
    path = folder / EVALUATION
    if not path.is_file():
        return {}
    try:
        known = parse_yaml(path.read_text(encoding="utf-8"))
        check_values(known)
        json.dumps(known, allow_nan=False)
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: not readable ({' '.join(str(error).split())})") from error
    if not isinstance(known, dict) or not all(map(_is_told, known, known.values())):
        raise DataError(f"{path}: not the settings of evaluations")
    return dict(known)


def _is_told(label: Any, one: Any) -> bool:
    """Whether this is what `_remember` writes of a label."""
    whole = isinstance(one, dict) and all(
        isinstance(one.get(part), dict) for part in ("common", "settings")
    )
    return (
        whole
        and {"model", "versions"} <= one["common"].keys()
        and one["settings"].get("name") == label
        and isinstance(one["settings"].get("evaluation"), dict)
    )


def _settings(raw: Any) -> EvaluationSettings:
    try:
        return EvaluationSettings.model_validate(raw)
    except ValidationError as error:
        raise DataError(f"{EVALUATION}: {explain(error, raw)}") from error


def _command(settings: EvaluationSettings) -> str:
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
    usual = EvaluationSettings(name="x", model="x", evaluation=settings.evaluation)
    defaults = usual.model_dump(mode="json")
    changed = {name: value for name, value in given.items() if defaults[name] != value}
    return shlex.join(words + list(_overrides({**changed, "evaluation": evaluation})))


def _overrides(settings: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Settings as `dotted.key=value`."""
    for key, value in settings.items():
        place = f"{path}.{key}" if path else key
        if isinstance(value, Mapping):
            yield from _overrides(value, place)
        elif value is not None:
            yield f"{place}={json.dumps(value)}"
