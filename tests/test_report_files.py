"""The report's files are documented, read back equal, and repeat to the byte."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from eval.comparison import CHECKS
from offline_rl.artifacts.records import TrainingReport, ValidationReport
from offline_rl.report import (
    COLUMNS,
    Samples,
    training_table,
    write_report,
)
from offline_rl.report.paper_tables import latex
from offline_rl.report.write_report import csv_tables
from tests.helpers.full_report import RECORDS, TABLES, evaluations, make_report, printed, trained
from tests.helpers.policies import trial
from tests.helpers.reports import report_on, with_results, with_tables

FILES = sorted([*TABLES, "index.html", "samples.csv.gz"])


def test_every_column_of_every_file_has_a_meaning_and_none_is_explained_in_vain(tmp_path):
    write_report(tmp_path, make_report(), ("csv",))
    for name, documented in COLUMNS.items():
        columns = pd.read_csv(tmp_path / name).columns
        assert list(columns) == list(documented)
        assert all(documented.values())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a report in the formats that it has where none is named."""
    folder = tmp_path_factory.mktemp("whole")
    write_report(folder, make_report())
    return folder


def test_the_files_read_back_equal(whole):
    report = make_report()
    assert sorted(path.name for path in whole.iterdir()) == FILES
    for name, written in csv_tables(report).items():
        if name != "data.csv":
            _assert_read_back(whole / name, written)
    _assert_read_back(whole / "samples.csv.gz", report.grid())
    assert (whole / "data.csv").read_text() == (
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
    cells = rf"^\| dft +\| +2 \| +{row.avg_at_k_percent:.1f} ± "
    assert re.search(cells, (tmp_path / "tables.md").read_text(), re.M)
    assert f"dft & 2 & {row.avg_at_k_percent:.1f} $\\pm$ " in (tmp_path / "tables.tex").read_text()


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
    chosen = ValidationReport(
        best_step=20,
        best_avg_at_k=0.25,
        stopped_early=True,
        problems=8,
        problems_too_long=0,
        scores=[],
    )
    record = trained("rft", 0, validation=chosen)
    [row] = training_table([record], model="m").to_dict("records")
    assert (row["validation_best_step"], row["validation_avg_at_k_percent"]) == (20, 25.0)
    assert row["stopped_early"] is True
    [row] = training_table([], [trial(record, 1, 0.5)], model="m").to_dict("records")
    assert row["validation_avg_at_k_percent"] == 50.0


def test_equal_contents_give_equal_bytes(whole, tmp_path):
    write_report(tmp_path, make_report())
    for name in FILES:
        assert (whole / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_a_format_that_is_there_is_written_anew_with_the_others(tmp_path):
    report = make_report()
    write_report(tmp_path, report, ("latex",))
    before = (tmp_path / "tables.tex").read_text()
    other = with_tables(report, comparison=report.comparison.query("label != 'dpo'"))
    write_report(tmp_path, other, ("csv",))
    assert not (tmp_path / "tables.md").exists()
    assert (tmp_path / "comparison.csv").exists()
    assert "dpo" in before
    assert (tmp_path / "tables.tex").read_text() == latex(other) != before


def test_clock_readings_stand_in_training_csv_alone(tmp_path):
    slow = [
        trained(one.label, 7 + one.training_seed)
        if isinstance(one.outcome, TrainingReport)
        else one
        for one in RECORDS
    ]
    report = make_report()
    write_report(tmp_path / "first", report, ("csv",))
    write_report(
        tmp_path / "second",
        with_results(report, training=training_table(slow, model="m")),
        ("csv",),
    )
    for name in ("comparison.csv", "pairwise.csv", "data.csv"):
        first, second = tmp_path / "first" / name, tmp_path / "second" / name
        assert first.read_bytes() == second.read_bytes()
    assert "seconds" in (tmp_path / "first" / "training.csv").read_text().splitlines()[0]


def test_a_report_of_the_untouched_base_alone_can_be_written(tmp_path):
    evaluated = [Samples(one) for one in evaluations() if one.label == "base"]
    report = report_on(evaluated)
    write_report(tmp_path, report)
    assert pd.read_csv(tmp_path / "pairwise.csv").empty
    assert "There is no pair" in (tmp_path / "index.html").read_text()
    assert "base" in printed(report)


def test_neither_comparing_nor_reporting_loads_torch():
    script = "import sys, eval, offline_rl.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", script], check=False).returncode == 0
    script = "import sys, offline_rl; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", script], check=False).returncode == 0


def test_the_documentation_says_what_every_column_means():
    page = Path(__file__).parents[1] / "docs/reference/csv.md"
    text = page.read_text(encoding="utf-8")
    for columns in (*COLUMNS.values(), CHECKS):
        for column, meaning in columns.items():
            assert f"| `{column}` | {meaning} |" in text
