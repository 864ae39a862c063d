"""The rollouts as they were sampled and verified here, or brought along."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import JsonValue
from pydantic_core import from_json

from data_gen.cards.dataset_card import dataset_card
from data_gen.cards.origin import ImportedFrom, ModelAndPrompt, ProblemSet
from data_gen.cards.rollout_counts import RolloutCounter
from data_gen.collection import collected_chunks
from data_gen.demonstrations import demonstrations
from data_gen.exchange.import_rollouts import import_chunks, is_own
from data_gen.exchange.import_tokens import lacks_end
from data_gen.problems.sources import LoadedProblems, ProblemSource
from data_gen.prompts import PLACEHOLDER, render
from data_gen.samplers.tokenizer import load_tokenizer
from data_gen.store.rollouts import save_rollouts
from data_gen.types import DataError, Problem
from offline_rl.artifacts.checksums import digest, problems_digest
from offline_rl.artifacts.provenance import (
    SAMPLING_PACKAGES,
    path_fingerprint,
    public_name,
    versions,
)
from offline_rl.artifacts.records import Record, RolloutsAbout, RolloutsSummary
from offline_rl.artifacts.stage import Stage
from offline_rl.settings.data import DataSettings, Imported
from offline_rl.stages.context import Run, sampled_with


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
    counter = RolloutCounter()
    counter.add(rollouts)
    counts = counter.sampled(left_out=unsolved, dropped=loaded.dropped)
    about = RolloutsAbout(
        problems=_source(settings.problems, loaded.problems), tokenised_for=_policy(run)
    )
    describe(settings.name, RolloutsSummary(**dict(counts)), about, folder)


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
    counter = RolloutCounter()
    with run.progress.task("sample", "rollouts") as task:
        for rollouts in collected_chunks(fitting, sampler, run.verify, sampling, folder=folder):
            counter.add(rollouts)
            share = f"{counter.correct / counter.rollouts:.1%} correct"
            task.update(counter.rollouts, len(fitting) * sampling.samples, share)
    counts = counter.sampled(left_out=too_long, dropped=loaded.dropped)
    about = RolloutsAbout(
        problems=_source(settings.problems, problems),
        tokenised_for=_policy(run),
        sampling=sampling,
        engine=run.engines.description,
        verifier=settings.verifier.description,
    )
    describe(settings.name, RolloutsSummary(**dict(counts)), about, folder)


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
    counter, endless = RolloutCounter(), 0
    with run.progress.task("import", "rollouts") as task:
        for number, rollouts in enumerate(chunks):
            save_rollouts(rollouts, folder / f"part-{number:05}.parquet")
            counter.add(rollouts)
            endless += sum(lacks_end(rollout.completion, tokenizer) for rollout in rollouts)
            task.update(counter.rollouts)
    about = RolloutsAbout(
        imported=ImportedFrom(
            without_end_token=endless,
            name=public_name(str(place)),
            sha256=digest(path_fingerprint(str(place))),
            made=_made(place),
        ),
        tokenised_for=_policy(run),
        verifier=_judge(run, source, place),
    )
    describe(settings.name, RolloutsSummary(**dict(counter.sampled())), about, folder)


def _place(source: Imported) -> Path:
    """The file or folder that is meant; of a run's folder, its rollouts."""
    inner = Path(source.path) / rollouts_folder(Path()).name
    return inner if (inner / RolloutsAbout.FILE).is_file() else Path(source.path)


def _made(place: Path) -> JsonValue:
    """How rollouts of our own were made, by any version, where a file beside them says so."""
    note = place / RolloutsAbout.FILE
    if not note.is_file():
        return None
    try:
        made: JsonValue = from_json(note.read_bytes(), allow_inf_nan=False)
    except ValueError as error:
        raise DataError(f"{note}: not JSON ({error})") from error
    return made


def _judge(run: Run[DataSettings], source: Imported, place: Path) -> dict[str, str] | str:
    """What the verdicts of imported rollouts come from."""
    if is_own(place):
        return "the verdicts they came with"
    if not source.verify:
        return "the rewards of the file"
    return run.settings.verifier.description


def problem_set(problems: Sequence[Problem]) -> ProblemSet:
    """How many problems there are, and a hash of what they are."""
    return ProblemSet(count=len(problems), sha256=problems_digest(problems, solutions=True))


def _source(source: ProblemSource | None, problems: Sequence[Problem]) -> dict[str, JsonValue]:
    """Where problems come from, and what they are."""
    named: dict[str, JsonValue] = {}
    if source is not None:
        named = source.resolved().model_dump(mode="json", exclude_defaults=True)
        named |= {
            name: public_name(str(named[name])) for name in ("source", "path") if name in named
        }
    return named | problem_set(problems).model_dump()


def _policy(run: Run[DataSettings]) -> ModelAndPrompt:
    """What wrote the completions, and in answer to what."""
    settings = run.settings
    tokenizer = load_tokenizer(settings.base_model)
    template = render(Problem("any", PLACEHOLDER, ""), settings.prompt, tokenizer)
    return ModelAndPrompt(
        model=public_name(settings.model),
        revision=settings.revision,
        remote_code=settings.remote_code,
        model_sha256=digest(run.base),
        tokenizer_sha256=digest(tokenizer.get_vocab()),
        prompt=settings.prompt,
        prompt_as_sent=template,
        prompt_sha256=digest(template),
        versions=versions((*SAMPLING_PACKAGES, "tokenizers", "datasets")),
    )


def describe(
    name: str, summary: Record, about: RolloutsAbout, folder: Path, licence: str | None = None
) -> None:
    """Writes summary.json, about.json and the card of a stage that holds rollouts."""
    summary.write(folder)
    about.write(folder)
    card = dataset_card(
        name, summary.model_dump(mode="json"), about.model_dump(mode="json"), licence=licence
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
