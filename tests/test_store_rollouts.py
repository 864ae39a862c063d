"""Stored rollouts: equal to the bit when read again, whole or absent, and refused when damaged."""

import html
import json
import os
import re
from array import array
from random import Random

import pyarrow.parquet as pq
import pytest
import yaml
from markdown_it import MarkdownIt

from data_gen import load_rollouts, save_rollouts
from data_gen.cards.dataset_card import dataset_card
from data_gen.cards.rollout_counts import DatasetCounter, DatasetCounts, RolloutCounter
from data_gen.types import Completion, DataError, Problem, Rollout, Verdict

TEXTS = ["", "né 数 🙂", "nul\0 and \u2028 and \r\n", '"quoted", \\boxed{1}', " \ufeffmark", "=1+1"]


def rollout(text="text", problem="p", sample=0, verdict=None, finish="stop", logps=(-0.1, -2.0)):
    tokens = tuple(range(len(logps) or 2))
    logps = tuple(array("f", logps))
    return Rollout(
        Problem(problem, f"question {text}", "1", text),
        Completion(problem, sample, 2**31 + 5, text, (1, 2), text, tokens, logps, finish),
        verdict or Verdict.correct(text),
    )


def every_kind():
    return [
        *(rollout(text, f"p{n}") for n, text in enumerate(TEXTS)),
        rollout(finish="length", verdict=Verdict.wrong("no boxed answer")),
        rollout(verdict=Verdict("unverifiable", 0.25, "time-out", "x"), logps=()),
        rollout(logps=(-1e-7, 0.0, -87.3)),
    ]


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl"])
def test_rollouts_are_read_back_equal_to_the_bit(tmp_path, name):
    save_rollouts(every_kind(), tmp_path / name)
    assert load_rollouts(tmp_path / name) == every_kind()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_both_kinds_keep_the_same_and_the_same_bytes(tmp_path):
    precise = [rollout(logps=(-0.1, -0.2))]
    object.__setattr__(precise[0].completion, "logps", (-0.1, -0.2))
    for name in ("a.parquet", "b.parquet", "a.jsonl"):
        save_rollouts(precise, tmp_path / name)
    assert load_rollouts(tmp_path / "a.parquet") == load_rollouts(tmp_path / "a.jsonl")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_folder_is_read_part_by_part_and_as_a_data_set(tmp_path):
    from datasets import load_dataset

    folder = tmp_path / "rollouts"
    folder.mkdir()
    rollouts = [rollout(problem=f"p{n}") for n in range(12)]
    for n, one in enumerate(rollouts):
        save_rollouts([one], folder / f"part-{n:05}.parquet")
    assert load_rollouts(folder) == rollouts
    (folder / "README.md").write_text(dataset_card("x", {}, {}))
    data = load_dataset(str(folder), cache_dir=str(tmp_path / "cache"), split="train")
    assert data["problem_id"] == [f"p{n}" for n in range(12)]
    assert data.features["logps"].feature.dtype == "float32"
    with pytest.raises(DataError, match=r"no part-\*\.parquet in this folder"):
        load_rollouts(tmp_path)


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl"])
def test_text_that_no_file_can_hold_leaves_the_old_file(tmp_path, name):
    save_rollouts([rollout()], tmp_path / name)
    with pytest.raises(DataError, match=f"{name}: a rollout holds half of a surrogate pair"):
        save_rollouts([rollout("\ud800")], tmp_path / name)
    assert load_rollouts(tmp_path / name) == [rollout()]
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_files_are_synced_before_they_are_renamed(tmp_path, monkeypatch):
    steps = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: steps.append("sync") or fsync(fd))
    monkeypatch.setattr(os, "replace", lambda a, b: steps.append("rename") or replace(a, b))
    save_rollouts([rollout()], tmp_path / "a.jsonl")
    assert steps == ["sync", "rename", "sync"]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failing_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, failing):
    path = tmp_path / "a.parquet"
    save_rollouts([rollout()], path)

    def fail(*_):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match=r"No space left on device: .*a\.parquet"):
        save_rollouts([rollout("other")], path)
    monkeypatch.undo()
    assert load_rollouts(path) == [rollout()]
    assert list(tmp_path.iterdir()) == [path]


def test_a_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "a.parquet"
    save_rollouts([rollout(problem=f"p{n}" * 50) for n in range(50)], path)
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.parquet: not a whole Parquet file"):
        load_rollouts(path)


def test_no_flipped_bit_changes_what_is_read(tmp_path):
    """It may be in what nobody reads, such as the statistics of a column."""
    path = tmp_path / "a.parquet"
    rollouts = [rollout(problem=f"p{n}") for n in range(20)]
    save_rollouts(rollouts, path)
    whole, refused = path.read_bytes(), 0
    for place in Random(0).sample(range(8 * len(whole)), 1000):
        content = bytearray(whole)
        content[place // 8] ^= 1 << place % 8
        path.write_bytes(content)
        try:
            assert load_rollouts(path) == rollouts
        except DataError:
            refused += 1
    assert refused > 500


def test_a_page_that_is_skipped_is_noticed(tmp_path):
    path = tmp_path / "a.parquet"
    save_rollouts([rollout()], path)
    content = bytearray(path.read_bytes())
    first = pq.ParquetFile(path).metadata.row_group(0).column(0)
    # The kind of the page, after the id of its field.
    assert content[first.data_page_offset : first.data_page_offset + 2] == b"\x15\x00"
    content[first.data_page_offset + 1] = 1 << 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.parquet: not a whole Parquet file \(1 rows are"):
        load_rollouts(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"logps": None}, "column 'logps' does not hold list:float32"),
        ({"tokens": [1, "2"]}, "column 'tokens' does not hold list:int32"),
        ({"tokens": [1]}, "1 tokens but 2 log-probabilities"),
        ({"verdict": "right"}, "verdict 'right' is not one of correct, wrong, unverifiable"),
        ({"finish_reason": "eos"}, "finish_reason 'eos' is not one of stop, length"),
        ({"reward": float("nan")}, "column 'reward' does not hold float64"),
        ({"sample": True}, "column 'sample' does not hold int32"),
        ({"gold": 1}, "column 'gold' does not hold string"),
    ],
)
def test_a_row_that_is_no_rollout_is_named_by_file_and_line(tmp_path, change, message):
    path = tmp_path / "a.jsonl"
    save_rollouts([rollout(), rollout()], path)
    first, second = path.read_text().splitlines()
    path.write_text(f"{first}\n{json.dumps(json.loads(second) | change)}\n")
    with pytest.raises(DataError, match=rf"a\.jsonl:2: .*{message}"):
        load_rollouts(path)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "b.jsonl").write_text('{"problem_id": "p"}\n')
    with pytest.raises(DataError, match=r"b\.jsonl:1: no column sample, seed"):
        load_rollouts(tmp_path / "b.jsonl")
    with pytest.raises(DataError, match=r"absent\.parquet: no such file"):
        load_rollouts(tmp_path / "absent.parquet")
    with pytest.raises(DataError, match=r"stored as \.parquet or \.jsonl"):
        save_rollouts([], tmp_path / "a.csv")


def test_the_summary_counts():
    wrong, slow = Verdict.wrong("no boxed answer"), Verdict.unverifiable("time-out")
    rollouts = [
        rollout(problem="a", sample=0),
        rollout(problem="a", sample=1),
        rollout(problem="a", sample=2, verdict=wrong),
        rollout(problem="b", sample=0, verdict=slow, logps=()),
        rollout(problem="b", sample=1, verdict=wrong, finish="length", logps=(-1.0,) * 6),
        rollout(problem="c", sample=0, finish="length"),
    ]
    counter = DatasetCounter()
    counter.add(iter(rollouts[:3]))
    counter.add(iter(rollouts[3:]))
    counts = counter.dataset()
    summary = counts.model_dump(mode="json")
    rates = dict.fromkeys(summary["problems_by_pass_rate"], 0)
    rates |= {"0": 1, "(0.6, 0.7]": 1, "1": 1}
    assert len(rates) == 12
    assert summary == {
        "problems": 3,
        "problems_all_correct": 1,
        "problems_mixed": 1,
        "problems_none_correct": 1,
        "problems_by_pass_rate": rates,
        "problems_left_out": 0,
        "problems_left_out_ids": [],
        "rollouts": 6,
        "correct": 3,
        "wrong": 2,
        "unverifiable": 1,
        "unverifiable_time_out": 1,
        "wrong_no_boxed_answer": 2,
        "truncated": 2,
        "share_truncated": 1 / 3,
        "accuracy": 0.5,
        "mean_tokens": 16 / 6,
        "max_tokens": 6,
        "accepted": 2,
        "accepted_duplicates": 1,
        "accepted_distinct": 1,
        "rollouts_without_logps": 1,
    }
    text = json.dumps(summary, allow_nan=False)
    assert DatasetCounts.model_validate_json(text) == counts
    assert RolloutCounter().sampled().accuracy is None


def test_what_gave_no_rollouts_is_counted():
    counter = RolloutCounter()
    counter.add([rollout(problem="a", sample=0)])
    counts = counter.sampled(left_out=[Problem("d", "", "1")], dropped={"no answer": 3})
    summary = counts.model_dump(mode="json")
    assert summary["problems_left_out"] == 1
    assert summary["problems_left_out_ids"] == ["d"]
    assert summary["rows_dropped_no_answer"] == 3
    assert "accepted" not in summary


def test_text_on_the_card_stays_text():
    evil = "a|b\n# h <script>x</script> [l](http://e.example) `c` ![i](u) *s* _t_ &amp; \\ \x1b"
    about = {"model": evil, evil: "x", "sampling": {"stop": [evil], "temperature": 0.5}}
    counter = RolloutCounter()
    counter.add([rollout()])
    summary = counter.sampled(left_out=[Problem(evil, "", "")]).model_dump(mode="json")
    _, front, body = dataset_card(evil, summary, about).split("---\n", 2)
    assert yaml.safe_load(front)["pretty_name"] == evil
    assert yaml.safe_load(front)["configs"][0]["data_files"][0]["path"] == "part-*.parquet"
    page = MarkdownIt("commonmark").enable("table").render(body)
    tags = set(re.findall(r"<(\w+)", page))
    assert tags == {"h1", "h2", "p", "table", "thead", "tbody", "tr", "th", "td"}
    assert html.escape(evil, quote=False).replace("\n", " ").replace("\x1b", " ").strip() in page
    assert "<td>sampling.temperature</td>\n<td>0.5</td>" in page
    assert page.count("<td>") == 2 * page.count("<tr>") - 2 * 3
