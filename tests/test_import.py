"""Rollouts made elsewhere: tokenised here, judged here, none lost."""

import json
from dataclasses import replace

import pytest
from transformers import AutoTokenizer

from data_gen import save_rollouts, verify
from data_gen.importing import import_rollouts
from data_gen.types import DataError

EOS = 0


@pytest.fixture
def tokenizer(random_model):
    return AutoTokenizer.from_pretrained(random_model)


@pytest.fixture
def brought(tmp_path, tokenizer):
    def read(*rows, style="raw"):
        path = tmp_path / "foreign.jsonl"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        return import_rollouts(path, tokenizer=tokenizer, style=style, verify=verify)

    return read


def test_a_list_of_completions_becomes_its_rollouts(brought, tokenizer):
    texts = [r"é \boxed{2}", r"\boxed{3}", "no idea"]
    rollouts = brought(
        {"problem": "1+1?", "answer": 2, "completions": texts, "grader_score": [False] * 3},
        style="Q: {problem}\n",
    )
    assert [r.verdict.label for r in rollouts] == ["correct", "wrong", "wrong"]
    assert [r.completion.sample for r in rollouts] == [0, 1, 2]
    assert len({r.problem.id for r in rollouts}) == 1
    for rollout, text in zip(rollouts, texts, strict=True):
        completion = rollout.completion
        assert completion.text == text
        assert completion.tokens[-1] == EOS
        assert tokenizer.decode(completion.tokens[:-1]) == text
        assert tokenizer.decode(completion.prompt_tokens) == completion.prompt == "Q: 1+1?\n"
        assert not completion.logps
        assert completion.finish_reason == "stop"


def test_one_row_a_completion_gives_the_same(brought):
    problem = {"question": "1+1?", "gold": "2"}
    texts = [r"\boxed{2}", "x", r"\boxed{2}"]
    listed = brought({**problem, "completions": texts})
    other = {"question": "2+2?", "gold": "4", "response": r"\boxed{4}"}
    rows = [{**problem, "response": text} for text in texts]
    mixed = brought(rows[0], other, rows[1], rows[2])
    assert mixed[:3] == listed
    assert [r.completion.sample for r in mixed] == [0, 1, 2, 0]


def test_truncated_completions_get_no_end_token(brought):
    reasons = ["length", "stop"]
    row = {"problem": "q", "answer": "1", "completions": ["a", "b"], "finish_reason": reasons}
    cut, ended = brought(row)
    assert cut.completion.truncated
    assert EOS not in cut.completion.tokens
    assert ended.completion.tokens[-1] == EOS
    texts = [{"text": "a", "finish_reason": "length"}, {"text": "b"}]
    assert brought({"problem": "q", "answer": "1", "completions": texts}) == [cut, ended]


def test_ids_of_the_file_are_kept(brought):
    [rollout] = brought({"id": 7, "problem": "q", "answer": "1", "completion": "x"})
    assert rollout.problem.id == rollout.completion.problem_id == "7"


def test_our_own_files_are_taken_as_they_are(brought, tokenizer, tmp_path):
    rollouts = brought({"problem": "q", "answer": "1", "completions": ["a", r"\boxed{1}"]})

    def nobody(pairs):
        raise AssertionError("verified already")

    folder = tmp_path / "own"
    folder.mkdir()
    for path in (tmp_path / "own.jsonl", folder / "part-00000.parquet", folder):
        if path != folder:
            save_rollouts(rollouts, path)
        own = import_rollouts(path, tokenizer=tokenizer, style="raw", verify=nobody)
        assert own == rollouts


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"answer": "1", "completion": "x"}, "no column problem or prompt or question"),
        ({"problem": "q", "completion": "x"}, "no column answer or gold"),
        ({"problem": "q", "answer": "1"}, "no column completion or response or text"),
        ({"problem": "q", "answer": "", "completion": "x"}, "the answer is empty"),
        ({"problem": "q", "answer": "1", "completions": "x"}, "completions is not a list"),
        ({"problem": "q", "answer": "1", "completions": [1]}, "a completion is int, not text"),
        ({"problem": "q", "answer": "1", "completion": "\ud800"}, "half of a surrogate pair"),
        (
            {"problem": "q", "answer": "1", "completion": "x", "finish_reason": "eos"},
            "finish_reason 'eos' is neither stop nor length",
        ),
        (
            {"problem": "q", "answer": "1", "completions": ["x"], "finish_reason": []},
            "finish_reason is not a list as long as completions",
        ),
    ],
)
def test_a_bad_row_is_named_with_file_and_line(brought, row, message):
    good = {"problem": "good", "answer": "1", "completion": "x"}
    with pytest.raises(DataError, match=rf"foreign\.jsonl:2.*{message}"):
        brought(good, row)


def test_one_id_for_two_problems_is_refused(brought):
    row = {"id": 1, "problem": "q", "answer": "1", "completion": "x"}
    with pytest.raises(DataError, match="two problems have the id '1'"):
        brought(row, row | {"answer": "2"})
    with pytest.raises(DataError, match="holds no rows"):
        brought()


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


def test_tokens_of_another_tokenizer_are_refused(brought, tokenizer, tmp_path):
    rollouts = brought({"problem": "q", "answer": "1", "completions": ["a", "b"]})
    for tokens in ((5, 6), (10**6, 10**6)):
        completion = replace(rollouts[1].completion, tokens=tokens, logps=())
        foreign = [rollouts[0], replace(rollouts[1], completion=completion)]
        save_rollouts(foreign, tmp_path / "foreign.jsonl")
        with pytest.raises(DataError, match=r"sample 1 of .* tokenised by another model's"):
            import_rollouts(
                tmp_path / "foreign.jsonl", tokenizer=tokenizer, style="raw", verify=lambda _: []
            )
