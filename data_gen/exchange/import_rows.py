"""Rows of rollouts that were made elsewhere: which columns they may have and what those say."""

import hashlib
import os
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_gen.store.table_files import Row, jsonl_rows, parquet_rows, plain_text, readable_text
from data_gen.types import DataError, FinishReason, Problem

PROBLEM = ("problem", "question", "prompt")
GOLD = ("answer", "gold", "ground_truth")
COMPLETION = ("completion", "response", "text")
COMPLETIONS = ("completions", "responses")
PROMPT_TOKENS = ("prompt_tokens", "prompt_ids", "prompt_token_ids")

# What may be given for each completion: in its own object, or in a column of the row, which is a
# list where the completions are one.
TOKENS = ("tokens", "token_ids", "completion_ids")
LOGPS = ("logps", "logprobs")
REWARD = ("reward", "rewards", "score", "scores", "is_correct", "grader_score")
FINISH_REASON = ("finish_reason", "finish_reasons")

# A log-softmax in float32 may end this far above zero.
_ROUNDING = 1e-3
_LARGEST = 3e38


@dataclass(frozen=True, slots=True)
class ImportedRow:
    """A completion as a file has it; None, or no log-probabilities, where the file is silent."""

    problem: Problem
    text: str
    finish_reason: FinishReason | None
    prompt_tokens: Sequence[int] | None
    tokens: Sequence[int] | None
    logps: Sequence[float]
    reward: float | None
    place: str
    """File and line, for a message."""


def foreign_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """Rows of a .jsonl or .parquet file with their places, few in memory at a time.

    Raises DataError naming the file (and line) that is not one.
    """
    if not os.path.isfile(path):
        raise DataError(f"{path}: no such file")
    if path.suffix == ".jsonl":
        for number, row in jsonl_rows(path):
            yield f"{path}:{number}", row
    elif path.suffix == ".parquet":
        for number, row in enumerate(parquet_rows(path), 1):
            yield f"{path} row {number}", row
    else:
        raise DataError(f"{path}: only .jsonl and .parquet files are read")


def written(row: Row, place: str) -> Iterator[ImportedRow]:
    """The completions of a row. Raises DataError for what cannot be used."""
    problem = _problem(row, place)
    prompt_tokens = _token_ids(row, PROMPT_TOKENS, place)
    for text, given in _completions(row, place):
        tokens = _token_ids(given, TOKENS, place)
        yield ImportedRow(
            problem=problem,
            text=readable_text(_content(text, "assistant", place), place),
            finish_reason=_finish_reason(_first(given, FINISH_REASON), place),
            prompt_tokens=prompt_tokens,
            tokens=tokens,
            logps=_logps(given, tokens, place),
            reward=_reward(given, place),
            place=place,
        )


def _problem(row: Row, place: str) -> Problem:
    name = _column(row, PROBLEM, place)
    prompt = plain_text(_content(row[name], "user", place), place)
    answer = plain_text(_first(row, GOLD), place).strip()
    if not prompt:
        raise DataError(f"{place}: the problem is empty")
    names = (row.get("id"), row.get("problem_id"))
    given = next((name for name in names if name not in (None, "")), None)
    # One row per completion repeats its problem, so the id is made of what the problem is.
    made = hashlib.blake2b(f"{prompt}\0{answer}".encode(), digest_size=8).hexdigest()
    return Problem(
        id=made if given is None else plain_text(given, place),
        prompt=prompt,
        answer=answer,
        solution=plain_text(row.get("solution"), place),
    )


def _completions(row: Row, place: str) -> Iterator[tuple[Any, Row]]:
    """Each completion with what the row says of it."""
    several = [name for name in COMPLETIONS if name in row]
    if not several:
        value = row[_column(row, COMPLETION, place)]
        yield value, {**row, **value} if isinstance(value, dict) else row
        return
    values = row[several[0]]
    if not isinstance(values, list):
        raise DataError(f"{place}: {several[0]} is not a list")
    beside = {
        name: row[name]
        for names in (TOKENS, LOGPS, REWARD, FINISH_REASON)
        for name in names
        if row.get(name) is not None
    }
    for name, column in beside.items():
        if not isinstance(column, list) or len(column) != len(values):
            raise DataError(f"{place}: {name} is not a list as long as {several[0]}")
    for number, value in enumerate(values):
        given = {name: column[number] for name, column in beside.items()}
        yield value, {**given, **value} if isinstance(value, dict) else given


def _content(value: Any, role: str, place: str) -> Any:
    """Text or a number as it is; of messages the one of `role`, which must be the only such one."""
    if isinstance(value, list) and value and all(isinstance(part, dict) for part in value):
        _check_roles([str(message.get("role")) for message in value], role, place)
        value = value[-1]
    if isinstance(value, dict):
        value = value.get("text", value.get("content"))
    if role == "assistant" and not isinstance(value, str):
        raise DataError(f"{place}: a completion is {type(value).__name__}, not text")
    return value


def _check_roles(roles: Sequence[str], role: str, place: str) -> None:
    allowed = (["user"], ["system", "user"]) if role == "user" else (["assistant"],)
    if list(roles) not in allowed:
        raise DataError(
            f"{place}: a conversation of {', '.join(roles)} is no single problem and answer: only"
            " one user message (after a system message at most) and one assistant message are read"
        )


def _token_ids(row: Row, names: Sequence[str], place: str) -> Sequence[int] | None:
    name = next((name for name in names if row.get(name) is not None), None)
    if name is None:
        return None
    value = row[name]
    plain = isinstance(value, list) and all(type(token) is int for token in value)
    if not plain or not all(0 <= token < 2**31 for token in value):
        raise DataError(f"{place}: {name} is not a list of token ids")
    return array("i", value)


def _logps(row: Row, tokens: Sequence[int] | None, place: str) -> Sequence[float]:
    name = next((name for name in LOGPS if row.get(name) is not None), None)
    # Text tokenised again may have other tokens, to which the numbers would not belong.
    if name is None or tokens is None:
        return array("f")
    value = row[name]
    if not isinstance(value, list) or not all(type(one) in (int, float) for one in value):
        raise DataError(f"{place}: {name} is not a list of numbers")
    if value and len(value) != len(tokens):
        raise DataError(f"{place}: {len(tokens)} tokens but {len(value)} log-probabilities")
    for number, one in enumerate(value):
        if not -_LARGEST < one <= _ROUNDING:
            raise DataError(f"{place}: {name}[{number}] is {one}, which is no log-probability")
    return array("f", value)


def _reward(row: Row, place: str) -> float | None:
    value = _first(row, REWARD)
    if value is None:
        return None
    if not isinstance(value, bool | int | float) or not -_LARGEST < value < _LARGEST:
        raise DataError(f"{place}: the reward is neither a finite number nor true or false")
    return float(value)


def _finish_reason(value: Any, place: str) -> FinishReason | None:
    if value is None:
        return None
    if value == "stop":
        return "stop"
    if value == "length":
        return "length"
    raise DataError(f"{place}: finish_reason {value!r} is neither stop nor length")


def _column(row: Row, names: Sequence[str], place: str) -> str:
    for name in names:
        if name in row:
            return name
    raise DataError(f"{place}: no column {' or '.join(names)}; the row has {', '.join(row)}")


def _first(row: Row, names: Sequence[str]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)
