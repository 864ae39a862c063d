"""A dry run looks at the files of this machine as the run does, and at nothing else."""

import json

import pytest

from data_gen.types import DataError
from offline_rl.config.load import load_experiment
from offline_rl.workflows.dry_run import plan

BENCHMARKS = "evaluation.benchmarks={{mine: {}}}"


def what(step, *overrides):
    return next(c for c in plan(load_experiment("demo", overrides)) if c.step == step)


@pytest.fixture
def local(tmp_path):
    path = tmp_path / "problems.jsonl"
    rows = [{"problem": f"{n}+1=", "answer": str(n + 1)} for n in range(5)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def test_a_local_file_is_counted(local):
    rollouts = what("rollouts", f"problems={local}", "sampling.samples=4")
    assert rollouts.what.startswith("5 problems x 4 samples")
    assert rollouts.completions == 20
    benchmark = BENCHMARKS.format(f"{{source: mine, path: {local}, skip: 1, limit: 100}}")
    assert what("evaluate on mine", benchmark).what.startswith("4 problems, ")


def test_what_is_skipped_of_a_known_set_is_not_counted():
    benchmark = BENCHMARKS.format("{source: math500, skip: 450, limit: 100}")
    assert what("evaluate on mine", benchmark).what.startswith("50 problems, ")


def test_a_set_of_the_hub_is_not_read():
    assert what("rollouts", "problems=no/such-set").what.startswith("a set of unknown size x")
    benchmark = BENCHMARKS.format("no/such-set")
    assert what("evaluate on mine", benchmark).what.startswith("a set of unknown size, ")


@pytest.mark.parametrize(
    "setting",
    [
        ["problems=none.jsonl"],
        [BENCHMARKS.format("none.jsonl")],
        [BENCHMARKS.format("{source: math500, path: none.jsonl}")],
        ["problems=null", "rollouts=none.jsonl"],
        ["sweep={problems: none.jsonl, grids: {rft: {lr: [1e-5, 1e-4]}}}"],
        ["training.validation={problems: none.jsonl}"],
        ["filters.decontaminate={benchmarks: {mine: none.jsonl}}"],
    ],
)
def test_a_missing_file_is_told(setting):
    with pytest.raises(DataError, match=r"none\.jsonl: no such file"):
        plan(load_experiment("demo", setting))


def test_a_dry_run_fails_as_the_run_does(warm, tmp_path):
    asked = ["run", "demo", BENCHMARKS.format("none.jsonl"), "--out", tmp_path / "run"]
    said = warm.run([*asked, "--dry-run"], check=1, scripted=False)
    assert said == warm.run(asked, check=1, scripted=False) == "error: none.jsonl: no such file\n"


def test_a_broken_line_fails_in_a_dry_run_too(local):
    local.write_text('{"problem": "1+1=", "answer": "2"}\n{"problem": \n')
    with pytest.raises(DataError, match=f"{local}:2"):
        what("rollouts", f"problems={local}")
