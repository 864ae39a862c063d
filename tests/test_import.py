"""Rollouts made elsewhere: their ids kept or made here, judged here or by their file, none lost."""

import json
from array import array
from dataclasses import replace

import pytest
from transformers import AutoTokenizer

from data_gen import save_rollouts, verify
from data_gen.foreign_tokens import lacks_end
from data_gen.importing import import_chunks, import_rollouts
from data_gen.types import DataError

EOS = 0


@pytest.fixture
def tokenizer(random_model):
    return AutoTokenizer.from_pretrained(random_model)


@pytest.fixture
def brought(tmp_path, tokenizer):
    def read(*rows, style="raw", verify=verify):
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


def ids(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False)


def test_given_token_ids_and_their_log_probabilities_are_kept(brought, tokenizer):
    prompt, texts = ids(tokenizer, "Q: 1+1? "), [r"\boxed{2}", "two"]
    tokens = [[*ids(tokenizer, texts[0]), EOS], ids(tokenizer, texts[1])]
    logps = [[-0.5 * n for n in range(len(one))] for one in tokens]
    row = {"problem": "1+1?", "answer": "2", "prompt_ids": prompt}
    listed = brought({**row, "completions": texts, "completion_ids": tokens, "logprobs": logps})
    pairs = zip(texts, tokens, logps, strict=True)
    objects = [{"text": a, "token_ids": b, "logps": c} for a, b, c in pairs]
    assert brought({**row, "completions": objects}) == listed
    single = [{**row, "completion": o["text"], **o} for o in objects]
    assert brought(*single) == listed
    for rollout, one, values in zip(listed, tokens, logps, strict=True):
        assert rollout.completion.tokens == array("i", one)
        assert rollout.completion.logps == array("f", values)
        assert rollout.completion.prompt_tokens == array("i", prompt)
        assert rollout.completion.prompt == "Q: 1+1? "
    # Ids that no special token ends were cut off, unless the file says why they ended.
    assert [r.completion.finish_reason for r in listed] == ["stop", "length"]
    [stopped] = brought({**single[1], "finish_reason": "stop"})
    assert stopped.completion.finish_reason == "stop"
    assert stopped.completion.tokens == array("i", tokens[1])
    # What ended by itself has the token that ended it; what was cut off, or a stop string ended,
    # has none.
    [halted] = brought({**single[1], "text": "tw", "completion": "tw", "finish_reason": "stop"})
    every = (*listed, stopped, halted)
    assert [lacks_end(one.completion, tokenizer) for one in every] == [False, False, True, False]


def test_log_probabilities_without_their_token_ids_are_unknown(brought):
    row = {"problem": "q", "answer": "1", "completion": "x", "logps": [-1.0, -2.0]}
    assert not brought(row)[0].completion.logps


def test_special_tokens_in_a_text_with_ids_are_no_part_of_its_answer(brought, tokenizer):
    row = {"problem": "q", "answer": "1", "text": "x<eos>", "tokens": [*ids(tokenizer, "x"), EOS]}
    assert brought(row)[0].completion.text == "x"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokens": [3, 4, 5]}, "the token ids do not read as the completion"),
        ({"tokens": [1000, 1001]}, "the token ids do not read as the completion"),
        ({"tokens": "ids + [100000]"}, "the token ids do not read as the completion"),
        ({"tokens": ["x", "y"]}, "tokens is not a list of token ids"),
        ({"tokens": [True, 1]}, "tokens is not a list of token ids"),
        ({"tokens": [2**31]}, "tokens is not a list of token ids"),
        ({"tokens": 2}, "tokens is not a list of token ids"),
        ({"prompt_tokens": [3, 4, 5]}, "the prompt's token ids do not hold the problem"),
        ({"logps": [-1.0]}, "2 tokens but 1 log-probabilities"),
        ({"logps": [-1.0, float("nan")]}, r"logps\[1\] is nan, which is no log-probability"),
        ({"logps": [-float("inf"), -1.0]}, r"logps\[0\] is -inf, which is no log-probability"),
        ({"logps": [-1.0, 0.5]}, r"logps\[1\] is 0.5, which is no log-probability"),
        ({"logps": [-1.0, None]}, "logps is not a list of numbers"),
        ({"logps": [-1.0, -(10**400)]}, "which is no log-probability"),
        ({"reward": "good"}, "the reward is neither a finite number nor true or false"),
        ({"reward": 10**400}, "the reward is neither a finite number nor true or false"),
        ({"reward": float("nan")}, "the reward is neither a finite number nor true or false"),
    ],
)
def test_ids_log_probabilities_and_rewards_that_cannot_be_are_refused(
    brought, tokenizer, change, message
):
    tokens = ids(tokenizer, "no")
    good = {"problem": "q?", "answer": "1", "completion": "no", "tokens": tokens}
    if change.get("tokens") == "ids + [100000]":
        change = {"tokens": [*tokens, 100000]}
    with pytest.raises(DataError, match=rf"foreign\.jsonl:2: .*{message}"):
        brought(good, good | change)


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
