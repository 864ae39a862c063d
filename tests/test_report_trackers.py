"""What trackers are sent is the comparison, and a tracker that fails harms nothing."""

import pytest

from offline_rl.progress import Silent
from offline_rl.report.build_report import build_report
from offline_rl.report.trackers import log_comparison, summary
from tests.helpers.small_report import run


def test_the_summary_has_every_known_figure_of_the_comparison_and_the_tested_pairs():
    report = build_report(run("rft", "dft"))
    values = summary(report)
    rows = report.comparison.set_index(["label", "benchmark"])
    assert values["dft/macro/avg_at_k_percent"] == rows.loc[("dft", "macro"), "avg_at_k_percent"]
    pairs = report.pairwise.set_index(["label", "against", "benchmark"])
    points = pairs.loc[("dft", "rft", "easy"), "difference_points"]
    assert values["dft - rft/easy/difference_points"] == points
    assert len(values) == 9 * 4 + 3 * 3


def test_tensorboard_reads_what_was_logged_and_a_second_time_replaces_it(tmp_path):
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    report = build_report(run("rft"))
    for _ in range(2):
        log_comparison(report, ["tensorboard"], tmp_path / "logs", Silent())
    [events] = (tmp_path / "logs").rglob("events.out.tfevents.*")
    accumulator = reading.EventAccumulator(str(events.parent))
    accumulator.Reload()
    for name, value in summary(report).items():
        [logged] = accumulator.Scalars(name)
        assert logged.value == pytest.approx(value, rel=1e-6)


def test_a_tracker_that_is_not_there_costs_a_line(tmp_path):
    said = []

    class Progress(Silent):
        def say(self, text):
            said.append(text)

    log_comparison(build_report(run("rft")), ["mlflow"], tmp_path, Progress())
    assert len(said) == 1
    assert said[0].startswith("the comparison did not reach mlflow: ")
