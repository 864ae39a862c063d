"""Figures of one grid: how often right, how long, how varied."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from data_gen.types import DataError


def avg_at_k(correct: npt.ArrayLike) -> float:
    """Share of correct samples; `correct` is (problems, k) of 0 and 1."""
    table = np.asarray(correct, dtype=float)
    if table.size == 0:
        raise DataError("avg@k of no samples is not defined")
    return float(table.mean())


def pass_at_k(n: Any, c: Any, k: int) -> Any:
    """Probability that k samples drawn from n without replacement hold a correct one, c being so.

    `1 - C(n - c, k) / C(n, k)` as a product, unbiased for the chance that k fresh samples do (Chen
    et al., arXiv 2107.03374). `n` and `c` are ints, or arrays that broadcast; a float or an array.
    Raises DataError unless 1 <= k <= n and 0 <= c <= n.
    """
    total, right = np.broadcast_arrays(np.asarray(n), np.asarray(c))
    if k < 1 or (total < k).any():
        raise DataError(f"pass@{k} needs 1 <= k <= n: only {total.min()} samples")
    if (right < 0).any() or (right > total).any():
        raise DataError("pass@k needs between 0 and n correct samples")
    all_wrong = np.ones(total.shape)
    for drawn in range(k):
        all_wrong = all_wrong * np.maximum(total - right - drawn, 0) / (total - drawn)
    estimate = 1.0 - all_wrong
    return float(estimate) if estimate.ndim == 0 else estimate


def maj_at_k(answers: Sequence[str], correct: Sequence[bool]) -> float:
    """Credit of the most frequent answer among one problem's k samples, between 0 and 1.

    Correct samples are one class, for they all equal the gold answer; wrong ones are classed by
    their text without white space. A wrong sample without an answer has no vote. On a tie the
    credit is the correct class's share of it, what a fair draw would give.
    """
    votes: Counter[tuple[bool, str]] = Counter()
    for answer, right in zip(answers, correct, strict=True):
        text = "" if right else "".join(answer.split())
        if right or text:
            votes[bool(right), text] += 1
    if not votes:
        return 0.0
    top = max(votes.values())
    winners = [right for (right, _), count in votes.items() if count == top]
    return sum(winners) / len(winners)


def maj_share(grid: pd.DataFrame) -> float:
    """Mean of maj@k over problems."""
    problems: dict[str, tuple[list[str], list[bool]]] = {}
    rows = zip(grid["problem_id"], grid["answer"], grid["verdict"], strict=True)
    for problem, answer, verdict in rows:
        answers, correct = problems.setdefault(problem, ([], []))
        answers.append(answer)
        correct.append(verdict == "correct")
    return float(np.mean([maj_at_k(*samples) for samples in problems.values()]))


def truncated_share(grid: pd.DataFrame) -> float:
    return float(grid["truncated"].mean())


def no_answer_share(grid: pd.DataFrame) -> float:
    """Share of samples in which the verifier found no final answer and that are not correct."""
    return float(((grid["answer"] == "") & (grid["verdict"] != "correct")).mean())


def verifier_timeout_share(grid: pd.DataFrame) -> float:
    return float(((grid["verdict"] == "unverifiable") & (grid["reason"] == "time-out")).mean())


def mean_tokens(grid: pd.DataFrame) -> float:
    return float(grid["tokens"].mean())


def mean_reward(grid: pd.DataFrame) -> float:
    return float(grid["reward"].mean())


def distinct_answers(grid: pd.DataFrame) -> float:
    """Mean number over problems of different answer texts, no answer not counted."""
    answers = grid["answer"].where(grid["answer"] != "")
    return float(answers.groupby(grid["problem_id"]).nunique().mean())


def token_entropy(grid: pd.DataFrame, temperature: float) -> float:
    """Mean of -log p in nats over all sampled tokens, an estimate of the entropy per token.

    NaN where it would not be one: at any temperature but 1, or without log-probabilities.
    """
    known = grid[grid["nll"].notna()]
    tokens = known["tokens"].sum()
    if temperature != 1.0 or tokens == 0:
        return float("nan")
    return float((known["nll"] * known["tokens"]).sum() / tokens)
