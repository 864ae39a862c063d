"""Sample and verify, chunk by chunk: the one function behind data generation and evaluation."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Protocol, runtime_checkable

from data_gen.store.rollouts import save_rollouts
from data_gen.store.shards import load_part, part_path, remove_torn_parts
from data_gen.types import Completion, DataError, Problem, Rollout, Sampler, Sampling, Verifier


@runtime_checkable
class StreamingSampler(Protocol):
    """A sampler that takes further chunks while it is still at work on earlier ones."""

    def stream(
        self, chunks: Iterable[Sequence[Problem]], sampling: Sampling
    ) -> Generator[list[Completion]]:
        """Each chunk's completions, in order, as a call for that chunk alone gives them."""


def collect(
    problems: Sequence[Problem],
    sample: Sampler | StreamingSampler,
    verify: Verifier,
    sampling: Sampling,
    *,
    folder: Path | None = None,
    chunk_problems: int = 256,
) -> list[Rollout]:
    """Samples `sampling.samples` completions per problem and verifies them; order of the problems.

    The chunks of `collected_chunks` in one list.
    """
    chunks = collected_chunks(
        problems, sample, verify, sampling, folder=folder, chunk_problems=chunk_problems
    )
    return [rollout for chunk in chunks for rollout in chunk]


def collected_chunks(
    problems: Sequence[Problem],
    sample: Sampler | StreamingSampler,
    verify: Verifier,
    sampling: Sampling,
    *,
    folder: Path | None = None,
    chunk_problems: int = 256,
) -> Generator[list[Rollout]]:
    """Samples and verifies, and yields chunks of rollouts in the order of the problems.

    No more than a few chunks are in memory, however many there are. A chunk is verified and
    stored while the next ones are sampled. With `folder`, each finished chunk becomes
    `part-NNNNN.parquet` there, and chunks found there are not done again; the folder must have
    been filled with the same problems, model and settings (checked for the problems).
    When sampling fails or the caller stops, what was being verified is still finished and kept.
    Raises DataError for no problems, ids given twice, or a part that cannot be used.
    """
    _check(problems)
    starts = range(0, len(problems), chunk_problems)
    chunks = [problems[start : start + chunk_problems] for start in starts]
    parts: list[Path | None] = [None] * len(chunks)
    found = [False] * len(chunks)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        remove_torn_parts(folder)
        places = [part_path(folder, number) for number in range(len(chunks))]
        parts, found = [*places], [place.exists() for place in places]
    missing = (chunk for chunk, there in zip(chunks, found, strict=True) if not there)
    pending: Future[list[Rollout]] | None = None
    with ThreadPoolExecutor(1) as background, closing(_sampled(sample, missing, sampling)) as drawn:
        for chunk, part, there in zip(chunks, parts, found, strict=True):
            if there and part is not None:
                upcoming = background.submit(load_part, part, chunk, sampling)
            else:
                upcoming = background.submit(_judge, chunk, next(drawn), verify, sampling, part)
            if pending is not None:
                yield pending.result()
            pending = upcoming
        if pending is not None:
            yield pending.result()


def _sampled(
    sample: Sampler | StreamingSampler, chunks: Iterator[Sequence[Problem]], sampling: Sampling
) -> Generator[list[Completion]]:
    if isinstance(sample, StreamingSampler):
        with closing(sample.stream(chunks, sampling)) as completions:
            yield from completions
    else:
        for chunk in chunks:
            yield sample(chunk, sampling)


def _judge(
    problems: Sequence[Problem],
    completions: Sequence[Completion],
    verify: Verifier,
    sampling: Sampling,
    part: Path | None,
) -> list[Rollout]:
    asked = [problem for problem in problems for _ in range(sampling.samples)]
    given = [(completion.problem_id, completion.sample) for completion in completions]
    if given != [(problem.id, j) for problem in problems for j in range(sampling.samples)]:
        raise ValueError("the sampler did not return every problem's samples in order")
    verdicts = verify([(p.answer, c.text) for p, c in zip(asked, completions, strict=True)])
    rollouts = [Rollout(*one) for one in zip(asked, completions, verdicts, strict=True)]
    if part is not None:
        save_rollouts(rollouts, part)
    return rollouts


def _check(problems: Sequence[Problem]) -> None:
    if not problems:
        raise DataError("there are no problems to sample for")
    seen: set[str] = set()
    for problem in problems:
        if problem.id in seen:
            raise DataError(f"two problems have the id {problem.id!r}: ids must be unique")
        seen.add(problem.id)
