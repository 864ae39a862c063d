"""A report of hostile names holds nothing live, in any format and in trackers."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from eval.notes import Note
from offline_rl.progress import Silent
from offline_rl.report import Samples, print_report, write_report
from offline_rl.report.build_report import build_report
from offline_rl.report.trackers import log_comparison, summary
from tests.helpers.hostile_texts import PAYLOADS, formulas, inert, live_markdown, structure, tree
from tests.helpers.reports import with_results, with_tables
from tests.helpers.small_report import evaluation, findings
from tests.helpers.summaries import dataset_summary


@pytest.fixture(scope="module")
def compared():
    """A report with a short name for each kind of name; the comparison is made once."""
    of = [("base", None), ("LABEL", 0), ("LABEL", 1), ("OTHER", 0)]
    samples = [evaluation(label, seed, "BENCH", model="MODEL", problems=4) for label, seed in of]
    return build_report(findings(*samples, reference="LABEL"))


def hostile_report(compared, text):
    """The payload in every text that a report has."""

    def named(table):
        names = {"MODEL": text, "LABEL": f"{text}x", "OTHER": f"{text}y", "BENCH": f"{text}b"}
        return table.replace(names)

    samples = []
    for one in compared.results.samples:
        grid = one.evaluation.grid.assign(reason=text, answer=text)
        grid["problem_id"] = text + grid["problem_id"]
        label = {"LABEL": f"{text}x", "OTHER": f"{text}y"}.get(one.evaluation.label, "base")
        about = {"label": label, "model": text, "benchmark": f"{text}b", "grid": grid}
        samples.append(Samples(replace(one.evaluation, **about)))
    tables = ("comparison", "pairwise", "checks", "seeds", "pass_at_k", "profile")
    results = {name: named(getattr(compared, name)) for name in ("training", "curves", "data")}
    made = with_results(
        with_tables(compared, **{name: named(getattr(compared, name)) for name in tables}),
        **results,
        samples=tuple(samples),
        failures={text: text},
        environment={text: {text: text}, "list": [text, {text: text}]},
        settings=text,
        command=text,
        name=text,
        summaries={
            text: dataset_summary(
                sampled={"problems_by_pass_rate": {text: 1}},
                filters={text: {"problems": 1, "rollouts": 1, "accepted": 1}},
            )
        },
    )
    for column in ("reason", "status", "method_settings", "kind", "precision"):
        made.training[column] = text
    made.data["statistic"] = made.data["value"] = text
    return replace(made, notes=(Note("data", text),))


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
