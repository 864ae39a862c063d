"""Hostile text in data and names given to commands is kept as it is, and shown as text."""

import os
import re
from pathlib import Path

import pytest
import yaml

from offline_rl.cli import app
from tests.helpers.hostile_texts import (
    HALF,
    PAYLOADS,
    command,
    inert,
    live_markdown,
    tree,
    write_rows,
)

ROWS = "rows.jsonl"
JUDGE = """
def judge(gold, completion):
    from data_gen.types import Verdict
    return Verdict("wrong", 0.0, gold[:4000], completion)
"""


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """A data set with a problem for each payload, which is in all of its texts and verdicts."""
    folder = tmp_path_factory.mktemp("hostile")
    rows = [
        {
            "id": f"{text}{number}",
            "problem": text,
            "answer": text,
            "solution": text,
            "completions": [text, f"\\boxed{{{text}}}"],
            text: text,
        }
        for number, text in enumerate(PAYLOADS)
    ]
    write_rows(folder / ROWS, rows)
    (folder / "hostile_judge.py").write_text(JUDGE)
    before = os.getcwd()
    os.chdir(folder)
    try:
        told = command(
            *("generate", "--model", "tiny", "--rollouts", ROWS, "--out", "run"),
            *("verifier=python:hostile_judge.judge", "selection.min_reward=0.0"),
        )
    finally:
        os.chdir(before)
    return folder, told


def test_a_data_set_of_hostile_texts_is_made_and_stays_in_its_folder(generated):
    folder, (code, output) = generated
    assert code == 0, output
    assert inert(output)
    outside = [name for name in tree(folder) if not name.startswith(("run", "__pycache__"))]
    assert outside == ["hostile_judge.py", ROWS]
    usual = (
        r"run(/(rollouts|dataset)(/(part-\d+\.parquet|README\.md|\w+\.jsonl?))?|/\w+\.\w+|/\.\w+)?"
    )
    assert [n for n in tree(folder) if n.startswith("run") and not re.fullmatch(usual, n)] == []


def test_the_texts_are_kept_as_they_are(generated):
    from data_gen.store.rollouts import load_rollouts

    folder, _ = generated
    rollouts = load_rollouts(folder / "run" / "rollouts")
    assert len(rollouts) == 2 * len(PAYLOADS)
    for number, text in enumerate(PAYLOADS):
        one = rollouts[2 * number]
        assert one.problem.prompt == one.completion.text == one.problem.solution == text
        assert one.problem.id == f"{text}{number}"
        assert one.verdict.reason == one.problem.answer[:4000] == text.strip()[:4000]


def test_the_card_of_hostile_texts_is_text_and_its_settings_are_its_own(generated):
    folder, _ = generated
    for card in (folder / "run").rglob("README.md"):
        text = card.read_text()
        _, front, body = text.split("---\n", 2)
        assert yaml.safe_load(front).keys() == {"pretty_name", "task_categories", "configs"}
        assert live_markdown(body) == set()
        assert inert(text)


@pytest.mark.parametrize("arguments", [(), ("--rollouts", 500), ("--full",), ("--only", "wrong")])
def test_show_prints_hostile_texts_as_text(generated, arguments):
    folder, _ = generated
    code, output = command("show", folder / "run", *arguments)
    assert code == 0
    assert inert(output)
    code, output = command("show", folder / ROWS, *arguments)
    assert code == 1
    assert inert(output)


@pytest.mark.parametrize("text", [PAYLOADS[n] for n in (1, 11, 17, 18, 22, 23, 26)])
def test_names_given_in_the_command_line_come_back_as_text(generated, text, tmp_path, monkeypatch):
    folder, _ = generated
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_TOKEN", "planted-token")
    for arguments in (
        ("show", folder / "run", f"--problem={text}"),
        ("list", f"x{text}"),
        ("run", f"x{text}"),
        ("run", "demo", f"x{text}"),
        ("generate", "--model", text, "--rollouts", folder / ROWS, "--out", "made"),
        ("generate", "--model", "tiny", "--problems", text, "--out", "made"),
        ("evaluate", f"--model={text}", "--benchmarks", text, "--out", "made"),
        ("push", folder / "run", f"x/{text}"),
        ("report", f"x{text}"),
        ("compare", f"x{text}", f"y{text}", "--out", "made"),
    ):
        code, output = command(*arguments)
        assert code != 0, arguments
        assert inert(output), arguments
    assert [name for name in tree(tmp_path) if not name.startswith("made")] == []


def test_half_a_surrogate_pair_is_refused_where_it_comes_in(tmp_path):
    for field_name in ("problem", "answer", "solution", "id", "completion"):
        row = {"problem": "q", "answer": "1", "completion": "x"} | {field_name: HALF}
        write_rows(tmp_path / ROWS, [row])
        given = ("--rollouts", tmp_path / ROWS, "--out", tmp_path / "run")
        code, output = command("generate", "--model", "tiny", *given)
        assert code == 1
        assert inert(output)
        assert "half of a surrogate pair" in " ".join(output.split())
        assert not list(tmp_path.rglob("*.parquet"))


def test_a_traceback_shows_hostile_text_as_text(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("sys.argv", ["offline-rl", "--debug", "show", f"{tmp_path}/{PAYLOADS[17]}"])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 1
    told = capfd.readouterr()
    assert "Traceback" in told.err
    assert inert(told.out + told.err)


def test_folders_with_hostile_names_are_worked_in_and_told_as_text(generated, tmp_path):
    import shutil

    folder, _ = generated
    for number, text in enumerate(PAYLOADS[16:24]):
        if "/" in text or "\0" in text:
            continue
        copy = shutil.copytree(folder / "run" / "dataset", tmp_path / f"{text}{number}")
        out = tmp_path / f"{text}.jsonl"
        code, output = command("show", copy)
        assert code == 0
        assert inert(output)
        code, output = command("export", copy, "--format", "prompt-completion", "--out", out)
        assert inert(output)
    assert all(Path(tmp_path / name).resolve().is_relative_to(tmp_path) for name in tree(tmp_path))
