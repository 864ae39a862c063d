"""Sample and verify, chunk by chunk: the one function behind data generation and evaluation."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from data_gen.storage import load_rollouts, save_rollouts
from data_gen.types import Completion, DataError, Problem, Rollout, Sampler, Sampling, Verifier


def collect(
    problems: Sequence[Problem],
    sample: Sampler,
    verify: Verifier,
    sampling: Sampling,
    *,
    folder: Path | None = None,
    chunk_problems: int = 256,
    on_chunk: Callable[[list[Rollout]], None] | None = None,
) -> list[Rollout]:
    """Samples `sampling.samples` completions per problem and verifies them; order of the problems.

    A chunk is verified while the next one is sampled. With `folder`, each finished chunk becomes
    `part-NNNNN.parquet` there, and chunks found there are not done again; the folder must have
    been filled with the same problems, model and settings (checked for the problems).
    `on_chunk` receives each chunk's rollouts when they are verified, found ones included.
    Raises DataError for no problems or ids given twice.
    """
    _check(problems)
    chunks = [problems[i : i + chunk_problems] for i in range(0, len(problems), chunk_problems)]
    collected: list[Rollout] = []
    judging: Future[list[Rollout]] | None = None

    def hand_on(rollouts: list[Rollout], part: Path | None) -> None:
        if part is not None:
            save_rollouts(rollouts, part)
        collected.extend(rollouts)
        if on_chunk is not None:
            on_chunk(rollouts)

    with ThreadPoolExecutor(1) as background:
        part = None
        for number, chunk in enumerate(chunks):
            upcoming = None if folder is None else folder / f"part-{number:05}.parquet"
            found = upcoming is not None and upcoming.exists()
            completions = [] if found else sample(chunk, sampling)
            if judging is not None:
                hand_on(judging.result(), part)
                judging = None
            if upcoming is not None and found:
                hand_on(_found(upcoming, chunk, sampling), None)
            else:
                part = upcoming
                judging = background.submit(_judge, chunk, completions, verify)
        if judging is not None:
            hand_on(judging.result(), part)
    return collected


def _judge(
    problems: Sequence[Problem], completions: Sequence[Completion], verify: Verifier
) -> list[Rollout]:
    known = {problem.id: problem for problem in problems}
    golds = [(known[c.problem_id].answer, c.text) for c in completions]
    return [
        Rollout(known[completion.problem_id], completion, verdict)
        for completion, verdict in zip(completions, verify(golds), strict=True)
    ]


def _found(part: Path, chunk: Sequence[Problem], sampling: Sampling) -> list[Rollout]:
    rollouts = load_rollouts(part)
    expected = [(problem.id, j) for problem in chunk for j in range(sampling.samples)]
    if [(r.problem.id, r.completion.sample) for r in rollouts] != expected:
        raise DataError(f"{part}: holds rollouts of other problems; delete the folder to redo it")
    return rollouts


def _check(problems: Sequence[Problem]) -> None:
    if not problems:
        raise DataError("there are no problems to sample for")
    seen: set[str] = set()
    for problem in problems:
        if problem.id in seen:
            raise DataError(f"two problems have the id {problem.id!r}: ids must be unique")
        seen.add(problem.id)
