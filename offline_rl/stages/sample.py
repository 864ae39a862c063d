"""The rollouts as they were sampled and verified here, or brought along."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_gen.cards.dataset_card import dataset_card, summarise
from data_gen.collection import collected_chunks
from data_gen.demonstrations import demonstrations
from data_gen.exchange.import_rollouts import import_chunks, is_own
from data_gen.exchange.import_tokens import lacks_end
from data_gen.problems.sources import LoadedProblems, ProblemSource
from data_gen.prompts import PLACEHOLDER, render
from data_gen.samplers.tokenizer import load_tokenizer
from data_gen.store.rollouts import iterate_rollouts, save_rollouts
from data_gen.types import DataError, Problem
from offline_rl.artifacts.checksums import digest, problems_digest
from offline_rl.artifacts.layout import ABOUT, SUMMARY
from offline_rl.artifacts.provenance import (
    SAMPLING_PACKAGES,
    path_fingerprint,
    public_name,
    versions,
)
from offline_rl.artifacts.stage import Stage
from offline_rl.settings.data import DataSettings, Imported
from offline_rl.stages.context import Run, sampled_with, write_json


def rollouts_step(run: Run[DataSettings]) -> Stage:
    """The finished stage that holds the rollouts."""
    settings = run.settings
    if settings.rollouts is not None:
        stage = _import_stage(run, settings.rollouts)
        if run.is_needed(stage):
            with run.work(stage) as folder:
                _import(run, settings.rollouts, folder)
        return stage
    if settings.problems is None:
        raise DataError("neither problems nor rollouts: nothing to sample for or to learn from")
    loaded = run.load(settings.problems)
    demonstrated = settings.learn_from == "demonstrations"
    make_stage, fill = (
        (_demonstrations_stage, _demonstrate) if demonstrated else (_sampling_stage, _sample)
    )
    stage = make_stage(run, loaded.problems)
    if run.is_needed(stage):
        with run.work(stage) as folder:
            fill(run, loaded, folder)
    return stage


def rollouts_folder(folder: Path) -> Path:
    """Where a run keeps its rollouts."""
    return folder / "rollouts"


def _sampling_stage(run: Run[DataSettings], problems: Sequence[Problem]) -> Stage:
    settings = run.settings
    adapter = settings.sampler.adapter
    inputs = {
        "model": run.base,
        "problems": problems_digest(problems, solutions=True),
        "prompt": settings.prompt,
        "sampling": settings.sampling.model_dump(mode="json"),
        "sampler": settings.sampler.result_settings,
        "adapter": None if adapter is None else path_fingerprint(adapter),
        "verifier": settings.verifier.description,
        "versions": versions(SAMPLING_PACKAGES),
    }
    return Stage(rollouts_folder(run.folder), inputs)


def _import_stage(run: Run[DataSettings], source: Imported) -> Stage:
    inputs = {
        "model": run.base,
        "imported": path_fingerprint(str(_place(source))),
        "verify": source.verify,
        "prompt": run.settings.prompt,
        "verifier": run.settings.verifier.description,
        "versions": versions(("offline-rl", "transformers", "tokenizers")),
    }
    return Stage(rollouts_folder(run.folder), inputs)


def _demonstrations_stage(run: Run[DataSettings], problems: Sequence[Problem]) -> Stage:
    inputs = {
        "learn_from": "demonstrations",
        "model": run.base,
        "problems": problems_digest(problems, solutions=True),
        "prompt": run.settings.prompt,
        "versions": versions(("offline-rl", "transformers", "tokenizers")),
    }
    return Stage(rollouts_folder(run.folder), inputs)


def _demonstrate(run: Run[DataSettings], loaded: LoadedProblems, folder: Path) -> None:
    settings = run.settings
    tokenizer = load_tokenizer(settings.base_model)
    rollouts = list(demonstrations(loaded.problems, tokenizer=tokenizer, style=settings.prompt))
    if not rollouts:
        raise DataError(
            f"learn_from: none of the {len(loaded.problems)} problems has a solution to learn from"
        )
    save_rollouts(rollouts, folder / "part-00000.parquet")
    unsolved = [problem for problem in loaded.problems if not problem.solution]
    summary = summarise(rollouts, left_out=unsolved, dropped=loaded.dropped, min_reward=None)
    about = {"problems": problems_source(settings.problems, loaded.problems), **_policy(run)}
    describe(settings.name, summary, about, folder)


def _sample(run: Run[DataSettings], loaded: LoadedProblems, folder: Path) -> None:
    settings, problems = run.settings, loaded.problems
    sampling = settings.sampling
    sampler = run.engines.sampler(settings.sampled_model)
    fitting, too_long = sampler.fitting(problems)
    if too_long:
        run.progress.say(f"{len(too_long)} of {len(problems)} prompts exceed the context, left out")
    if not fitting:
        raise DataError(
            f"every one of the {len(problems)} prompts is longer than the model's context: take"
            " other problems, another model or a shorter prompt"
        )
    sampled_with(run.engines.description, folder)
    done, correct = 0, 0
    with run.progress.task("sample", "rollouts") as task:
        for rollouts in collected_chunks(fitting, sampler, run.verify, sampling, folder=folder):
            done += len(rollouts)
            correct += sum(rollout.verdict.label == "correct" for rollout in rollouts)
            task.update(done, len(fitting) * sampling.samples, f"{correct / done:.1%} correct")
    summary = summarise(
        iterate_rollouts(folder, untrusted=False),
        left_out=too_long,
        dropped=loaded.dropped,
        min_reward=None,
    )
    about = {
        "problems": problems_source(settings.problems, problems),
        **_policy(run),
        "sampling": sampling.model_dump(mode="json"),
        "engine": run.engines.description,
        "verifier": settings.verifier.description,
    }
    describe(settings.name, summary, about, folder)


def _import(run: Run[DataSettings], source: Imported, folder: Path) -> None:
    settings = run.settings
    tokenizer = load_tokenizer(settings.base_model)
    place = _place(source)
    chunks = import_chunks(
        place,
        tokenizer=tokenizer,
        style=settings.prompt,
        verify=run.verify if source.verify else None,
    )
    done, endless = 0, 0
    with run.progress.task("import", "rollouts") as task:
        for number, rollouts in enumerate(chunks):
            save_rollouts(rollouts, folder / f"part-{number:05}.parquet")
            done += len(rollouts)
            endless += sum(lacks_end(rollout.completion, tokenizer) for rollout in rollouts)
            task.update(done)
    about = {
        "imported": {
            "without_end_token": endless,
            "name": public_name(str(place)),
            "sha256": digest(path_fingerprint(str(place))),
            **_told_before(place),
        },
        "tokenised_for": _policy(run),
        "verifier": _judge(run, source, place),
    }
    summary = summarise(iterate_rollouts(folder, untrusted=False), min_reward=None)
    describe(settings.name, summary, about, folder)


def _place(source: Imported) -> Path:
    """The file or folder that is meant; of a run's folder, its rollouts."""
    inner = Path(source.path) / rollouts_folder(Path()).name
    return inner if (inner / ABOUT).is_file() else Path(source.path)


def _told_before(place: Path) -> dict[str, Any]:
    """How rollouts of our own were made, where that stands beside them."""
    note = place / ABOUT
    return {"made": json.loads(note.read_text(encoding="utf-8"))} if note.is_file() else {}


def _judge(run: Run[DataSettings], source: Imported, place: Path) -> Any:
    """What the verdicts of imported rollouts come from."""
    if is_own(place):
        return "the verdicts they came with"
    if not source.verify:
        return "the rewards of the file"
    return run.settings.verifier.description


def problems_source(source: ProblemSource | None, problems: Sequence[Problem]) -> dict[str, Any]:
    """Where problems come from, and a hash of what they are."""
    named = (
        {} if source is None else source.resolved().model_dump(mode="json", exclude_defaults=True)
    )
    named |= {name: public_name(named[name]) for name in ("source", "path") if name in named}
    return {
        **named,
        "count": len(problems),
        "sha256": problems_digest(problems, solutions=True),
    }


def _policy(run: Run[DataSettings]) -> dict[str, Any]:
    """What wrote the completions, and in answer to what."""
    settings = run.settings
    tokenizer = load_tokenizer(settings.base_model)
    template = render(Problem("any", PLACEHOLDER, ""), settings.prompt, tokenizer)
    return {
        "model": public_name(settings.model),
        "revision": settings.revision,
        **({"remote_code": True} if settings.remote_code else {}),
        "model_sha256": digest(run.base),
        "tokenizer_sha256": digest(tokenizer.get_vocab()),
        "prompt": settings.prompt,
        "prompt_as_sent": template,
        "prompt_sha256": digest(template),
        "versions": versions((*SAMPLING_PACKAGES, "tokenizers", "datasets")),
    }


def describe(
    name: str,
    summary: Mapping[str, Any],
    about: Mapping[str, Any],
    folder: Path,
    licence: str | None = None,
) -> None:
    """Writes summary.json, about.json and the card of a stage that holds rollouts."""
    write_json(folder / SUMMARY, summary)
    write_json(folder / ABOUT, about)
    card = dataset_card(name, summary, about, licence=licence)
    (folder / "README.md").write_text(card, encoding="utf-8")
