"""The report's files are documented, read back equal, repeat to the byte, and carry no commands."""

import gzip
import html
import io
import re
import subprocess
import sys
import time
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from eval import Evaluation, compare
from offline_rl.report import (
    COLUMNS,
    Report,
    Samples,
    curves_table,
    data_table,
    meaning,
    print_report,
    training_table,
    write_report,
)
from offline_rl.report.fairness import budget_flags, kernel_notes, with_budgets, with_marks
from offline_rl.report.publication import latex
from offline_rl.report.text import plain
from offline_rl.report.writing import csv_tables, csv_text

TABLES = [
    "comparison.csv",
    "data.csv",
    "learning_curves.csv",
    "pairwise.csv",
    "pass_at_k.csv",
    "performance_profile.csv",
    "seeds.csv",
    "training.csv",
]
FILES = sorted([*TABLES, "index.html", "samples.csv.gz"])
DATA = {
    "sampled": {"rollouts": 8000, "accuracy": 0.1 + 0.2, "ids": ["a", "b"], "none": None},
    "filters": {"pass_rate": {"rollouts": 10}},
    "audit": None,
}
ESCAPES = "\x1b[31mred\x1b]0;title\x07\x9b1m\u202egnp\u2066\x00"
PAYLOADS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "=cmd|' /C calc'!A0",
    "@SUM(A1)",
    "\t=1+1",
    "\r=1+1",
    "[bold red]markup[/] $\\frac{$ {{ 7 * 7 }} </style>",
    ESCAPES,
]


def evaluations(rename=lambda name: name):
    generator = np.random.default_rng(0)
    found = []
    labels = [("base", None), *((m, s) for m in ("dft", "dpo", "rft") for s in (0, 1))]
    for benchmark in ("easy", "hard"):
        for label, seed in labels:
            right = generator.random((10, 3)) < 0.6
            rows = [
                (f"p{i}", j, j, "correct" if right[i, j] else "wrong", "", "7", 1.0, 9, False, 0.5)
                for i in range(10)
                for j in range(3)
            ]
            names = "problem_id sample seed verdict reason answer reward tokens truncated nll"
            grid = pd.DataFrame(rows, columns=names.split())
            name = label if label in ("base", "rft") else rename(label)
            found.append(Evaluation(name, seed, rename(benchmark), 1.0, grid, model=rename("m")))
    return found


def trained(label, seed, *, tokens=1000, steps=60):
    """A record with what offline_rl.training.train returns."""
    training = {
        "epochs": 1.0,
        "steps": None,
        "examples_per_step": 16,
        "lr": 1e-4,
        "scheduler": "cosine",
        "warmup": 0.1,
        "betas": [0.9, 0.95],
        "weight_decay": 0.01,
        "max_grad_norm": 1.0,
        "optimizer": "adamw_torch",
        "max_tokens": 256,
        "precision": "float32",
        "lora": {"rank": 8} if label == "dpo" else None,
    }
    report = {
        "method": {"kind": label, "beta": 0.1, "training": {"lr": 1e-4}},
        "training": training,
        "examples": 320,
        "examples_too_long": 2,
        "rollouts_per_example": 1,
        "steps": steps,
        "epochs": 3.0,
        "examples_seen": 960,
        "trained_tokens_seen": tokens,
        "flops": 1.5e12,
        "seconds": 12.5 + seed,
        "peak_memory_gib": 1.25,
        "attention": "sdpa",
        "packed": label != "dpo",
        "history": [
            {
                "step": 30,
                "loss": 0.4,
                "accepted_nll": 0.2,
                "accepted_mean_p": 0.8,
                "accepted_entropy": 0.3,
            },
            {
                "step": 60,
                "loss": 0.3,
                "accepted_nll": 0.1,
                "accepted_mean_p": 0.9,
                "accepted_entropy": 0.2,
            },
            {"train_loss": 0.35},
        ],
    }
    return {"label": label, "training_seed": seed, "report": report}


RECORDS = [
    *(trained(label, seed) for label in ("rft", "dft") for seed in (0, 1)),
    trained("dpo", 0, tokens=2100),
    {"label": "dpo", "training_seed": 1, "failure": "the loss is nan at step 3"},
]


def _as_it_is(name):
    return name


@cache
def make_report(rename=_as_it_is):
    evaluated = evaluations(rename)
    compared = compare(evaluated)
    training = training_table(RECORDS, model=rename("m"))
    return Report(
        name=rename("demo"),
        comparison=with_budgets(compared.comparison, training),
        pairwise=with_marks(compared.pairwise, training),
        seeds=compared.seeds,
        pass_at_k=compared.pass_at_k,
        profile=compared.profile,
        training=training,
        curves=curves_table(RECORDS, model=rename("m")),
        data=data_table(DATA, model=rename("m")),
        samples=tuple(Samples(one) for one in evaluated),
        summaries={rename("m"): DATA},
        notes=compared.notes,
        failures={rename("dpo, seed 1"): rename("the loss is nan at step 3")},
        environment={"python": "3.11", "packages": {"torch": "2.13.0"}, "gpus": []},
        settings=f"name: {rename('demo')}\n",
        command=f"offline-rl run {rename('demo')}.yaml",
    )


def printed(report, width=100):
    lines = io.StringIO()
    print_report(report, Console(file=lines, width=width, force_terminal=False))
    return lines.getvalue()


def test_every_column_of_every_file_has_a_meaning_and_none_is_explained_in_vain(tmp_path):
    write_report(tmp_path, make_report(), ("csv",))
    for name, documented in COLUMNS.items():
        columns = pd.read_csv(tmp_path / name).columns
        assert all(meaning(name, column) for column in columns)
        assert set(columns) == set(documented)
    with pytest.raises(KeyError):
        meaning("comparison.csv", "accuracy")


def test_the_files_read_back_equal(tmp_path):
    report = make_report()
    write_report(tmp_path, report)
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES
    for name, written in csv_tables(report).items():
        if name != "data.csv":
            _assert_read_back(tmp_path / name, written)
    _assert_read_back(tmp_path / "samples.csv.gz", report.grid())
    assert (tmp_path / "data.csv").read_text() == (
        "model,stage,statistic,value\nm,sampled,rollouts,8000\n"
        'm,sampled,accuracy,0.30000000000000004\nm,sampled,ids,"a, b"\nm,sampled,none,\n'
        "m,filters,pass_rate rollouts,10\n"
    )


def _assert_read_back(path, written):
    """Equal values in equal columns; a missing value is NaN whatever the type."""
    read = pd.read_csv(path)
    assert list(read.columns) == list(written.columns)
    for column in written.columns:
        found, given = read[column], written[column].replace("", None)
        if found.isna().all():
            assert given.isna().all()
            continue
        if pd.api.types.is_numeric_dtype(found):
            found, given = found.astype(float), given.astype(float)
        pd.testing.assert_series_equal(found, given, check_dtype=False, check_exact=True)


def test_samples_repeat_to_the_byte_whenever_they_are_written(tmp_path, monkeypatch):
    write_report(tmp_path / "now", make_report(), ("csv",))
    monkeypatch.setattr(time, "time", lambda: 0.0)
    write_report(tmp_path / "then", make_report(), ("csv",))
    now, then = (tmp_path / name / "samples.csv.gz" for name in ("now", "then"))
    assert now.read_bytes() == then.read_bytes()


def test_only_the_formats_asked_for_are_written(tmp_path):
    write_report(tmp_path, make_report(), ("markdown", "latex"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tables.md", "tables.tex"]
    row = make_report().comparison.query("label == 'dft' and benchmark == 'easy'").iloc[0]
    assert f"| dft | 2 | {row.avg_at_k_percent:.1f} ± " in (tmp_path / "tables.md").read_text()
    assert f"dft & 2 & {row.avg_at_k_percent:.1f} $\\pm$ " in (tmp_path / "tables.tex").read_text()


def test_names_are_no_commands_in_markdown_and_latex(tmp_path):
    hostile = "\\input{/etc/passwd}$x_1$ <script> | [a](javascript:b) `c` ~^&%#"
    write_report(tmp_path, make_report(lambda name: f"{hostile}{name}"), ("markdown", "latex"))
    latex = (tmp_path / "tables.tex").read_text()
    assert "\\input" not in latex
    assert "\\textbackslash{}input\\{/etc/passwd\\}\\$x\\_1\\$" in latex
    markdown = (tmp_path / "tables.md").read_text()
    assert "<script>" not in markdown.replace("\\<script\\>", "")
    assert not re.search(r"(?<!\\)[\]\[`$<]", markdown)
    table = [line for line in markdown.splitlines() if line.startswith("| label")]
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 6 for line in table[:1])


def test_counts_stay_whole_numbers_beside_a_failed_method(tmp_path):
    write_report(tmp_path, make_report(), ("csv",))
    training = pd.read_csv(tmp_path / "training.csv", dtype=str, keep_default_na=False)
    assert list(training["steps"]) == ["60"] * 5 + [""]
    assert list(training["lora_rank"]) == ["", "", "", "", "8", ""]
    assert training["reason"].iloc[-1] == "the loss is nan at step 3"
    assert list(training["status"]) == ["finished"] * 5 + ["failed"]
    assert training["method_settings"].iloc[0] == "beta=0.1"
    assert training["final_accepted_nll_nats"].iloc[0] == "0.1"
    assert training["final_gradient_norm"].iloc[0] == ""


def test_training_tells_at_which_step_validation_chose_the_weights():
    chosen = {"best_step": 20, "best_avg_at_k": 0.25, "stopped_early": True}
    record = trained("rft", 0)
    record["report"]["validation"] = chosen
    [row] = training_table([record], model="m").to_dict("records")
    assert (row["validation_best_step"], row["validation_avg_at_k_percent"]) == (20, 25.0)
    assert row["stopped_early"] is True
    [trial] = training_table([], [{**record, "number": 1, "score": 0.5}], model="m").to_dict(
        "records"
    )
    assert trial["validation_avg_at_k_percent"] == 50.0


def test_equal_contents_give_equal_bytes(tmp_path):
    for folder in ("first", "second"):
        write_report(tmp_path / folder, make_report())
    for name in FILES:
        first, second = tmp_path / "first" / name, tmp_path / "second" / name
        assert first.read_bytes() == second.read_bytes(), name


def test_a_format_that_is_there_is_written_anew_with_the_others(tmp_path):
    report = make_report()
    write_report(tmp_path, report, ("latex",))
    before = (tmp_path / "tables.tex").read_text()
    other = replace(report, comparison=report.comparison.query("label != 'dpo'"))
    write_report(tmp_path, other, ("csv",))
    assert not (tmp_path / "tables.md").exists()
    assert (tmp_path / "comparison.csv").exists()
    assert "dpo" in before
    assert (tmp_path / "tables.tex").read_text() == latex(other) != before


def test_clock_readings_stand_in_training_csv_alone(tmp_path):
    slow = [r if "failure" in r else trained(r["label"], 7 + r["training_seed"]) for r in RECORDS]
    report = make_report()
    write_report(tmp_path / "first", report, ("csv",))
    write_report(
        tmp_path / "second", replace(report, training=training_table(slow, model="m")), ("csv",)
    )
    for name in ("comparison.csv", "pairwise.csv", "data.csv"):
        first, second = tmp_path / "first" / name, tmp_path / "second" / name
        assert first.read_bytes() == second.read_bytes()
    assert "seconds" in (tmp_path / "first" / "training.csv").read_text().splitlines()[0]


def test_the_comparison_repeats_what_each_method_took_and_pairs_tell_where_they_differ():
    report = make_report()
    rows = report.comparison.set_index("label")
    assert (rows.loc["dpo", "training_tokens_seen"] == 2100).all()
    assert rows.loc["base", "training_steps"].isna().all()
    marks = report.pairwise.set_index(["label", "against"])["budgets_that_differ"]
    assert marks["dft", "rft"].isna().all()
    assert (marks["dpo", "rft"] == "trained_tokens_seen").all()
    assert marks["dpo", "base"].isna().all()
    trials = [{**record, "number": 0, "score": 0.5} for record in RECORDS[:1]]
    tried = with_marks(report.pairwise, training_table(RECORDS, trials, model="m"))
    assert (
        tried.set_index(["label", "against"])["budgets_that_differ"]["dft", "rft"] == "trials"
    ).all()


def test_methods_whose_budgets_differ_by_more_than_5_percent_are_flagged(tmp_path):
    flags = budget_flags(training_table(RECORDS, model="m"))
    assert list(flags) == ["trained_tokens_seen"]
    assert "1,000 (dft) to 2,100 (dpo)" in flags["trained_tokens_seen"] or (
        "1,000 (rft) to 2,100 (dpo)" in flags["trained_tokens_seen"]
    )
    close = [trained("rft", 0, steps=100), trained("dft", 0, steps=105)]
    assert budget_flags(training_table(close, model="m")) == {}
    apart = [trained("rft", 0, steps=100), trained("dft", 0, steps=106)]
    assert list(budget_flags(training_table(apart, model="m"))) == ["steps"]
    assert budget_flags(training_table(RECORDS[-1:], model="m")) == {}
    write_report(tmp_path, make_report())
    assert flags["trained_tokens_seen"] in html.unescape((tmp_path / "index.html").read_text())
    assert "Budgets differ: trained tokens" in printed(make_report())


def test_policies_whose_attention_was_computed_otherwise_are_said(tmp_path):
    assert kernel_notes(training_table(RECORDS, model="m")) == []
    varlen = [
        {**one, "report": {**one["report"], "attention": "varlen"}}
        if one["label"] == "dft" and "report" in one
        else one
        for one in RECORDS
    ]
    training = training_table(varlen, model="m")
    [note] = kernel_notes(training)
    assert note.startswith("Attention was computed by kernels that round otherwise (")
    assert "varlen: dft" in note
    report = replace(make_report(), training=training)
    assert note in " ".join(printed(report).split())


def test_a_report_of_the_untouched_base_alone_can_be_written(tmp_path):
    evaluated = [e for e in evaluations() if e.label == "base"]
    compared = compare(evaluated)
    training = training_table([], model="m")
    report = replace(
        make_report(),
        comparison=with_budgets(compared.comparison, training),
        pairwise=with_marks(compared.pairwise, training),
        seeds=compared.seeds,
        pass_at_k=compared.pass_at_k,
        profile=compared.profile,
        training=training,
        curves=curves_table([], model="m"),
        data=data_table({}, model="m"),
        samples=tuple(Samples(one) for one in evaluated),
        summaries={},
        notes=compared.notes,
        failures={},
    )
    write_report(tmp_path, report)
    assert pd.read_csv(tmp_path / "pairwise.csv").empty
    assert "There is no pair" in (tmp_path / "index.html").read_text()
    assert "base" in printed(report)


class Tags(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes = set(), []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes += attributes


def test_the_page_needs_nothing_from_elsewhere(tmp_path):
    write_report(tmp_path, make_report())
    page = Tags(_read(tmp_path / "index.html"))
    links = [v for name, v in page.attributes if name in ("src", "srcset", "href", "action")]
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)
    policy = next(v for name, v in page.attributes if v and v.startswith("default-src"))
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


@pytest.fixture(scope="module")
def harmless(tmp_path_factory):
    folder = tmp_path_factory.mktemp("harmless")
    write_report(folder, make_report())
    return Tags(_read(folder / "index.html"))


@pytest.mark.parametrize("payload", PAYLOADS)
def test_names_and_reasons_carry_no_commands(tmp_path, payload, harmless):
    report = make_report(lambda name: f"{payload}{name}")
    write_report(tmp_path, report)
    source = _read(tmp_path / "index.html")
    page = Tags(source)
    # A name in letters that a font lacks is drawn otherwise: path for text.
    assert page.tags <= harmless.tags | {"text", "path", "g", "defs", "use"}
    assert not any(name.startswith("on") for name, _ in page.attributes)
    for text in (
        source,
        printed(report),
        *(_read(tmp_path / name) for name in TABLES),
        gzip.decompress((tmp_path / "samples.csv.gz").read_bytes()).decode(),
    ):
        assert not set(text) & set("\x1b\x9b\x00\x07\r\u202e\u2066")
    for name in ("comparison.csv", "pairwise.csv"):
        cells = pd.read_csv(tmp_path / name, dtype=str, keep_default_na=False).to_numpy().ravel()
        commands = [c for c in cells if re.match(r"[=+@\t\r]|-\D", c)]
        assert commands == []


def _read(path):
    return path.read_bytes().decode("utf-8")


def test_markup_of_the_terminal_is_shown_and_not_obeyed():
    report = make_report(lambda name: f"[bold]{name}[/bold]")
    assert "[bold]easy[/bold]" in printed(report)
    assert "failed: [bold]dpo, seed 1[/bold]" in printed(report)


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("-x", "'-x"),
        ("-5", "-5"),
        ("+1.5e-3", "+1.5e-3"),
        ("-5 apples", "'-5 apples"),
        ("\r=1", "'=1"),
        ("a=b", "a=b"),
        (-0.1, "-0.1"),
        (np.float64(1 / 3), "0.3333333333333333"),
        (np.int64(3), "3"),
        (True, "True"),
        (None, ""),
        (float("nan"), ""),
        (pd.NA, ""),
    ],
)
def test_a_cell_is_a_number_or_inert_text(value, cell):
    table = pd.DataFrame({"x": pd.Series([value], dtype=object), "y": [1]})
    assert csv_text(table) == f"x,y\n{cell},1\n"


def test_plain_keeps_letters_of_all_scripts_and_drops_what_is_not_seen():
    assert plain("naïve 数学 π\n\tx") == "naïve 数学 π\n\tx"
    assert plain("a\x1b[2Jb\x1b]8;;http://x\x1b\\c\u200bd\ud800e\u2028f") == "abcdef"


@pytest.mark.parametrize("width", [80, 100])
def test_no_cell_or_heading_of_the_terminal_is_broken_or_cut(width):
    names = ["in_distribution", "long", "olympiadbench_englis", "template", "minerva_math"]
    benchmarks = [*names, *(name.upper() for name in names)]
    report = make_report(lambda name: name.ljust(20, "_"))
    table = report.comparison[report.comparison["benchmark"].str.startswith("easy")]
    many = pd.concat([table.assign(benchmark=name) for name in benchmarks])
    pairs = report.pairwise[report.pairwise["benchmark"].str.startswith("easy")]
    paired = pd.concat([pairs.assign(benchmark=name) for name in benchmarks])
    paired = paired.sort_values(["label", "against"], kind="stable")
    text = printed(replace(report, comparison=many, pairwise=paired), width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in text
    for label in many["label"].unique():
        shown = [line for line in lines if line.strip().startswith(label) and "±" in line]
        cells = [cell for line in shown for cell in re.findall(r"[\d.]+ ± [\d.]+", line)]
        rows = many.query("label == @label")
        assert len(cells) == len(rows) == 10
        assert [cell.split(" ")[0] for cell in cells] == [
            f"{row.avg_at_k_percent:.1f}" for row in rows.itertuples()
        ]
    headings = [line.split()[1:] for line in lines if line.split()[:1] == ["label"]]
    assert [name for names in headings for name in names] == benchmarks
    for pair in paired.query("family != 'exploratory'").itertuples():
        assert f"{pair.label} - {pair.against}" in [line.strip() for line in lines]
        span = f"[{pair.low_points:+.1f}, {pair.high_points:+.1f}]"
        row = f" {pair.difference_points:+.1f} {span} "
        assert any(row in line and line.strip().startswith(pair.benchmark) for line in lines)


def test_a_long_note_of_the_terminal_is_told_to_its_end():
    note = f"{'caveat ' * 100}to the end"
    assert note in " ".join(printed(replace(make_report(), notes=(note,))).split())


def test_a_longer_name_of_the_terminal_is_cut_with_an_ellipsis():
    report = make_report(lambda name: name.ljust(30, "_"))
    lines = printed(report, 80).splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith(f" {'dft'.ljust(19, '_')}…  ") for line in lines)
    assert any(f" {'easy'.ljust(19, '_')}…  " in line for line in lines)


def test_neither_comparing_nor_reporting_loads_torch():
    script = "import sys, eval, offline_rl.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", script], check=False).returncode == 0
    script = "import sys, offline_rl; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", script], check=False).returncode == 0


def test_the_readme_says_what_every_column_means():
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    for columns in COLUMNS.values():
        for column, text in columns.items():
            assert f"| `{column}` | {text} |" in readme
