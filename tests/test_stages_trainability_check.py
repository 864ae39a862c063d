"""A run in which no method can learn says so before the base model is evaluated."""

import pytest

from data_gen.types import DataError
from offline_rl.config.load import load_experiment
from offline_rl.stages import trainability_check
from offline_rl.workflows import experiment
from offline_rl.workflows.experiment import run
from tests.helpers.faults import SHORT, command

SMALL = [*SHORT, "problems.limit=30", "budget=null"]
TOO_LONG = "no method finds an example to learn from: rft: all "
# Samples for real, so that nothing but the run itself is needed.
OWN = [*SMALL, "problems.limit=20", "behaviour_check=0"]
HOPELESS = [*OWN, "training.max_tokens=2"]


@pytest.mark.parametrize("asked", ["run", "train"])
@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("training.max_tokens=2", TOO_LONG),
        ("selection.min_reward=2", "none of the 60 rollouts in "),
        ("methods={sft: {training: {max_tokens: 2}}}", "no method finds an example"),
    ],
)
def test_nothing_to_learn_is_told_before_anything_is_evaluated(
    warm, tmp_path, asked, setting, message
):
    folder = tmp_path / "run"
    said = warm.run([asked, *command(folder, [*SMALL, setting])[1:]], check=1)
    assert f"error: {message}" in said
    assert "evaluate" not in said
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == [
        "dataset",
        "rollouts",
    ]


def test_a_budget_that_the_first_method_cannot_measure_is_told_as_early(warm, tmp_path):
    folder = tmp_path / "run"
    settings = [*SMALL, "budget={match: steps}", "methods.rft.training.max_tokens=2"]
    assert "longer than training.max_tokens = 2" in warm.run(command(folder, settings), check=1)
    assert not (folder / "evaluations").exists()


def test_each_reason_names_its_methods(warm, tmp_path):
    methods = "methods={rft: {}, dft: {}, dpo: {}}"
    settings = [*SMALL, "training.max_tokens=2", methods]
    said = warm.run(command(tmp_path / "run", settings), check=1)
    assert f"{TOO_LONG.replace('rft', 'rft, dft')}" in said
    assert "raise it; dpo: all " in said


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        (["methods.rft.training.max_tokens=2"], 3),
        (
            [
                "methods={rft: {training: {max_tokens: 2}}}",
                "sweep.problems={source: arithmetic, split: validation, limit: 10}",
                "sweep.grids={rft: {max_tokens: [2, 200]}}",
            ],
            0,
        ),
    ],
)
def test_a_run_in_which_one_can_learn_goes_on(warm, tmp_path, settings, code):
    folder = tmp_path / "run"
    said = warm.run(command(folder, [*SMALL, *settings]), check=code)
    assert "no method finds" not in said
    assert (folder / "report" / "comparison.csv").is_file()


def test_methods_that_failed_for_good_do_not_stop_a_run(tmp_path, monkeypatch):
    with monkeypatch.context() as before:
        before.setattr(experiment, "check_learnable", lambda *_, **__: None)
        failed = run(load_experiment("demo", HOPELESS), tmp_path)
    assert len(failed.failures) == 2
    further = "evaluation.benchmarks.far={source: arithmetic, split: long, limit: 5}"
    again = run(load_experiment("demo", [*HOPELESS, further]), tmp_path)
    assert again.failures == failed.failures
    with pytest.raises(DataError, match="no method finds an example to learn from"):
        run(load_experiment("demo", HOPELESS), tmp_path, retry_failed=True)
    with pytest.raises(DataError, match="no method finds an example to learn from"):
        run(load_experiment("demo", [*HOPELESS, "seeds=[0, 1]"]), tmp_path)


def test_few_rollouts_are_looked_at_and_none_once_a_policy_is_trained(tmp_path, monkeypatch):
    seen = []

    def counted(folder, **kwargs):
        for rollout in iterate_rollouts(folder, **kwargs):
            seen.append(rollout)
            yield rollout

    iterate_rollouts = trainability_check.iterate_rollouts
    monkeypatch.setattr(trainability_check, "iterate_rollouts", counted)
    settings = [*OWN, "methods={rft: {}}", "sampling.samples=8"]
    run(load_experiment("demo", settings), tmp_path, until="train")
    first = next(n for n, one in enumerate(seen, 1) if one.verdict.label == "correct")
    assert 0 < len(seen) <= first + 8
    assert len(seen) < 20 * 8
    seen.clear()
    run(load_experiment("demo", [*settings, "seeds=[0, 1]"]), tmp_path, until="train")
    assert seen == []
