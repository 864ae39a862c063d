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
    When sampling or `on_chunk` fails, what was being verified is still finished and kept.
    Raises DataError for no problems, ids given twice, or a part that cannot be used.
    """
    _check(problems)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for torn in folder.glob(".part-*"):
            torn.unlink()
    collected: list[Rollout] = []

    def hand_on(rollouts: list[Rollout]) -> None:
        collected.extend(rollouts)
        if on_chunk is not None:
            on_chunk(rollouts)

    with ThreadPoolExecutor(1) as background:
        pending: Future[list[Rollout]] | None = None
        for number, start in enumerate(range(0, len(problems), chunk_problems)):
            chunk = problems[start : start + chunk_problems]
            part = None if folder is None else folder / f"part-{number:05}.parquet"
            if part is not None and part.exists():
                upcoming = background.submit(_found, part, chunk, sampling)
            else:
                completions = sample(chunk, sampling)
                upcoming = background.submit(_judge, chunk, completions, verify, sampling, part)
            if pending is not None:
                hand_on(pending.result())
            pending = upcoming
        if pending is not None:
            hand_on(pending.result())
    return collected


def _judge(
    problems: Sequence[Problem],
    completions: Sequence[Completion],
    verify: Verifier,
    sampling: Sampling,
    part: Path | None,
) -> list[Rollout]:
    asked = [problem for problem in problems for _ in range(sampling.samples)]
    given = [(completion.problem_id, completion.sample) for completion in completions]
    if given != _expected(problems, sampling):
        raise ValueError("the sampler did not return every problem's samples in order")
    verdicts = verify([(p.answer, c.text) for p, c in zip(asked, completions, strict=True)])
    rollouts = [Rollout(*one) for one in zip(asked, completions, verdicts, strict=True)]
    if part is not None:
        save_rollouts(rollouts, part)
    return rollouts


def _found(part: Path, problems: Sequence[Problem], sampling: Sampling) -> list[Rollout]:
    rollouts = load_rollouts(part)
    known = {problem.id: problem for problem in problems}
    held = [(r.problem.id, r.completion.sample) for r in rollouts]
    if held != _expected(problems, sampling) or any(
        r.problem != known[r.problem.id] for r in rollouts
    ):
        raise DataError(
            f"{part}: holds rollouts of other problems or settings; delete the folder to redo it"
        )
    return rollouts


def _expected(problems: Sequence[Problem], sampling: Sampling) -> list[tuple[str, int]]:
    return [(problem.id, j) for problem in problems for j in range(sampling.samples)]


def _check(problems: Sequence[Problem]) -> None:
    if not problems:
        raise DataError("there are no problems to sample for")
    seen: set[str] = set()
    for problem in problems:
        if problem.id in seen:
            raise DataError(f"two problems have the id {problem.id!r}: ids must be unique")
        seen.add(problem.id)
