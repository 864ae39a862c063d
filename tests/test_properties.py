"""Every parser of outside text gives a value or an error of its own, whatever it is given."""

import json
import math
import string
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from data_gen.card import dataset_card
from data_gen.filters.ngrams import words_and_signs
from data_gen.foreign import foreign_rows, written
from data_gen.gold import gold_answer
from data_gen.importing import import_rollouts
from data_gen.problems import ProblemSource
from data_gen.prompts import check_style, render
from data_gen.rows import jsonl_rows, plain_text, read_file
from data_gen.samplers.tokenizer import load_tokenizer
from data_gen.storage import load_rollouts, save_rollouts
from data_gen.types import Completion, DataError, Problem, Rollout, Verdict
from data_gen.verifiers import extraction
from data_gen.verifiers.choice import ChoiceSettings
from data_gen.verifiers.exact import ExactSettings
from data_gen.verifiers.limits import refusal
from data_gen.verifiers.math import MathSettings
from data_gen.verifiers.notation import normal
from data_gen.verifiers.numbers import rational
from data_gen.verifiers.numeric import NumericSettings
from data_gen.verifiers.quick import settled
from data_gen.verifiers.shape import read
from offline_rl.overview import print_overview
from offline_rl.report.text import one_line, plain
from offline_rl.sealing import sealed, unsealed
from offline_rl.series import load_settings
from offline_rl.settings import data_settings_of, label_of
from offline_rl.standalone import gather_alone
from offline_rl.tiny_base import TINY_BASE
from offline_rl.yaml_text import SettingsError, check_values, parse_yaml, to_yaml
from tests.hostile_parts import inert

few = settings(max_examples=40, deadline=None)
many = settings(max_examples=100, deadline=None)
in_folder = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

# What answers are made of, so that chance reaches further than the first sign.
PIECES = [
    *("\\boxed{", "}", "{", "\\frac", "\\sqrt", "$", "\\(", "\\)", "^", "_", "\\text{", "1", "2/3"),
    *("answer is ", "\n", "####", "</think>", "<|im_end|>", ",", "(", ")", "=", "\\pi", "x", "%"),
    *(
        "\\left",
        "\\right",
        "\\{",
        "[",
        "]",
        "\\cup",
        "\\infty",
        "-",
        "!",
        "e",
        "√",
        "½",
        "A.",
        "**",
    ),
    *(
        "\\begin{pmatrix}",
        "&",
        "\\\\",
        "\\end{pmatrix}",
        "\\binom",
        "°",
        "\x00",
        "\u202e",
        "٣",
        "²",
    ),
]
latex = st.lists(st.sampled_from(PIECES), max_size=25).map("".join)
texts = latex | st.text(max_size=80)
any_text = st.text(st.characters(), max_size=60)  # Halves of surrogate pairs as well.
cells = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text | latex,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=8,
)


def value_or(kinds, parse, *arguments):
    """The value, or None where the parser refuses in words of its own."""
    try:
        return parse(*arguments)
    except kinds as error:
        if not str(error).strip():
            raise
    return None


@many
@given(texts)
def test_an_answer_is_found_or_not(text):
    for found in (
        extraction.last_box(text),
        extraction.final_boxes(text),
        *(MathSettings(answer=how).find(text) for how in ("boxed", "any")),
    ):
        assert found is None or isinstance(found, str | Verdict)
    assert isinstance(extraction.own_turn(text, ("end",)), str)
    assert 0 <= extraction.last_box_end(text) <= len(text)
    assert extraction.has_open_box(text) in (True, False)


@pytest.mark.parametrize("text", ["**", "* .", "The answer is: the total ="])
def test_a_turn_that_ends_before_its_answer_states_none(text):
    found = MathSettings(answer="any").find(text)
    assert isinstance(found, Verdict)
    assert found.label == "wrong"


@many
@given(st.text(st.sampled_from(string.ascii_letters + " +-*/^0123456789"), min_size=1))
def test_what_is_put_in_a_box_is_found_there(text):
    inside = text.strip()
    assert extraction.last_box(f"so \\boxed{{{text}}} it is") == inside


@many
@given(texts, texts)
def test_two_answers_are_judged_without_a_worker_or_left_to_one(gold, answer):
    assert refusal(answer, 2000, gold) is None or refusal(answer, 2000, gold)
    one, other = normal(gold), normal(answer)
    assert normal(one) is not None
    found = settled(one, other)
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
    return load_tokenizer(str(TINY_BASE))


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


KEYS = st.sampled_from(
    [
        "name",
        "model",
        "models",
        "revision",
        "prompt",
        "problems",
        "source",
        "limit",
        "sampler",
        "kind",
        "url",
        "api_key_variable",
        "options",
        "verifier",
        "function",
        "sampling",
        "samples",
        "temperature",
        "stop",
        "methods",
        "rft",
        "dpo",
        "beta",
        "training",
        "lr",
        "sweep",
        "grids",
        "evaluation",
        "benchmarks",
        "decodings",
        "budget",
        "seeds",
        "filters",
        "cluster",
        "address",
        "a",
    ]
)
SCALARS = (
    st.sampled_from(
        ["tiny", "auto", "server", "math", "arithmetic", "~", "no", "1e5", "0x1f", "{problem}"]
    )
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.none()
    | any_text
)
trees = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | any_text, inner, max_size=4),
    max_leaves=12,
)
settings_trees = st.dictionaries(KEYS | any_text, trees, max_size=7)
overrides = st.lists(
    st.builds("{}={}".format, st.lists(KEYS, min_size=1, max_size=3).map(".".join), trees)
    | any_text,
    max_size=3,
)
BASE = yaml.safe_load((Path(__file__).parents[1] / "offline_rl/experiments/demo.yaml").read_text())


@settings(in_folder, max_examples=80)
@given(settings_trees | settings_trees.map(lambda tree: {**BASE, **tree}), overrides)
def test_settings_are_read_or_refused(tmp_path, tree, overrides):
    path = tmp_path / "x.yaml"
    path.write_bytes(yaml.safe_dump(tree).encode("utf-8", "replace"))
    value_or(SettingsError, load_settings, path, overrides)
    value_or(SettingsError, data_settings_of, [str(path), *overrides])


@in_folder
@given(st.binary(max_size=100) | st.text("{}[]:-&*!?|>%@`#, \n\t'\"ab01~<.", max_size=40))
def test_any_bytes_are_settings_or_refused(tmp_path, content):
    path = tmp_path / "x.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    value_or(SettingsError, load_settings, path, [])
    if isinstance(content, str):
        value_or(SettingsError, parse_yaml, content)


@pytest.mark.parametrize(
    "text",
    [
        "a: &a {a: *a}\n",
        "a: " + "[" * 5000,
        "a: &a [1,1,1,1,1,1,1,1,1]\n"
        + "".join(
            f"a{n}: &a{n} [{','.join(['*a' + str(n - 1 or '')] * 9)}]\n" for n in range(1, 12)
        ),
        "a: 0x" + "f" * 9000,
        "a: " + "9" * 5000,
        "<<: {a: 1}\n",
        "a: !!python/object/apply:os.system [id]\n",
        'a: "\\ud800"\n',
        'a: "\\0"\n',
        "? [a, b]\n: c\n",
    ],
)
def test_settings_without_an_end_or_of_other_kinds_are_refused_at_once(tmp_path, text):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError):
        load_settings(path, [])
    (tmp_path / "evaluation.yaml").write_text(text)
    with pytest.raises(DataError):
        gather_alone(tmp_path)


leaves = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=20)
leaves |= st.floats(allow_nan=False, allow_infinity=False)
leaves |= st.sampled_from(["1e5", "0x1f", "no", "~", "1:30", "2024-01-01", "<<", "="])
plain_trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=10,
)


@many
@given(plain_trees)
def test_yaml_is_read_back_equal(tree):
    assert parse_yaml(to_yaml(tree)) == tree


@few
@given(st.dictionaries(st.text(max_size=9), plain_trees, max_size=4))
def test_a_sealed_object_is_read_back_equal_and_a_changed_one_is_none(value):
    value.pop("sha256", None)
    text = sealed(value)
    assert unsealed(text.encode()) == value
    assert unsealed(text.replace("{", "{ ", 1).encode()) is None


@in_folder
@given(st.binary(max_size=60) | cells.map(lambda value: json.dumps(value).encode()))
def test_a_sealed_file_of_anything_is_none(content):
    assert unsealed(content) is None


LABELS = st.sampled_from(["a", "b", "x y", "../x"])
evaluations = st.dictionaries(
    LABELS,
    trees
    | st.fixed_dictionaries(
        {
            "common": st.fixed_dictionaries({"model": trees, "versions": trees}) | trees,
            "settings": st.fixed_dictionaries(
                {"name": LABELS, "model": SCALARS, "evaluation": trees} | {"sampler": trees}
            )
            | trees,
        }
    ),
    max_size=2,
)


@settings(in_folder, max_examples=80)
@given(evaluations | trees)
def test_settings_of_evaluations_are_read_or_refused(tmp_path, known):
    path = tmp_path / "evaluation.yaml"
    path.write_bytes(yaml.safe_dump(known).encode("utf-8", "replace"))
    value_or(DataError, gather_alone, tmp_path)


COUNTS = st.sampled_from(
    [
        "rollouts",
        "correct",
        "problems",
        "accepted",
        "mean_tokens",
        "max_tokens",
        "problems_by_pass_rate",
        "dataset",
        "filters",
        "pairs",
        "audit",
        "truncated",
        "a",
    ]
)
summaries = st.recursive(
    cells, lambda inner: st.dictionaries(COUNTS, inner, max_size=5), max_leaves=12
)


@settings(in_folder, max_examples=80)
@given(
    st.fixed_dictionaries({"rollouts": st.integers(0, 9), "correct": st.integers(0, 9)}),
    st.dictionaries(COUNTS, summaries, max_size=5),
)
def test_any_summary_is_printed_as_text_or_refused(tmp_path, counts, others):
    import io

    for summary in ({**counts, **others}, {**others, "dataset": counts}, {**others, **counts}):
        (tmp_path / "summary.json").write_text(json.dumps(summary))
        stream = io.StringIO()
        value_or(DataError, print_overview, tmp_path, Console(file=stream, width=80))
        assert inert(stream.getvalue())


@many
@given(st.dictionaries(any_text, cells, max_size=4), st.dictionaries(any_text, cells, max_size=4))
def test_a_card_has_its_own_settings_whatever_it_tells(summary, about):
    card = dataset_card("name", summary, about, licence="mit")
    assert inert(card)
    _, front, _ = card.split("---\n", 2)
    keys = {"pretty_name", "license", "task_categories", "configs"}
    assert yaml.safe_load(front).keys() == keys


@many
@given(any_text)
def test_what_is_shown_is_inert_and_labels_are_names(text):
    assert inert(one_line(text))
    assert plain(plain(text)) == plain(text)
    assert Path(label_of(text)).name == label_of(text)
    assert label_of(label_of(text)) == label_of(text)
    assert all(words_and_signs(text))


@many
@given(st.lists(cells, max_size=3))
def test_checked_values_can_be_stored(values):
    try:
        check_values(values)
    except SettingsError:
        return
    assert "\0" not in str(values)
    yaml.safe_dump(values).encode()
