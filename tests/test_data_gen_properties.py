"""Every parser of outside text gives a value or an error of its own, whatever it is given."""

import json
import math
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_gen.exchange.import_rollouts import import_rollouts
from data_gen.exchange.import_rows import foreign_rows, written
from data_gen.model_ref import ModelRef
from data_gen.problems.gold_answers import gold_answer
from data_gen.problems.sources import ProblemSource
from data_gen.prompts import check_style, render
from data_gen.samplers.tokenizer import load_tokenizer
from data_gen.store.rollouts import load_rollouts, save_rollouts
from data_gen.store.table_files import jsonl_rows, plain_text, read_file
from data_gen.types import Completion, DataError, Problem, Rollout, Verdict
from data_gen.verifiers.answer_text import boxed
from data_gen.verifiers.answer_text.limits import refusal
from data_gen.verifiers.answer_text.normalise import normal
from data_gen.verifiers.answer_text.numbers import rational
from data_gen.verifiers.choice import ChoiceSettings
from data_gen.verifiers.exact import ExactSettings
from data_gen.verifiers.math import MathSettings, compare_plain
from data_gen.verifiers.math_engine.parse import read
from data_gen.verifiers.numeric import NumericSettings
from offline_rl.tiny_base import TINY_BASE
from tests.helpers.properties import any_text, cells, few, in_folder, many, texts, value_or

pytestmark = pytest.mark.xdist_group("verifiers")


@many
@given(texts)
def test_an_answer_is_found_or_not(text):
    for found in (
        boxed.last_box(text),
        boxed.final_boxes(text),
        *(MathSettings(answer=how).find(text) for how in ("boxed", "any")),
    ):
        assert found is None or isinstance(found, str | Verdict)
    assert isinstance(boxed.own_turn(text, ("end",)), str)
    assert 0 <= boxed.last_box_end(text) <= len(text)
    assert boxed.has_open_box(text) in (True, False)


@pytest.mark.parametrize("text", ["**", "* .", "The answer is: the total ="])
def test_a_turn_that_ends_before_its_answer_states_none(text):
    found = MathSettings(answer="any").find(text)
    assert isinstance(found, Verdict)
    assert found.label == "wrong"


@many
@given(st.text(st.sampled_from(string.ascii_letters + " +-*/^0123456789"), min_size=1))
def test_what_is_put_in_a_box_is_found_there(text):
    inside = text.strip()
    assert boxed.last_box(f"so \\boxed{{{text}}} it is") == inside


@many
@given(texts, texts)
def test_two_answers_are_judged_without_a_worker_or_left_to_one(gold, answer):
    assert refusal(answer, 2000, gold) is None or refusal(answer, 2000, gold)
    one, other = normal(gold), normal(answer)
    assert normal(one) is not None
    found = compare_plain(one, other)
    assert found is None or found.label in ("correct", "wrong", "unverifiable")
    assert rational(one) is None or rational(one) is not None
    assert read(other) is not None


@many
@given(texts, texts)
def test_verifiers_without_a_worker_give_verdicts(gold, completion):
    for kind in (ExactSettings, NumericSettings, ChoiceSettings):
        with kind().open() as verify:
            [verdict] = verify([(gold, completion)])
        assert verdict.label in ("correct", "wrong", "unverifiable")
        assert verdict.reason or verdict.label == "correct"


@many
@given(cells, st.sampled_from(["column", "last_box", "after_hashes", "first"]), st.booleans())
def test_a_gold_answer_is_text_that_can_be_stored(value, how, dollars):
    found = value_or(DataError, gold_answer, value, how, dollars, "here")
    assert found is None or found.encode().decode() == found.strip()


@many
@given(cells)
def test_a_cell_is_text_or_refused(value):
    found = value_or(DataError, plain_text, value, "here")
    assert found is None or found.encode() is not None
    if isinstance(value, int) and not isinstance(value, bool):
        assert int(found) == value
    if isinstance(value, float) and math.isfinite(value):
        assert float(found) == value


@in_folder
@given(st.binary(max_size=200) | cells.map(lambda v: json.dumps(v).encode()))
def test_any_bytes_are_rows_or_refused(tmp_path, content):
    for name in ("x.jsonl", "x.parquet"):
        path = tmp_path / name
        path.write_bytes(content)
        value_or(DataError, read_file, path)
        value_or(DataError, lambda path: list(foreign_rows(path)), path)
        value_or(DataError, load_rollouts, path)
    value_or(DataError, lambda path: list(jsonl_rows(path)), tmp_path / "x.jsonl")


NAMES = st.sampled_from(
    [
        "problem",
        "question",
        "prompt",
        "answer",
        "gold",
        "id",
        "problem_id",
        "solution",
        "completion",
        "response",
        "text",
        "completions",
        "responses",
        "tokens",
        "logps",
        "reward",
        "score",
        "is_correct",
        "finish_reason",
        "prompt_tokens",
    ]
)
messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system"])} | {"content": texts}
    ),
    max_size=3,
)
rows = st.lists(
    st.dictionaries(
        NAMES | any_text, cells | messages | st.lists(st.integers(), max_size=3), max_size=7
    ),
    min_size=1,
    max_size=4,
)


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(ModelRef(str(TINY_BASE)))


@settings(in_folder, max_examples=80)
@given(rows, st.booleans())
def test_foreign_rows_become_rollouts_or_are_refused(tmp_path, tokenizer, rows, judged):
    path = tmp_path / "x.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    for number, row in enumerate(rows):
        value_or(DataError, lambda row, at: list(written(row, at)), row, f"x:{number}")

    def bring(path):
        verify = ExactSettings().open() if judged else None
        return import_rollouts(path, tokenizer=tokenizer, style="raw", verify=verify)

    found = value_or(DataError, bring, path)
    for name in ("y.jsonl", "y.parquet"):
        if found:
            save_rollouts(found, tmp_path / name)
            assert load_rollouts(tmp_path / name) == found
    value_or(DataError, ProblemSource(source=str(path), incomplete="drop").load)


stored = st.builds(
    Rollout,
    st.builds(Problem, texts, texts, texts, texts),
    st.builds(
        Completion,
        *(st.just("p"), st.integers(0, 9), st.integers(0, 2**62), texts),
        *(st.lists(st.integers(0, 2**31 - 1), max_size=3), texts, st.just([1, 2])),
        st.just([]) | st.lists(st.floats(-1e3, 0, width=32), min_size=2, max_size=2),
        st.sampled_from(["stop", "length"]),
    ),
    st.builds(
        Verdict, st.sampled_from(["correct", "wrong"]), st.floats(-9, 9), texts, texts
    ),
)  # fmt: skip


@in_folder
@given(st.lists(stored, max_size=3))
def test_rollouts_are_read_back_equal(tmp_path, rollouts):
    for rollout in rollouts:
        object.__setattr__(rollout.completion, "problem_id", rollout.problem.id)
    for name in ("x.jsonl", "x.parquet"):
        save_rollouts(rollouts, tmp_path / name)
        assert load_rollouts(tmp_path / name) == rollouts


@in_folder
@given(st.lists(stored, min_size=1, max_size=2), st.data())
@pytest.mark.parametrize("name", ["x.jsonl", "x.parquet"])
def test_a_damaged_file_of_rollouts_is_refused_or_read(tmp_path, name, rollouts, data):
    save_rollouts(rollouts, tmp_path / name)
    content = bytearray((tmp_path / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / name).write_bytes(content[: data.draw(st.integers(0, len(content)))] or content)
    for reader in (load_rollouts, read_file, lambda path: list(foreign_rows(path))):
        value_or(DataError, reader, tmp_path / name)


@few
@given(any_text | st.just("raw") | texts.map(lambda text: f"{text}{{problem}}"), texts)
def test_a_prompt_is_a_style_a_template_or_refused(tokenizer, style, problem):
    if value_or(DataError, check_style, style) is None:
        return
    text = value_or(DataError, render, Problem("a", problem, "1"), style, tokenizer)
    assert text is None or problem in text
