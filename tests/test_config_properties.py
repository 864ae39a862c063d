"""Settings, summaries and cards of any content are read, or refused in words of their own."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from data_gen.cards.counts import FilterCounts
from data_gen.cards.dataset_card import dataset_card
from data_gen.cards.rollout_counts import RolloutCounter
from data_gen.filters.ngrams import words_and_signs
from data_gen.types import DataError
from offline_rl.artifacts.checksums import checksummed_text, parse_checksummed
from offline_rl.cli.show_dataset import print_overview
from offline_rl.config.load import load
from offline_rl.config.several_models import SeveralModels
from offline_rl.config.yaml_io import UsageError, check_values, parse_yaml, to_yaml
from offline_rl.report.text import one_line, plain
from offline_rl.results.checkpoint_results import collect_checkpoints
from offline_rl.settings.base import label_of
from offline_rl.settings.data import DataSettings
from tests.helpers.hostile_texts import inert
from tests.helpers.properties import any_text, cells, few, in_folder, many, value_or
from tests.helpers.summaries import dataset_summary

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
    value_or(UsageError, load, path, overrides, SeveralModels)
    value_or(UsageError, load, path, overrides, DataSettings)


@in_folder
@given(st.binary(max_size=100) | st.text("{}[]:-&*!?|>%@`#, \n\t'\"ab01~<.", max_size=40))
def test_any_bytes_are_settings_or_refused(tmp_path, content):
    path = tmp_path / "x.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    value_or(UsageError, load, path, [], SeveralModels)
    if isinstance(content, str):
        value_or(UsageError, parse_yaml, content)


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
    with pytest.raises(UsageError):
        load(path, [], SeveralModels)
    (tmp_path / "evaluation.json").write_text(text)
    with pytest.raises(DataError):
        collect_checkpoints(tmp_path)


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
    text = checksummed_text(value)
    assert parse_checksummed(text.encode()) == value
    assert parse_checksummed(text.replace("{", "{ ", 1).encode()) is None


@in_folder
@given(st.binary(max_size=60) | cells.map(lambda value: json.dumps(value).encode()))
def test_a_sealed_file_of_anything_is_none(content):
    assert parse_checksummed(content) is None


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
    path = tmp_path / "evaluation.json"
    try:
        path.write_text(checksummed_text({"labels": known}))
    except (AttributeError, ValueError):
        path.write_text(json.dumps(known))
    value_or(DataError, collect_checkpoints, tmp_path)


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
@given(st.booleans(), st.dictionaries(COUNTS, summaries, max_size=3), st.integers(0, 9), any_text)
def test_any_summary_is_printed_as_text_or_refused(tmp_path, whole, others, count, text):
    import io

    sampled = RolloutCounter().sampled().model_dump(mode="json")
    sampled |= {"rollouts": count, f"wrong_{text}": count, "problems_by_pass_rate": {text: count}}
    summary = dataset_summary(
        filters={text: dict.fromkeys(FilterCounts.model_fields, count)} if whole else {}
    )
    counts = summary.model_dump(mode="json") if whole else sampled
    for written in (counts, {**counts, **others}):
        (tmp_path / "summary.json").write_text(json.dumps(written))
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
    except UsageError:
        return
    assert "\0" not in str(values)
    yaml.safe_dump(values).encode()
