"""The samples that the page shows: which they are, how they are read, and what is left out."""

import itertools
import json
from dataclasses import replace

import pytest

from offline_rl.report.page.rollout_browser import browse, shown
from offline_rl.report.page.sample_selection import select
from tests.helpers.page_reports import PROBLEMS, large_report, small_report
from tests.helpers.reports import with_results


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return small_report(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    return large_report(tmp_path_factory.mktemp("large"))


def test_a_text_is_shown_whole_unless_signs_are_unseen_or_it_is_long():
    assert shown("naïve\n\t数学 🙂") == "naïve\n\t数学 🙂"
    assert shown("a\x00b") == {"t": "ab", "s": 1}
    long = shown("".join(map(str, range(20_000))))
    assert long["t"].startswith("0123456789")
    assert long["t"].endswith("19999")


def test_more_room_adds_problems_and_changes_none(large, small):
    budgets = (1, 400_000, 3_000_000, 6_000_000)
    chosen = [select(large.results.samples, budget) for budget in budgets]
    for fewer, more in itertools.pairwise(chosen):
        shared = min(len(fewer.problems), len(more.problems))
        assert fewer.problems[:shared] == more.problems[:shared]
        assert (fewer.samples, len(fewer.problems)) <= (more.samples, len(more.problems))
    assert len(chosen[0].problems) == 1
    assert chosen[-1].samples < chosen[-1].of_samples == 24
    whole = select(small.results.samples, 1_000_000)
    assert len(whole.problems) == whole.of_problems == 2 * PROBLEMS
    assert browse(small, 1_000_000).whole


def test_texts_longer_than_their_tokens_promise_still_fit(large):
    few = tuple(
        replace(one, evaluation=replace(one.evaluation, grid=one.evaluation.grid.assign(tokens=1)))
        for one in large.results.samples
    )
    browsed = browse(with_results(large, samples=few), 2_000_000)
    assert 1_000_000 < len(browsed.json.encode()) < 2_200_000
    assert not browsed.whole


def test_the_samples_of_a_page_are_those_stored(small):
    data = json.loads(browse(small, 1_000_000).json)
    assert [one["name"] for one in data["benchmarks"]] == ["easy", "hard"]
    for benchmark in data["benchmarks"]:
        for problem in benchmark["problems"]:
            for cell in problem["cells"]:
                about = small.results.samples[cell["p"]].evaluation
                rows = about.grid[about.grid["problem_id"] == problem["id"]]
                assert about.benchmark == benchmark["name"]
                assert cell["v"] == "".join(verdict[0] for verdict in rows["verdict"])
                assert [problem["texts"][n] for n in cell["a"]] == list(rows["answer"])
                assert cell["n"] == list(rows["tokens"])
                assert problem["texts"][cell["t"][2]].startswith(
                    f"{about.label} {about.training_seed} thinks of {problem['id']}, take 2"
                )
