"""A data set in the terminal: all of it inert text, in 80 columns, right beside wrong."""

import io
import json
import os
import re

import pytest
from rich.console import Console
from typer.testing import CliRunner

from data_gen import save_rollouts
from data_gen.cards.rollout_counts import DatasetCounter, RolloutCounter
from data_gen.types import Completion, DataError, Problem, Rollout, Verdict
from offline_rl.cli.app import app
from offline_rl.cli.show_dataset import print_overview
from offline_rl.cli.show_rollouts import print_rollouts
from tests.helpers.summaries import dataset_summary

EVIL = (
    "\x1b[2J\x1b]0;title\x07\x1b]8;;http://e.example\x1b\\link\x1b]8;;\x1b\\ \x9b31m \u202eturned"
    " \x00\x08\r\u2066 [bold red]markup[/] [link=http://e.example]x[/link] :smile: {x} \u200b"
)
HARMLESS = "[bold red]markup[/] [link=http://e.example]x[/link] :smile: {x}"
VERDICTS = {
    "correct": Verdict.correct("1"),
    "wrong": Verdict.wrong("different", "2"),
    "unverifiable": Verdict.unverifiable("time-out"),
}


def rollout(problem, sample, label, text=None, logps=(-0.5, -1.0), finish="stop"):
    text = text if text is not None else f"{label} text {problem}/{sample}"
    prompt = Problem(problem, f"question {problem}", f"gold {problem}")
    completion = Completion(problem, sample, 0, "prompt", [1], text, [1, 2], logps, finish)
    return Rollout(prompt, completion, VERDICTS[label])


@pytest.fixture
def rollouts():
    return [
        *(rollout("a", n, label) for n, label in enumerate(["correct", "correct", "correct"])),
        *(rollout("b", n, label) for n, label in enumerate(["wrong", "correct", "wrong"])),
        *(rollout("c", n, label) for n, label in enumerate(["wrong", "unverifiable", "wrong"])),
        *(rollout("d", n, label) for n, label in enumerate(["unverifiable", "correct", "wrong"])),
    ]


@pytest.fixture
def folder(tmp_path, rollouts):
    made = tmp_path / "rollouts"
    made.mkdir()
    save_rollouts(rollouts[:6], made / "part-00000.parquet")
    save_rollouts(rollouts[6:], made / "part-00001.parquet")
    (made / "stage.json").write_text("{}")
    return made


def printed(show, *arguments, width=80, terminal=False, **options):
    stream = io.StringIO()
    console = Console(
        file=stream, width=width, force_terminal=terminal, highlight=False, legacy_windows=False
    )
    show(*arguments, console, **options)
    return stream.getvalue()


def shown(folder, width=80, **options):
    """(problem, sample) of the rollouts that are printed, in order of the lines."""
    text = printed(print_rollouts, folder, width=width, **options)
    return re.findall(r"text (\w)/(\d)", text)


def test_the_overview_tells_what_the_summary_counts(folder, rollouts, tmp_path):
    text = printed(print_overview, folder)
    assert "12 rollouts of 4 problems" in text
    assert "5 correct, 5 wrong, 2 unverifiable (41.7% correct)" in text
    assert re.search(r"^0 +1 +█{20} *$", text, re.M)
    assert re.search(r"^\(0\.3, 0\.4\] +2 +█{40} *$", text, re.M)
    assert re.search(r"^1 +1 +█{20} *$", text, re.M)
    assert re.search(r"^wrong different +5 *$", text, re.M)
    save_rollouts(rollouts, tmp_path / "one.jsonl")
    body = printed(print_overview, tmp_path / "one.jsonl").split("\n", 1)[1]
    assert body == text.split("\n", 1)[1]
    # A summary beside the parts is taken at its word, that of a filtered set for its own part.
    counter = DatasetCounter()
    counter.add(rollouts)
    funnel = {
        "sampled": {"problems": 5, "rollouts": 15, "accepted": 9},
        "length": {"problems": 4, "rollouts": 12, "accepted": 5},
    }
    of_dataset = dataset_summary(filters=funnel, pairs={"pairs": 2})
    of_dataset = of_dataset.model_copy(update={"dataset": counter.dataset()})
    for summary in (counter.sampled(), of_dataset):
        (folder / "summary.json").write_text(summary.model_dump_json())
        for part in folder.glob("part-*"):
            part.unlink()
        again = printed(print_overview, folder)
        assert "12 rollouts of 4 problems" in again
    assert re.search(r"^ *sampled +5 +15 +9 *$", again, re.M)
    assert re.search(r"^ *length +4 +12 +5 *$", again, re.M)


def test_a_summary_that_is_none_is_named(folder):
    sampled = RolloutCounter().sampled().model_dump(mode="json")
    whole = dataset_summary().model_dump(mode="json")
    without = {key: value for key, value in sampled.items() if key != "truncated"}
    for broken, field in (
        ("{", "EOF"),
        ("[" * 10_000, "recursion"),
        ("[]", ""),
        ("{}", "problems: Field required"),
        (json.dumps(without), "truncated: Field required"),
        (json.dumps(sampled | {"correct": "1"}), "correct: Input should be a valid integer"),
        (json.dumps(sampled | {"correct": -1}), "correct: Input should be greater"),
        (json.dumps(sampled | {"correct": 10**30}), "correct: "),
        (json.dumps(sampled | {"accuracy": float("nan")}), "accuracy: Input should be a finite"),
        (json.dumps(sampled | {"wrong_x": "1"}), "verdict_reasons.wrong_x: Input should be"),
        (json.dumps(sampled | {EVIL: 1}), "Extra inputs are not permitted"),
        (json.dumps(sampled | {"problems_by_pass_rate": {"1": "many"}}), "problems_by_pass_rate.1"),
        ('{"dataset": 1}', "sampled: Field required"),
        (json.dumps(whole | {"dataset": 1}), "dataset: Input should be a"),
        (json.dumps(whole | {"filters": {"length": 1}}), "filters.length: Input should be a"),
    ):
        (folder / "summary.json").write_text(broken)
        with pytest.raises(DataError, match=rf"summary\.json: not.*{re.escape(field)}") as refused:
            printed(print_overview, folder)
        assert str(refused.value).isprintable()


def test_right_and_wrong_stand_side_by_side_where_there_is_room(folder):
    wide = printed(print_rollouts, folder, width=120, problem="b")
    [line] = [line for line in wide.splitlines() if "correct text" in line]
    assert re.search(r"correct text b/1 +wrong text b/0", line)
    narrow = printed(print_rollouts, folder, width=80, problem="b")
    assert all("wrong text" not in line for line in narrow.splitlines() if "correct text" in line)
    for text in (wide, narrow):
        assert "question b" in text
        assert "gold: gold b    correct: 1 of 3" in text
        assert "wrong: different" in text
        assert "sample 0, 2 tokens, mean logp -0.750" in text
        assert "answer: 2" in text


def test_what_is_asked_for_is_printed(folder):
    everything = [(problem, str(sample)) for problem in "abcd" for sample in range(3)]
    assert sorted(shown(folder)) == everything
    assert shown(folder, most=5) == [("a", "0"), ("b", "1"), ("b", "0"), ("c", "0"), ("d", "1")]
    assert shown(folder, most=2) == [("a", "0"), ("b", "1")]
    assert shown(folder, problem="b", most=2) == [("b", "1"), ("b", "0")]
    assert sorted(shown(folder, problem="b")) == everything[3:6]
    assert shown(folder, only="unverifiable") == [("c", "1"), ("d", "0")]
    assert {problem for problem, _ in shown(folder, only="mixed")} == {"b", "d"}
    assert shown(folder, only="correct", most=3) == [("a", "0"), ("b", "1"), ("d", "1")]
    assert shown(folder, only="wrong", problem="d") == [("d", "2")]
    for options in ({"problem": "x"}, {"problem": "a", "only": "wrong"}):
        with pytest.raises(DataError, match=r"no such rollout.* of problem '"):
            shown(folder, **options)


def test_long_texts_are_shortened_in_the_middle_unless_asked_for_whole(tmp_path):
    long = "BEGIN " + "x" * 3000 + " END"
    save_rollouts([rollout("a", 0, "correct", long)], tmp_path / "a.jsonl")
    short = printed(print_rollouts, tmp_path / "a.jsonl", width=120)
    assert "BEGIN" in short
    assert "END" in short
    assert "[... 1,710 characters, see --full ...]" in short
    assert short.count("x") < 1400
    full = printed(print_rollouts, tmp_path / "a.jsonl", width=120, full=True)
    assert full.count("x") == 3000


@pytest.mark.parametrize("width", [80, 120])
def test_hostile_text_stays_text_and_within_the_width(tmp_path, width):
    problem = Problem(EVIL, EVIL, EVIL, EVIL)
    hostile = [
        Rollout(
            problem,
            Completion(EVIL, n, 0, EVIL, [1], EVIL + "y" * 300, [1], [-1.0], "stop"),
            Verdict(label, 0.5, EVIL, EVIL),
        )
        for n, label in enumerate(["correct", "wrong", "unverifiable"])
    ]
    path = tmp_path / "[bold]set\u202e.jsonl"
    save_rollouts(hostile, path)
    left = {"problems": 1, "rollouts": 1, "accepted": 1}
    evil_counts = {"verdict_reasons": {f"wrong_{EVIL}": 1}, "problems_by_pass_rate": {EVIL: 1}}
    evil_summary = dataset_summary(dataset=evil_counts, filters={EVIL: left, "b": left})
    beside = tmp_path / "set"
    beside.mkdir()
    (beside / "summary.json").write_text(evil_summary.model_dump_json())
    for terminal in (False, True):
        text = printed(print_rollouts, path, width=width, terminal=terminal)
        text += printed(print_overview, path, width=width, terminal=terminal)
        text += printed(print_overview, beside, width=width, terminal=terminal)
        if terminal:
            text, colours = re.subn(r"\x1b\[[0-9;]*m", "", text)
            assert colours
        assert all(sign.isprintable() or sign == "\n" for sign in text)
        paths = (str(path), str(beside))
        lines = [line for line in text.splitlines() if not line.startswith(paths[1][:-3])]
        assert max(map(len, lines)) <= width
        assert "\u202e" not in text
        assert HARMLESS in " ".join(text.split())
        assert "\x1b" not in text


def run(*arguments, columns=80):
    done = CliRunner().invoke(app, [str(one) for one in arguments], env={"COLUMNS": str(columns)})
    return done.exit_code, done.output


def test_the_command_shows_a_file_a_folder_and_a_run_that_has_nothing_to_compare(
    folder, tmp_path, rollouts
):
    for source in (folder, tmp_path):
        code, text = run("show", source)
        assert code == 0, text
        assert "12 rollouts of 4 problems" in text
    dataset = tmp_path / "dataset"
    dataset.mkdir()
    save_rollouts(rollouts[:3], dataset / "part-00000.parquet")
    code, text = run("show", tmp_path)
    assert "12 rollouts" in text  # Not finished, so not shown.
    (dataset / "stage.json").write_text("{}")
    assert "3 rollouts of 1 problems" in run("show", tmp_path)[1]
    assert "12 rollouts of 4 problems" in run("show", tmp_path, "--what", "rollouts")[1]
    code, text = run("show", tmp_path, "--what", "rollouts", "--only", "wrong", "--rollouts", 2)
    assert re.findall(r"text (\w)/(\d)", text) == [("b", "0"), ("c", "0")]
    code, text = run("show", dataset / "part-00000.parquet", "--problem", "a")
    assert len(re.findall(r"text (\w)/(\d)", text)) == 3
    code, text = run("show", tmp_path / "absent")
    assert code == 1
    assert "neither a run's folder nor a data set's" in " ".join(text.split())
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "experiment.yaml").write_text("name: x\n")
    code, text = run("show", tmp_path / "begun")
    assert code == 1
    assert "no finished rollouts in it yet" in " ".join(text.split())


def test_the_export_command_takes_the_selection_of_a_run(folder, tmp_path):
    out = tmp_path / "x.jsonl"
    code, text = run("export", folder, "--format", "prompt-completion", "--out", out)
    assert (code, text) == (0, f"{out}: 3 rows of 3 problems\n")
    settings = "name: x\nmodel: tiny\nproblems: {source: arithmetic}\nselection: {unique: false}\n"
    (tmp_path / "experiment.yaml").write_text(settings)
    code, text = run("export", tmp_path, "--format", "prompt-completion", "--out", out)
    assert code == 0
    assert f"{out}: 5 rows of 3 problems" in text
    # These token ids are made up, so the run's own tokenizer does not read them as their text.
    assert "TRL tokenises 5 of 5 rows otherwise" in text
    assert len(out.read_text().splitlines()) == 5
    code, text = run("export", folder, "--format", "preference", "--out", tmp_path / "x.csv")
    assert code == 1
    assert not os.path.exists(tmp_path / "x.csv")
