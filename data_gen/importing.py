"""Rollouts that were made elsewhere: read, tokenised and verified."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_gen.prompts import Tokenizer, encode, render
from data_gen.rows import Row, Table, cell, plain_text, read_file, readable_text
from data_gen.storage import COLUMNS, load_rollouts
from data_gen.types import Completion, DataError, FinishReason, Problem, Rollout, Verifier

_PROMPTS = ("problem", "prompt", "question")
_ANSWERS = ("answer", "gold")
_TEXTS = ("completion", "response", "text")


@dataclass(frozen=True, slots=True)
class _Written:
    """A completion as a file has it."""

    problem: Problem
    text: str
    finish_reason: FinishReason


def import_rollouts(
    path: str | Path, *, tokenizer: Tokenizer, style: str, verify: Verifier
) -> list[Rollout]:
    """Rollouts from a file or folder of our own, or from a foreign .jsonl or .parquet file.

    What `save_rollouts` wrote is taken as it is, with its verdicts, if this tokenizer reads its
    token ids as its text. A foreign row has a problem (`problem`, `prompt`
    or `question`), its gold answer (`answer` or `gold`) and either a list `completions` (each a
    text, or an object with `text`) or one `completion` (or `response`, `text`); optional are `id`,
    `solution`, and `finish_reason` ("stop" or "length", a list beside `completions`), else "stop".

    Foreign text has no sampled token ids, so it is tokenised here, which may cut it into other
    tokens than its model sampled: the prompt in the given `style`, the completion by itself, with
    the end-of-sequence token after it where it was not truncated. Its `logps` are unknown (empty)
    and its seed is 0. `verify` judges it anew, whatever the file says of it.
    Raises DataError naming the file and line that cannot be used.
    """
    path = Path(path)
    if path.is_dir():
        return _own(path, tokenizer)
    table = read_file(path)
    if not len(table.rows):
        raise DataError(f"{path}: holds no rows")
    if table.rows[0].keys() >= COLUMNS.keys():
        return _own(path, tokenizer)
    if tokenizer.eos_token_id is None:
        raise DataError(f"{path}: the model's tokenizer has no end-of-sequence token")
    written = _one_problem_per_id(list(_written(table)), path)
    verdicts = verify([(one.problem.answer, one.text) for one in written])
    completions = _tokenised(written, tokenizer, style)
    return [
        Rollout(one.problem, completion, verdict)
        for one, completion, verdict in zip(written, completions, verdicts, strict=True)
    ]


def _own(path: Path, tokenizer: Tokenizer) -> list[Rollout]:
    rollouts = load_rollouts(path)
    for rollout in rollouts:
        completion = rollout.completion
        try:
            text = tokenizer.decode(completion.tokens, skip_special_tokens=True)
        except (IndexError, OverflowError, ValueError):
            text = ""
        # The text of a completion that a stop string ended is shorter than its tokens.
        if not text.startswith(completion.text):
            raise DataError(
                f"{path}: sample {completion.sample} of {completion.problem_id} was tokenised by"
                " another model's tokenizer: sample anew, or import its text alone"
            )
    return rollouts


def _tokenised(written: list[_Written], tokenizer: Tokenizer, style: str) -> Iterator[Completion]:
    samples: Counter[str] = Counter()
    for one in written:
        tokens = tokenizer.encode(one.text, add_special_tokens=False)
        if one.finish_reason == "stop" and tokenizer.eos_token_id is not None:
            tokens = [*tokens, tokenizer.eos_token_id]
        yield Completion(
            problem_id=one.problem.id,
            sample=samples[one.problem.id],
            seed=0,
            prompt=render(one.problem, style, tokenizer),
            prompt_tokens=tuple(encode(one.problem, style, tokenizer)),
            text=one.text,
            tokens=tuple(tokens),
            logps=(),
            finish_reason=one.finish_reason,
        )
        samples[one.problem.id] += 1


def _written(table: Table) -> Iterator[_Written]:
    for number, row in enumerate(table.rows):
        place = table.place(number)
        problem = _problem(row, place)
        if "completions" in row:
            texts = row["completions"]
            if not isinstance(texts, list):
                raise DataError(f"{place}: completions is not a list")
            reasons = row.get("finish_reason", [None] * len(texts))
            if not isinstance(reasons, list) or len(reasons) != len(texts):
                raise DataError(f"{place}: finish_reason is not a list as long as completions")
        else:
            texts = [cell(row, _column(row, _TEXTS, place), place)]
            reasons = [row.get("finish_reason")]
        for text, reason in zip(texts, reasons, strict=True):
            if isinstance(text, dict):
                text, reason = cell(text, "text", place), text.get("finish_reason", reason)
            if not isinstance(text, str):
                raise DataError(f"{place}: a completion is {type(text).__name__}, not text")
            yield _Written(problem, readable_text(text, place), _finish_reason(reason, place))


def _problem(row: Row, place: str) -> Problem:
    prompt = plain_text(row[_column(row, _PROMPTS, place)], place)
    answer = plain_text(row[_column(row, _ANSWERS, place)], place).strip()
    if not prompt or not answer:
        raise DataError(f"{place}: the {'answer' if prompt else 'problem'} is empty")
    given = row.get("id", row.get("problem_id"))
    # One row per completion repeats its problem, so the id is made of what the problem is.
    made = hashlib.blake2b(f"{prompt}\0{answer}".encode(), digest_size=8).hexdigest()
    return Problem(
        id=made if given is None else plain_text(given, place),
        prompt=prompt,
        answer=answer,
        solution=plain_text(row.get("solution"), place),
    )


def _column(row: Row, names: tuple[str, ...], place: str) -> str:
    for name in names:
        if name in row:
            return name
    raise DataError(f"{place}: no column {' or '.join(names)}; the row has {', '.join(row)}")


def _finish_reason(value: Any, place: str) -> FinishReason:
    if value is None or value == "stop":
        return "stop"
    if value == "length":
        return "length"
    raise DataError(f"{place}: finish_reason {value!r} is neither stop nor length")


def _one_problem_per_id(written: list[_Written], path: Path) -> list[_Written]:
    """Completions with those of one problem side by side, problems in the order of their coming."""
    by_id: dict[str, list[_Written]] = {}
    for one in written:
        known = by_id.setdefault(one.problem.id, [])
        if known and known[0].problem != one.problem:
            raise DataError(f"{path}: two problems have the id {one.problem.id!r}")
        known.append(one)
    return [one for group in by_id.values() for one in group]
