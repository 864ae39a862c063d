"""Imported rollouts are judged here, or by their file where nobody verifies."""

import json

import pytest

from data_gen import verify
from data_gen.exchange.import_rollouts import import_rollouts
from data_gen.types import DataError
from tests.helpers import imported_rows

tokenizer = imported_rows.tokenizer
brought = imported_rows.brought


def test_rewards_of_the_file_are_verdicts_where_nobody_verifies(brought):
    rewards = [1, True, 2.5, 0.5, False, -1.0]
    row = {"problem": "q", "completions": ["x"] * len(rewards)}
    rollouts = brought({**row, "is_correct": rewards}, verify=None)
    assert [r.verdict.label for r in rollouts] == ["correct"] * 3 + ["wrong"] * 3
    assert [r.reward for r in rollouts] == [1.0, 1.0, 2.5, 0.5, 0.0, -1.0]
    single = [{"problem": "q", "completion": {"text": "x", "score": reward}} for reward in rewards]
    assert brought(*single, verify=None) == rollouts
    with pytest.raises(DataError, match=r"foreign\.jsonl:2: no reward .*have the completions ver"):
        brought(single[0], {"problem": "q", "completion": "x"}, verify=None)
    with pytest.raises(DataError, match=r"foreign\.jsonl:1: reward is not a list as long as"):
        brought({**row, "reward": 1}, verify=None)


def test_a_verifier_does_not_see_what_the_file_thinks(brought):
    row = {"problem": "1+1?", "answer": "2", "completions": [r"\boxed{2}", r"\boxed{3}"]}
    told = brought({**row, "rewards": [0, 1]})
    assert told == brought(row)
    assert [r.verdict.label for r in told] == ["correct", "wrong"]


def test_real_completions_agree_with_another_grader(real_data, tokenizer):
    path = real_data / "rollouts" / "qwen_math_50x8.jsonl"
    if not path.exists():
        path = real_data / "foreign_rollouts.jsonl"
    rollouts = import_rollouts(path, tokenizer=tokenizer, style="raw", verify=verify)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [r.verdict.label == "correct" for r in rollouts] == [
        score for row in rows for score in row["grader_score"]
    ]
    assert [r.completion.text for r in rollouts] == [t for row in rows for t in row["completions"]]
    # The file's own grades are taken where nobody verifies.
    told = import_rollouts(path, tokenizer=tokenizer, style="raw", verify=None)
    assert [r.completion for r in told] == [r.completion for r in rollouts]
    assert [r.verdict.label == "correct" for r in told] == [
        score for row in rows for score in row["grader_score"]
    ]
