"""Rollouts that were made elsewhere: read, tokenised and judged."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from data_gen.exchange.import_rows import GOLD, REWARD, ImportedRow, foreign_rows, written
from data_gen.exchange.import_tokens import Prompts, completion_of, read_as
from data_gen.prompts import Tokenizer
from data_gen.store.rollouts import COLUMNS, iterate_rollouts
from data_gen.types import DataError, Problem, Rollout, Verdict, Verifier
from data_gen.views import problem_groups

T = TypeVar("T")

# Problems that are verified and handed on together.
_CHUNK_PROBLEMS = 256


def import_rollouts(
    path: str | Path, *, tokenizer: Tokenizer, style: str, verify: Verifier | None
) -> list[Rollout]:
    """All of `import_chunks` at once."""
    chunks = import_chunks(path, tokenizer=tokenizer, style=style, verify=verify)
    return [rollout for chunk in chunks for rollout in chunk]


def import_chunks(
    path: str | Path, *, tokenizer: Tokenizer, style: str, verify: Verifier | None
) -> Iterator[list[Rollout]]:
    """Rollouts of a file or folder of our own, or of a foreign .jsonl or .parquet file.

    They come some hundred problems at a time, those of a problem side by side. What
    `save_rollouts` wrote is taken as it is, with its verdicts, if this tokenizer reads its token
    ids as its text. A foreign file is checked whole before its first chunk is handed on; it is
    held in memory only where the rows of a problem do not stand together. Its rows have

    - a problem: `problem`, `question` or `prompt`, as text or as messages, of which the one user
      message is the problem, and a system message before it is not used;
    - its gold answer, `answer`, `gold` or `ground_truth`, which `verify` needs; optionally `id`
      and `solution`;
    - one `completion` (or `response`, `text`), or a list `completions` (or `responses`): each a
      text, an assistant message, or an object with `text` and what follows;
    - optionally for each completion, as a list beside a list: `finish_reason` ("stop" or
      "length"); a reward (`reward`, `score` or their plurals, `is_correct`, `grader_score`); its
      sampled ids (`tokens`, `token_ids`, `completion_ids`), and with them `logps` or `logprobs`
      in nats, taken as raw ones; for the row, the ids of its prompt (`prompt_tokens`,
      `prompt_ids`, `prompt_token_ids`).

    Given ids must read as their text in this tokenizer. Where none are given the text is tokenised
    here, which may cut it into other tokens than were sampled, so log-probabilities are then
    unknown (empty): the prompt in the given `style`, the completion by itself, with the
    end-of-sequence token after it where it was not truncated. Without `finish_reason` a completion
    counts as ended by itself, but one with ids only where the last is a special token.
    `verify` judges every completion again, whatever the file says of it; with None the file's
    reward is the verdict, correct if it is true or at least 1. All seeds are 0.
    Raises DataError naming the file and line that cannot be used.
    """
    path = Path(path)
    if is_own(path):
        own = groupby(_own(path, tokenizer), key=lambda rollout: rollout.problem.id)
        yield from _joined(list(group) for _, group in own)
        return
    if tokenizer.eos_token_id is None:
        raise DataError(f"{path}: the model's tokenizer has no end-of-sequence token")
    in_order = _check(path, verify is not None)
    prompts = Prompts(tokenizer, style)
    for chunk in _joined(_side_by_side(path) if in_order else _gathered(path)):
        completions = [completion_of(one, sample, prompts) for sample, one in chunk]
        verdicts = _verdicts([one for _, one in chunk], verify)
        yield [
            Rollout(one.problem, completion, verdict)
            for (_, one), completion, verdict in zip(chunk, completions, verdicts, strict=True)
        ]


def is_own(path: Path) -> bool:
    """Whether a file or folder has the columns that `save_rollouts` writes."""
    if path.is_dir():
        return True
    for _, row in foreign_rows(path):
        return row.keys() >= COLUMNS.keys()
    raise DataError(f"{path}: holds no rows")


def _own(path: Path, tokenizer: Tokenizer) -> Iterator[Rollout]:
    """As stored; the samples of a problem are renumbered where a number comes twice."""
    for group in problem_groups(iterate_rollouts(path, untrusted=True)):
        if any(rollout.problem != group[0].problem for rollout in group):
            raise DataError(f"{path}: two problems have the id {group[0].problem.id!r}")
        again = len({rollout.completion.sample for rollout in group}) < len(group)
        for number, rollout in enumerate(group):
            completion = rollout.completion
            if read_as(completion.text, completion.tokens, tokenizer) is None:
                raise DataError(
                    f"{path}: sample {completion.sample} of {completion.problem_id} was tokenised"
                    " by another model's tokenizer: sample again, or import its text alone"
                )
            if again:
                yield replace(rollout, completion=replace(completion, sample=number))
            else:
                yield rollout


def _check(path: Path, needs_gold: bool) -> bool:
    """Reads the whole file for its faults; whether the rows of each problem stand together."""
    seen: dict[str, Problem] = {}
    in_order, last = True, ""
    for place, row in foreign_rows(path):
        for one in written(row, place):
            if needs_gold and not one.problem.answer:
                raise DataError(f"{place}: no gold answer ({', '.join(GOLD)}) to verify with")
            if not needs_gold and one.reward is None:
                raise DataError(
                    f"{place}: no reward ({', '.join(REWARD)}): have the completions verified"
                )
            known = seen.get(one.problem.id)
            if known is not None and known != one.problem:
                raise DataError(f"{place}: two problems have the id {one.problem.id!r}")
            in_order = in_order and (known is None or one.problem.id == last)
            seen[one.problem.id], last = one.problem, one.problem.id
    if not seen:
        raise DataError(f"{path}: holds no completions")
    return in_order


def _side_by_side(path: Path) -> Iterator[list[tuple[int, ImportedRow]]]:
    """The numbered completions of one problem after another, as the file has them."""
    rows = (one for place, row in foreign_rows(path) for one in written(row, place))
    for _, group in groupby(rows, key=lambda one: one.problem.id):
        yield list(enumerate(group))


def _gathered(path: Path) -> Iterator[list[tuple[int, ImportedRow]]]:
    """The same of a file in any order, problems in the order of their coming."""
    by_id: dict[str, list[ImportedRow]] = {}
    for place, row in foreign_rows(path):
        for one in written(row, place):
            by_id.setdefault(one.problem.id, []).append(one)
    for group in by_id.values():
        yield list(enumerate(group))


def _joined(groups: Iterable[list[T]]) -> Iterator[list[T]]:
    """Several problems at a time."""
    chunk: list[T] = []
    for number, group in enumerate(groups, 1):
        chunk += group
        if number % _CHUNK_PROBLEMS == 0:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _verdicts(chunk: Sequence[ImportedRow], verify: Verifier | None) -> list[Verdict]:
    if verify is not None:
        return verify([(one.problem.answer, one.text) for one in chunk])
    rewards = [one.reward or 0.0 for one in chunk]
    return [
        Verdict("correct", reward) if reward >= 1 else Verdict("wrong", reward, "graded elsewhere")
        for reward in rewards
    ]
