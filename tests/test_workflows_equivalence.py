"""The same settings give the same bytes; and the comparison of two runs sees what is another."""

import gzip
import os
import shutil

import pytest

from tests.equivalence.compare_runs import Declared, differences

NONE = Declared()
SMALL = [
    "problems.limit=30",
    "sampling.samples=4",
    "sampler=transformers",
    "behaviour_check=4",
    "training.steps=2",
    "training.examples_per_step=8",
    "seeds=[0]",
    "methods={dft: {}, dpo: {}}",
    "filters={duplicates: true, max_accepted_per_problem: 2}",
    "evaluation.sampling.samples=2",
    "evaluation.decodings={t0.5: {temperature: 0.5}}",
    "evaluation.benchmarks={near: {source: arithmetic, split: test, limit: 8}}",
    "report.formats=[csv, html, markdown]",
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of the same settings, by processes that order their sets differently."""
    from tests.equivalence.compare_commits import ROOT, run_settings

    made = []
    for hash_seed in ("1", "2"):
        folder = tmp_path_factory.mktemp(f"hash-seed-{hash_seed}") / "run"
        run_settings(ROOT, "demo", folder, hash_seed, *SMALL)
        made.append(folder)
    return made


@pytest.fixture
def copy(runs, tmp_path):
    return shutil.copytree(runs[0], tmp_path / "copy")


def test_the_same_settings_give_the_same_bytes(runs):
    assert differences(*runs, NONE) == []
    assert (runs[0] / "report/samples.csv.gz").read_bytes() == (
        runs[1] / "report/samples.csv.gz"
    ).read_bytes()


def test_a_number_that_differs_is_named_with_its_row_and_column(runs, copy):
    path = copy / "report/pairwise.csv"
    header, first, *rows = path.read_text().split("\n")
    cells = first.split(",")
    at = header.split(",").index("wins")
    cells[at] = "999"
    path.write_text("\n".join([header, ",".join(cells), *rows]))
    (line,) = differences(runs[0], copy, NONE)
    assert line.startswith("report/pairwise.csv: row 1, wins: ")
    assert line.endswith(", now '999'")


def test_a_sample_a_line_of_the_card_and_a_missing_file_are_seen(runs, copy):
    packed = copy / "report/samples.csv.gz"
    packed.write_bytes(gzip.compress(gzip.decompress(packed.read_bytes()).replace(b"wrong", b"ok")))
    card = copy / "dataset/README.md"
    card.write_text(card.read_text() + "one line more\n")
    (copy / "report/seeds.csv").unlink()
    seen = {line.partition(":")[0] for line in differences(runs[0], copy, NONE)}
    assert seen == {"report/samples.csv.gz", "dataset/README.md", "report/seeds.csv"}


def test_clock_readings_are_masked(runs, copy):
    path = copy / "report/training.csv"
    header, *rows = path.read_text().strip().split("\n")
    at = header.split(",").index("seconds")
    changed = []
    for row in rows:
        cells = row.split(",")
        cells[at - len(header.split(","))] = "12345.5"
        changed.append(",".join(cells))
    path.write_text("\n".join([header, *changed]) + os.linesep)
    assert differences(runs[0], copy, NONE) == []


def test_a_declared_file_may_be_missing_and_may_not_differ(runs, copy):
    declared = Declared(files=["report/checks.csv"])
    path = copy / "report/checks.csv"
    path.write_text(path.read_text().replace("value", "value2", 1))
    assert differences(runs[0], copy, declared) == [
        "report/checks.csv: columns gone: ['value'], added: ['value2']"
    ]
    path.unlink()
    assert differences(runs[0], copy, declared) == []


def test_declared_renames_and_additions_are_no_differences(runs, copy):
    path = copy / "report/comparison.csv"
    path.write_text(path.read_text().replace("problems,", "problem_count,", 1))
    assert differences(runs[0], copy, NONE)
    renamed = Declared(columns={"comparison.csv": {"problems": "problem_count"}})
    assert differences(runs[0], copy, renamed) == []
    assert differences(copy, runs[0], Declared(columns={"comparison.csv": {"x": "y"}}))
