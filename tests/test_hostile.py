"""Hostile text in every field there is, through the real functions: shown as text, or refused."""

import io
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from offline_rl import cli
from offline_rl.findings import report_on
from offline_rl.progress import Silent, printable
from offline_rl.publishing import check_destination
from offline_rl.report import Samples, print_report, write_report
from offline_rl.sealing import sealed
from offline_rl.series import load_settings
from offline_rl.trackers import log_comparison, summary
from offline_rl.yaml_text import SettingsError
from tests.hostile_parts import HALF, PAYLOADS, formulas, inert, live_markdown, structure
from tests.report_parts import evaluation, findings

ROWS = "rows.jsonl"
JUDGE = """
def judge(gold, completion):
    from data_gen.types import Verdict
    return Verdict("wrong", 0.0, gold[:4000], completion)
"""


def command(*arguments):
    """Exit code and everything printed by the real command, its entry point included."""
    runner = CliRunner()
    done = runner.invoke(cli.app, [str(one) for one in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def write_rows(path, rows):
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


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
    from data_gen.storage import load_rollouts

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


def field(raw, path, value, key):
    place = raw
    for part in path[:-1]:
        place = place[part]
    if key:
        place[value] = place.pop(path[-1])
    else:
        place[path[-1]] = value


SETTINGS = {
    "name": "a",
    "model": "tiny",
    "revision": "b",
    "prompt": "{problem}",
    "licence": "mit",
    "problems": {"source": "p.jsonl", "split": "train", "columns": {"prompt": "c", "answer": "d"}},
    "sampler": {"kind": "vllm", "lora": "l", "quantization": "fp8", "options": {"dtype": "auto"}},
    "verifier": {"kind": "python", "function": "m.f"},
    "sampling": {"stop": ["end"]},
    "methods": {"one": {"kind": "rft"}, "two": {"kind": "dpo"}},
    "evaluation": {
        "benchmarks": {"bench": {"source": "b.jsonl"}},
        "reference": "one",
        "decodings": {"greedy": {"temperature": 0}},
    },
}
FIELDS = [
    *((path, False) for path in ("name", "model", "revision", "prompt", "licence")),
    *(
        (f"problems.{one}", False)
        for one in ("source", "split", "columns.prompt", "columns.answer")
    ),
    *((f"sampler.{one}", False) for one in ("kind", "lora", "quantization", "options.dtype")),
    *(("sampler.options.dtype", True), ("verifier.kind", False), ("verifier.function", False)),
    *(("sampling.stop", False), ("methods.one.kind", False), ("methods.one", True)),
    *(("evaluation.benchmarks.bench", True), ("evaluation.benchmarks.bench.source", False)),
    *(("evaluation.reference", False), ("evaluation.decodings.greedy", True), ("model", True)),
]


@pytest.mark.parametrize(("path", "key"), FIELDS)
def test_settings_are_read_back_equal_or_refused_in_plain_text(path, key, tmp_path, monkeypatch):
    """In the settings' own values, labels and keys; refusals name the place."""
    from offline_rl.settings import dump_settings

    monkeypatch.chdir(tmp_path)
    file = tmp_path.parent / f"{tmp_path.name}.yaml"
    refusals = []
    for text in (*PAYLOADS, HALF):
        raw = json.loads(json.dumps(SETTINGS))
        field(raw, path.split("."), text, key)
        file.write_text(yaml.safe_dump(raw))
        try:
            loaded = load_settings(file, [])
        except SettingsError as error:
            refusals.append(printable(str(error)))
            continue
        assert HALF not in str(loaded)
        file.write_text(dump_settings(loaded))
        assert load_settings(file, []) == loaded
    assert all(map(inert, refusals))
    _, output = command("run", file, "--dry-run")
    assert inert(output)
    assert tree(tmp_path) == []


@pytest.mark.parametrize("text", [*PAYLOADS, HALF])
def test_labels_of_a_series_and_of_evaluations_are_no_paths(text, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    raw = {**SETTINGS, "models": {text: "tiny"}, "sampler": {"kind": "transformers"}}
    del raw["model"]
    (home / "experiment.yaml").write_text(yaml.safe_dump(raw))
    one = {"common": {"model": {}, "versions": {text: text}}, "settings": {"name": text}}
    one["settings"] |= {"model": text, "evaluation": {"benchmarks": {text: {"source": text}}}}
    for known in ({text: one}, {"a": one}, {text: text}, {"a": {**one, "settings": {"name": "a"}}}):
        (home / "evaluation.json").write_text(sealed(known))
        for action in ("report", "show"):
            code, output = command(action, home)
            assert code == 1
            assert inert(output)
    (home / "evaluation.json").unlink()
    code, output = command("run", home / "experiment.yaml", "--out", home / "run")
    assert code == 1
    assert inert(output)
    assert tree(tmp_path) == ["home", "home/experiment.yaml"] or (
        tree(tmp_path) == ["home", "home/.lock", "home/experiment.yaml"]
    )


@pytest.fixture(scope="module")
def compared():
    """A report with a short name for each kind of name; the comparison is made once."""
    of = [("base", None), ("LABEL", 0), ("LABEL", 1), ("OTHER", 0)]
    samples = [evaluation(label, seed, "BENCH", model="MODEL", problems=4) for label, seed in of]
    return report_on(findings(*samples, reference="LABEL"))


def hostile_report(compared, text):
    """The payload in every text that a report has."""

    def named(table):
        names = {"MODEL": text, "LABEL": f"{text}x", "OTHER": f"{text}y", "BENCH": f"{text}b"}
        return table.replace(names)

    samples = []
    for one in compared.samples:
        grid = one.evaluation.grid.assign(reason=text, answer=text)
        grid["problem_id"] = text + grid["problem_id"]
        label = {"LABEL": f"{text}x", "OTHER": f"{text}y"}.get(one.evaluation.label, "base")
        about = {"label": label, "model": text, "benchmark": f"{text}b", "grid": grid}
        samples.append(Samples(replace(one.evaluation, **about)))
    names = (
        "comparison",
        "pairwise",
        "seeds",
        "pass_at_k",
        "profile",
        "training",
        "curves",
        "data",
    )
    made = replace(
        compared,
        **{name: named(getattr(compared, name)) for name in names},
        samples=tuple(samples),
        notes=(text,),
        failures={text: text},
        environment={text: {text: text}, "list": [text, {text: text}]},
        settings=text,
        command=text,
        name=text,
        summaries={text: {"sampled": {"problems_by_pass_rate": {text: 1}}, "filters": {text: {}}}},
    )
    for column in ("reason", "status", "method_settings", "kind", "precision"):
        made.training[column] = text
    made.data["statistic"] = made.data["value"] = text
    return made


@pytest.mark.parametrize("text", PAYLOADS)
def test_a_report_of_hostile_names_holds_nothing_live(text, tmp_path, compared):
    report = hostile_report(compared, text)
    folder = tmp_path / "report"
    write_report(folder, report, ("csv", "markdown", "latex"))
    for path in sorted(folder.glob("*.csv*")):
        assert formulas(path) == []
    for path in folder.iterdir():
        if path.suffix != ".gz":
            assert inert(path.read_text().replace("\t", " "))
    assert live_markdown((folder / "tables.md").read_text()) == set()
    tex = (folder / "tables.tex").read_text()
    ours = "usepackage begin end caption toprule midrule bottomrule pm"
    signs = "textbackslash textasciitilde textasciicircum textless textgreater textbar"
    assert set(re.findall(r"\\([A-Za-z]+)", tex)) <= {*ours.split(), *signs.split()}
    assert not re.search(r"(?<!\\)[%#]", tex.removeprefix("%"))
    assert not re.search(r"(?<=\\\\)\s*[\[*]", tex)
    for terminal in (False, True):
        stream = io.StringIO()
        print_report(report, Console(file=stream, width=80, force_terminal=terminal))
        assert inert(re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()))
    assert all(inert(tag) and "\n" not in tag and len(tag) < 300 for tag in summary(report))
    assert tree(tmp_path) == ["report", *(f"report/{p.name}" for p in sorted(folder.iterdir()))]


def test_a_page_of_hostile_names_has_the_tags_of_a_harmless_one(tmp_path, compared):
    write_report(tmp_path, hostile_report(compared, "name"), ("html",))
    plain = structure((tmp_path / "index.html").read_text())
    # All that this page could be broken by, at once; each alone is tried in a browser elsewhere.
    everything = "".join(text for text in PAYLOADS if len(text) < 1000)
    write_report(tmp_path, hostile_report(compared, everything), ("html",))
    page = (tmp_path / "index.html").read_bytes().decode()
    found = structure(page)
    assert found.attributes <= plain.attributes
    assert found.scripts == plain.scripts
    assert all(one.startswith("#") for one in found.addresses)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066]", page)


@pytest.mark.parametrize("text", ["../../x", "/tmp/absolute", PAYLOADS[17], "a\x00b"])
def test_trackers_write_into_their_folder_alone(text, tmp_path, compared):
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    report, said = hostile_report(compared, text), []

    class Told(Silent):
        def say(self, line):
            said.append(line)

    folder = tmp_path / "a" / "b" / "trackers"
    log_comparison(report, ["tensorboard"], folder, Told())
    assert said == []
    [events] = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert folder in events.parents
    accumulator = reading.EventAccumulator(str(events.parent))
    accumulator.Reload()
    assert set(accumulator.Tags()["scalars"]) == summary(report).keys()


@pytest.mark.parametrize("text", [*PAYLOADS, HALF])
def test_no_hostile_name_is_one_of_the_hub(text, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "planted-token")
    if re.fullmatch(r"[\w.-]{1,96}", text):
        return
    for name in (text, f"user/{text}", f"{text}/data"):
        with pytest.raises(ValueError, match="is no name of the hub"):
            check_destination(name)


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
        cli.main()
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
