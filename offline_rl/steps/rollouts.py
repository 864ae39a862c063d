"""The rollouts that all methods learn from: sampled and verified here, or brought along."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_gen.card import dataset_card, summarise
from data_gen.collection import collect
from data_gen.importing import import_rollouts
from data_gen.problems import LoadedProblems
from data_gen.samplers.tokenizer import load_tokenizer
from data_gen.storage import save_rollouts
from data_gen.types import DataError, Problem, Rollout
from offline_rl.environment import SAMPLING_PACKAGES, path_fingerprint, versions
from offline_rl.stages import Stage, digest
from offline_rl.steps.context import ABOUT, Run, sampled_with

SUMMARY = "summary.json"


def rollouts_step(run: Run) -> Stage:
    """The finished stage that holds the rollouts."""
    experiment = run.experiment
    if experiment.rollouts is not None:
        stage = _import_stage(run, experiment.rollouts)
        if run.is_needed(stage):
            with stage.work() as folder:
                _import(run, experiment.rollouts, folder)
        return stage
    if experiment.problems is None:
        raise DataError("neither problems nor rollouts: nothing to sample for or to learn from")
    loaded = run.load(experiment.problems)
    stage = _sampling_stage(run, loaded.problems)
    if run.is_needed(stage):
        with stage.work() as folder:
            _sample(run, loaded, folder)
    return stage


def rollouts_folder(folder: Path) -> Path:
    """Where a run keeps its rollouts."""
    return folder / "rollouts"


def read_summary(folder: Path) -> dict[str, Any]:
    """The counts of a run's finished rollouts."""
    text = (rollouts_folder(folder) / SUMMARY).read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def _sampling_stage(run: Run, problems: Sequence[Problem]) -> Stage:
    experiment = run.experiment
    inputs = {
        "model": run.base,
        "problems": digest([[p.id, p.prompt, p.answer, p.solution] for p in problems]),
        "prompt": experiment.prompt,
        "sampling": experiment.sampling.model_dump(mode="json"),
        "sampler": experiment.sampler.model_dump(mode="json"),
        "verifier": experiment.verifier.description,
        "versions": versions(SAMPLING_PACKAGES),
    }
    return Stage(rollouts_folder(run.folder), inputs)


def _import_stage(run: Run, path: str) -> Stage:
    inputs = {
        "model": run.base,
        "imported": path_fingerprint(path),
        "prompt": run.experiment.prompt,
        "verifier": run.experiment.verifier.description,
        "versions": versions(("offline-rl", "transformers", "tokenizers")),
    }
    return Stage(rollouts_folder(run.folder), inputs)


def _sample(run: Run, loaded: LoadedProblems, folder: Path) -> None:
    experiment, problems = run.experiment, loaded.problems
    sampling = experiment.sampling
    sampler = run.engines.sampler(experiment.model_path, experiment.revision)
    fitting, too_long = sampler.fitting(problems)
    if too_long:
        run.progress.say(f"{len(too_long)} of {len(problems)} prompts exceed the context, left out")
    if not fitting:
        raise DataError(
            f"every one of the {len(problems)} prompts is longer than the model's context: take"
            " other problems, another model or a shorter prompt"
        )
    sampled_with(run.engines.description, folder)
    done, accepted = 0, 0
    with run.progress.task("sample rollouts") as task:

        def on_chunk(rollouts: list[Rollout]) -> None:
            nonlocal done, accepted
            done += len(rollouts)
            accepted += sum(rollout.verdict.label == "correct" for rollout in rollouts)
            task.update(done, len(fitting) * sampling.samples, f"{accepted / done:.1%} correct")

        rollouts = collect(fitting, sampler, run.verify, sampling, folder=folder, on_chunk=on_chunk)
    about = {
        "model": experiment.model,
        "revision": experiment.revision,
        "prompt": experiment.prompt,
        "sampling": sampling.model_dump(mode="json"),
        "engine": run.engines.description,
        "verifier": experiment.verifier.description,
    }
    summary = summarise(rollouts, left_out=too_long, dropped=loaded.dropped)
    _describe(run, summary, about, folder)


def _import(run: Run, path: str, folder: Path) -> None:
    experiment = run.experiment
    tokenizer = load_tokenizer(experiment.model_path, experiment.revision)
    rollouts = import_rollouts(
        Path(path), tokenizer=tokenizer, style=experiment.prompt, verify=run.verify
    )
    save_rollouts(rollouts, folder / "part-00000.parquet")
    about = {
        "imported": Path(path).name,
        "prompt": experiment.prompt,
        "verifier": experiment.verifier.description,
    }
    _describe(run, summarise(rollouts), about, folder)


def _describe(run: Run, summary: Mapping[str, Any], about: Mapping[str, Any], folder: Path) -> None:
    (folder / SUMMARY).write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    (folder / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    card = dataset_card(run.experiment.name, summary, about)
    (folder / "README.md").write_text(card, encoding="utf-8")
