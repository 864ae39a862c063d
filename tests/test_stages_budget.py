"""Budgets: every method gets as much of what is matched, and the report says what still differs."""

import pytest

from offline_rl.config.load import load_experiment
from offline_rl.settings.training import TrainingSettings
from offline_rl.workflows.experiment import run

SMALL = [
    "problems.limit=24",
    "sampling.samples=4",
    "sampler=transformers",
    "training.steps=null",
    "training.epochs=2",
    "training.examples_per_step=8",
    "behaviour_check=0",
    "seeds=[0]",
    "report.formats=[csv]",
    "methods={rft: {}, dft: {training: {examples_per_step: 4}}, dpo: {}}",
    "evaluation.sampling.samples=2",
    "evaluation.decodings={}",
    "evaluation.benchmarks={in_distribution: {source: arithmetic, split: test, limit: 6}}",
]


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"epochs": 2.0}, 26),
        ({"steps": 7}, 7),
        ({"steps": 7, "total_examples": 80}, 10),
        ({"steps": 7, "total_examples": 80, "total_tokens": 4000}, 26),
        ({"total_tokens": 1}, 1),
    ],
)
def test_a_length_in_tokens_goes_before_examples_before_steps_before_epochs(settings, steps):
    training = TrainingSettings(examples_per_step=8, **settings)
    assert training.total_steps(examples=100, tokens=2000) == steps


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("budget") / "run"


@pytest.mark.parametrize(("match", "column"), [("steps", "steps"), ("examples", "examples_seen")])
def test_the_first_method_sets_the_budget_of_all(match, column, folder):
    report = run(load_experiment("demo", [*SMALL, f"budget.match={match}"]), folder)
    spent = report.training.set_index("label")[column]
    assert spent.nunique() == 1
    assert report.training.set_index("label").epochs["rft"] == pytest.approx(2, abs=0.35)
    assert column not in " ".join(report.pairwise["budgets_that_differ"].dropna())


def test_an_amount_of_tokens_is_met_to_half_a_step(folder):
    amount = 3000
    report = run(
        load_experiment("demo", [*SMALL, f"budget={{match: tokens, amount: {amount}}}"]), folder
    )
    rows = report.training.set_index("label")
    for label in ("rft", "dft", "dpo"):
        per_step = rows.trained_tokens_seen[label] / rows.steps[label]
        assert abs(rows.trained_tokens_seen[label] - amount) <= 0.75 * per_step
