"""The sampler's log-probabilities held against the trainer's own, before anything is trained."""

from pathlib import Path

from data_gen.store.rollouts import iterate_rollouts
from eval.notes import Note
from offline_rl.artifacts.provenance import TRAINING_PACKAGES, versions
from offline_rl.artifacts.published_stage import PublishedStage
from offline_rl.artifacts.records import LogprobGap
from offline_rl.artifacts.stage import Stage
from offline_rl.config.schema import Experiment
from offline_rl.stages.context import Run

# More than this share of tokens off by a tenth is worth a note in the report.
_MUCH = 0.01


def behaviour_folder(folder: Path) -> Path:
    """Where a run keeps the gap."""
    return folder / "behaviour"


def behaviour_step(run: Run[Experiment], dataset: Stage) -> Stage:
    """The finished stage that holds the gap between sampler and trainer."""
    training = run.settings.training
    inputs = {
        "dataset": dataset.published.digest(),
        "base": run.base,
        "rollouts": run.settings.behaviour_check,
        "precision": training.precision,
        "versions": versions(TRAINING_PACKAGES),
    }
    stage = Stage(behaviour_folder(run.folder), inputs)
    if run.is_needed(stage):
        with run.work(stage) as folder:
            _measure(run, dataset, folder)
    return stage


def read_gap(folder: Path) -> LogprobGap | None:
    """The gap that a run has measured; None where it has not."""
    stage = PublishedStage(behaviour_folder(folder))
    return stage.read(LogprobGap) if stage.holds(LogprobGap) else None


def gap_notes(gap: LogprobGap | None) -> list[Note]:
    """A sentence where sampler and trainer disagree on more than a few tokens."""
    off = None if gap is None else gap.share_of_tokens_with_ratio_off_by_a_tenth
    if off is None or off <= _MUCH:
        return []
    return [
        Note(
            "sampling",
            f"Sampler and trainer give {off:.1%} of the sampled tokens probabilities that differ by"
            " more than a tenth: check that model, prompt template and precision are the same.",
        )
    ]


def _measure(run: Run[Experiment], dataset: Stage, folder: Path) -> None:
    from offline_rl.training.logprob_gap import behaviour_gap, drawn

    settings = run.settings
    chosen = drawn(iterate_rollouts(dataset.folder, untrusted=False), settings.behaviour_check)
    with run.progress.task("check log-probabilities", "tokens") as task:
        gap = behaviour_gap(chosen, model=settings.base_model, training=settings.training)
        off = gap.share_of_tokens_with_ratio_off_by_a_tenth
        task.update(gap.tokens, note="" if off is None else f"{off:.2%} off by a tenth")
    gap.write(folder)
