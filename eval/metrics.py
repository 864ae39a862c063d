"""Figures of one grid: how often right, how long, how varied."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from data_gen.types import DataError
from data_gen.verifiers.answer_class import answer_class


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
    `answer_class`. A wrong sample without an answer has no vote. On a tie the credit is the correct
    class's share of it, what a fair draw would give.
    """
    classes = _classes(np.asarray(answers, dtype=object), np.asarray(correct, dtype=bool))
    return float(_votes(np.zeros(len(classes), dtype=np.int64), classes).credit().sum())


def maj_share(grid: pd.DataFrame) -> float:
    """Mean of maj@k over problems."""
    return float(_ballots(grid).credit().mean())


def distinct_answers(grid: pd.DataFrame) -> float:
    """Mean number over problems of classes of answers, those of `maj_at_k`; no answer is none."""
    return float(_ballots(grid).different().mean())


@dataclass(frozen=True)
class _Votes:
    """Votes for each (problem, class of answers) that has any; class 0 is the correct one."""

    problems: int
    problem: npt.NDArray[np.int64]
    answer: npt.NDArray[np.int64]
    count: npt.NDArray[np.int64]

    def credit(self) -> npt.NDArray[np.float64]:
        """(problems,) shares of the most frequent class, 0 where there are no votes."""
        top = np.zeros(self.problems, dtype=np.int64)
        np.maximum.at(top, self.problem, self.count)
        winners = self.problem[self.count == top[self.problem]]
        right = self.problem[(self.count == top[self.problem]) & (self.answer == 0)]
        sharing = np.bincount(winners, minlength=self.problems)
        shares: npt.NDArray[np.float64] = np.bincount(right, minlength=self.problems) / np.maximum(
            sharing, 1
        )
        return shares

    def different(self) -> npt.NDArray[np.int64]:
        """(problems,) numbers of classes."""
        return np.bincount(self.problem, minlength=self.problems)


def _ballots(grid: pd.DataFrame) -> _Votes:
    correct = (grid["verdict"] == "correct").to_numpy()
    classes = _classes(grid["answer"].to_numpy(dtype=object), correct)
    return _votes(pd.factorize(grid["problem_id"])[0], classes)


def _classes(answers: npt.NDArray[Any], correct: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """The class of each sample as a number: 0 for correct ones, -1 where there is no answer."""
    wrong = np.flatnonzero(~correct)
    numbers, texts = pd.factorize(answers[wrong])
    known: dict[Hashable, int] = {}
    of_text = [
        known.setdefault(answer_class(text), len(known) + 1) if text.strip() else -1
        for text in texts
    ]
    classes = np.zeros(len(answers), dtype=np.int64)
    classes[wrong] = np.array(of_text, dtype=np.int64)[numbers]
    return classes


def _votes(problems: npt.NDArray[np.int64], classes: npt.NDArray[np.int64]) -> _Votes:
    voting = classes >= 0
    most = int(classes.max(initial=0)) + 1
    found, counts = np.unique(problems[voting] * most + classes[voting], return_counts=True)
    return _Votes(int(problems.max()) + 1, found // most, found % most, counts)


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


def token_entropy(grid: pd.DataFrame, temperature: float, top_p: float) -> float:
    """Mean of -log p in nats over all sampled tokens, an estimate of the entropy per token.

    NaN where it would not be one: at any temperature or top-p but 1, or without log-probabilities.
    """
    known = grid[grid["nll"].notna()]
    tokens = known["tokens"].sum()
    if temperature != 1.0 or top_p != 1.0 or tokens == 0:
        return float("nan")
    return float((known["nll"] * known["tokens"]).sum() / tokens)
