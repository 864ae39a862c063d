"""Imported token ids and log-probabilities are kept where they are the text's, or refused."""

from array import array
from dataclasses import replace

import pytest

from data_gen import save_rollouts
from data_gen.exchange.import_rollouts import import_rollouts
from data_gen.exchange.import_tokens import lacks_end
from data_gen.types import DataError
from tests.helpers import imported_rows
from tests.helpers.imported_rows import EOS

tokenizer = imported_rows.tokenizer
brought = imported_rows.brought


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
