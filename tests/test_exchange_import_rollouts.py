"""Rows made elsewhere become rollouts: their ids kept or made here, whole problems, none lost."""

import json

import pytest

from data_gen import save_rollouts
from data_gen.exchange.import_rollouts import import_chunks, import_rollouts
from data_gen.types import DataError
from tests.helpers import imported_rows
from tests.helpers.imported_rows import EOS

tokenizer = imported_rows.tokenizer
brought = imported_rows.brought


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
        ({"answer": "1", "completion": "x"}, "no column problem or question or prompt"),
        ({"problem": "q", "completion": "x"}, "no gold answer .answer, gold, ground_truth"),
        ({"problem": "q", "answer": "1"}, "no column completion or response or text"),
        ({"problem": "q", "answer": "", "completion": "x"}, "no gold answer"),
        ({"problem": "", "answer": "1", "completion": "x"}, "the problem is empty"),
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


def test_a_conversation_of_one_question_is_its_problem(brought):
    plain = brought({"problem": "1+1?", "answer": "2", "completion": "x"}, style="Q: {problem}\n")
    user = {"role": "user", "content": "1+1?"}
    answer = [{"role": "assistant", "content": "x"}]
    for messages in ([user], [{"role": "system", "content": "be brief"}, user]):
        row = {"prompt": messages, "answer": "2", "completion": answer}
        assert brought(row, style="Q: {problem}\n") == plain
        listed = {"prompt": messages, "answer": "2", "completions": [answer]}
        assert brought(listed, style="Q: {problem}\n") == plain
    for messages in ([user, answer[0], user], answer, [user, user]):
        with pytest.raises(DataError, match=r"foreign\.jsonl:1: a conversation of .* is no single"):
            brought({"prompt": messages, "answer": "2", "completion": "x"})


def many_problems():
    return [
        {"problem": f"{n}?", "answer": f"{n}", "completion": f"{text}", "reward": 1}
        for n in range(600)
        for text in ("a", "b")
    ]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_rollouts_come_chunk_by_chunk_and_whole_problems_together(tmp_path, tokenizer, suffix):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = many_problems()
    shuffled = sorted(rows, key=lambda row: row["completion"])
    path = tmp_path / f"rows.{suffix}"
    seen = []
    for order in (rows, shuffled):
        if suffix == "jsonl":
            path.write_text("".join(f"{json.dumps(row)}\n" for row in order))
        else:
            pq.write_table(pa.Table.from_pylist(order), path)
        chunks = list(import_chunks(path, tokenizer=tokenizer, style="raw", verify=None))
        assert len(chunks) == 3
        seen.append([rollout for chunk in chunks for rollout in chunk])
    assert seen[0] == seen[1]
    assert [(r.problem.prompt, r.completion.text, r.completion.sample) for r in seen[0]] == [
        (row["problem"], row["completion"], "ab".index(row["completion"])) for row in rows
    ]
    assert seen[0][0].completion.prompt_tokens is seen[0][1].completion.prompt_tokens


def test_a_fault_at_the_end_is_told_before_anything_is_verified(tmp_path, tokenizer):
    def nobody(pairs):
        raise AssertionError("verified too early")

    path = tmp_path / "rows.jsonl"
    rows = [*many_problems(), {"problem": "last", "answer": "1"}]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    with pytest.raises(DataError, match=r"rows\.jsonl:1201: no column completion"):
        next(import_chunks(path, tokenizer=tokenizer, style="raw", verify=nobody))


def test_one_id_for_two_problems_is_refused(brought):
    row = {"id": 1, "problem": "q", "answer": "1", "completion": "x"}
    with pytest.raises(DataError, match="two problems have the id '1'"):
        brought(row, row | {"answer": "2"})
    with pytest.raises(DataError, match="holds no rows"):
        brought()
