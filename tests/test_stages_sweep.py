"""The sweep: settings chosen on validation problems alone, every trial told."""

import json
from pathlib import Path

import pandas as pd
import pytest

from data_gen.types import DataError
from offline_rl.config.load import UsageError, load_experiment
from offline_rl.config.sweep_settings import candidates, variants
from offline_rl.methods.registry import METHODS
from offline_rl.results.find import load_run
from offline_rl.settings.training import TrainingSettings, resolve_training
from offline_rl.stages.run_sweep import best_trials, trial_notes
from offline_rl.workflows.experiment import run
from offline_rl.workflows.reports import report_again
from tests.helpers.policies import failed, trial

SMALL = [
    "problems.limit=30",
    "sampling.samples=4",
    "sampler=transformers",
    "training.steps=3",
    "training.examples_per_step=16",
    "behaviour_check=8",
    "seeds=[0]",
    "report.formats=[csv]",
    "methods={rft: {}, dft: {}}",
    "evaluation.sampling.samples=2",
    "evaluation.decodings={}",
    "evaluation.benchmarks={in_distribution: {source: arithmetic, split: test, limit: 10}}",
    "sweep.problems={source: arithmetic, split: validation, limit: 20}",
]
GRIDS = "sweep.grids={rft: {lr: [1e-30, 3e-3]}, dft: {lr: [3e-3], weight_decay: [0.0]}}"


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep") / "run"
    return folder, run(load_experiment("demo", [*SMALL, GRIDS]), folder)


def test_every_trial_is_in_the_training_table_with_its_score(swept):
    _, report = swept
    table = report.training
    assert list(table.role) == ["compared", "compared", "trial 0", "trial 1", "trial 0"]
    assert list(table.trials) == [2, 1, 2, 2, 1]
    trials = table[table.role != "compared"]
    assert trials.validation_avg_at_k_percent.between(0, 100).all()
    assert (trials.training_seed == 1000).all()
    assert (table[table.role == "compared"].training_seed == 0).all()


def test_the_best_trial_is_what_is_compared(swept):
    folder, report = swept
    table = report.training
    rft = table[(table.label == "rft") & (table.role != "compared")]
    best = rft.loc[rft.validation_avg_at_k_percent.idxmax()]
    compared = table[(table.label == "rft") & (table.role == "compared")].iloc[0]
    assert compared.lr == best.lr
    written = json.loads((folder / "models/rft/seed-0/training.json").read_text())
    assert written["training"]["lr"] == best.lr
    assert set(report.comparison.label) == {"base", "rft", "dft"}


def test_the_manifest_tells_what_all_methods_had_in_common(swept):
    folder, _ = swept
    manifest = json.loads((folder / "report/manifest.json").read_text())
    about = json.loads((folder / "dataset/about.json").read_text())
    assert manifest["tokenizer_sha256"] == about["tokenizer_sha256"]
    hashes = {key: value for key, value in manifest.items() if key.endswith("sha256")}
    assert len(set(hashes.values())) == len(hashes) == 5
    run(load_experiment("demo", [*SMALL, GRIDS]), folder)
    assert json.loads((folder / "report/manifest.json").read_text()) == manifest


def test_weights_of_trials_are_not_kept_and_nothing_is_done_twice(swept):
    folder, report = swept
    assert not list(folder.glob("sweep/**/*.safetensors"))
    before = {path: path.stat().st_mtime_ns for path in folder.glob("**/stage.json")}
    again = run(load_experiment("demo", [*SMALL, GRIDS]), folder)
    after = {path: path.stat().st_mtime_ns for path in folder.glob("**/stage.json")}
    assert after == before
    pd.testing.assert_frame_equal(again.comparison, report.comparison)
    pd.testing.assert_frame_equal(load_run(folder).training, report.training)
    report_again(folder, ("html",))
    assert "trial" in (folder / "report" / "index.html").read_text(encoding="utf-8")


def test_unequal_trials_and_edges_are_noted(swept):
    _, report = swept
    assert any(
        "Unequal trials" in note and "rft 2, dft 1" in note for note in map(str, report.notes)
    )
    grids = "sweep.grids={rft: {lr: [1e-4, 1e-3, 1e-2]}, dft: {lr: [1e-4, 1e-3, 1e-2]}}"
    experiment = load_experiment("demo", [*SMALL, grids])
    trials = [
        trial(failed(label, 0, "none was trained"), n, score)
        for label, scores in {"rft": (0.1, 0.2, 0.3), "dft": (0.1, 0.3, 0.2)}.items()
        for n, score in enumerate(scores)
    ]
    (note,) = map(str, trial_notes(experiment, trials))
    assert note.startswith("The best lr of rft, 0.01, is at the edge")


def test_the_best_is_the_first_of_equals_and_never_a_failure():
    def trials(*scores):
        policy = failed("a", 0, "none was trained")
        return [trial(policy, n, score) for n, score in enumerate(scores)]

    assert best_trials(trials(0.1, 0.3, 0.3)) == {"a": 1}
    assert best_trials(trials(None, 0.0, None)) == {"a": 1}
    assert best_trials(trials(None, None)) == {"a": 0}
    assert best_trials([]) == {}


def test_a_grid_gives_every_combination_of_own_and_training_settings():
    found = variants(
        METHODS["dpo"](training={"steps": 5}), {"beta": (0.1, 0.5), "lr": (1e-6, 1e-5)}
    )
    assert [(v.beta, v.training.lr) for v in found] == [
        (0.1, 1e-6),
        (0.1, 1e-5),
        (0.5, 1e-6),
        (0.5, 1e-5),
    ]
    assert {v.training.steps for v in found} == {5}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sweep.grids={ppo: {lr: [1]}}", r"sweep\.grids\.ppo: there is no such method"),
        ("sweep.grids={rft: {beta: [1]}}", r"sweep\.grids\.rft: beta is a setting neither of rft"),
        ("sweep.grids={rft: {lr: [-1]}}", r"sweep\.grids\.rft: training\.lr: Input should be"),
        (
            "sweep.grids={dft: {lr: [1e-5], scheduler: [constant], warmup: [0.0, 0.1]}}",
            r"sweep\.grids\.dft: trials 0 and 1 are trained alike",
        ),
        (
            "sweep.grids={dft: {steps: [5], epochs: [1, 2]}}",
            r"sweep\.grids\.dft: trials 0 and 1 are trained alike",
        ),
        ("sweep.grids={dft: {log_every: [1, 2]}}", r"trials 0 and 1 are trained alike"),
        ("sweep.seed=0", r"sweep\.seed: 0 is one of the seeds of the comparison"),
    ],
)
def test_a_sweep_that_cannot_work_is_refused_before_anything_starts(override, message):
    with pytest.raises(UsageError, match=message):
        load_experiment("demo", [*SMALL, GRIDS, override])


def test_lengths_are_tried_out_whatever_all_methods_share_but_not_under_a_budget():
    lengths = "sweep.grids={rft: {epochs: [1, 3]}}"
    for own in ("{}", "{training: {steps: 7}}"):
        changes = [*SMALL, f"methods={{rft: {own}, dft: {{}}}}", "training.steps=5", lengths]
        experiment = load_experiment("demo", changes)
        tried = candidates(experiment.methods, experiment.sweep)
        steps = [
            resolve_training(TrainingSettings(), experiment.training, method.training).total_steps(
                64, 640
            )
            for label, method in tried
            if label == "rft"
        ]
        assert steps[1] == 3 * steps[0]
    with pytest.raises(UsageError, match=r"sweep\.grids\.rft\.epochs: the budget says how long"):
        load_experiment("demo", [*SMALL, lengths, "budget={match: steps}"])


def test_the_reference_is_rft_or_the_first_or_what_is_asked_for():
    plain = SMALL[:-1]
    assert load_experiment("demo", plain).reference == "rft"
    others = "methods={dft: {}, power: {}}"
    assert load_experiment("demo", [*plain, others]).reference == "dft"
    asked = load_experiment("demo", [*plain, others, "evaluation.reference=power"])
    assert asked.reference == "power"
    with pytest.raises(UsageError, match=r"evaluation\.reference: there is no method 'ppo'"):
        load_experiment("demo", [*plain, "evaluation.reference=ppo"])


@pytest.mark.parametrize(
    ("split", "where"),
    [("test", "of benchmark in_distribution"), ("train", "that methods learn from")],
)
def test_settings_are_never_chosen_on_what_is_learnt_from_or_measured(
    split: str, where: str, tmp_path: Path
):
    same = f"sweep.problems={{source: arithmetic, split: {split}, limit: 10}}"
    with pytest.raises(DataError, match=rf"sweep\.problems: 10 of them are problems {where}"):
        run(load_experiment("demo", [*SMALL, GRIDS, same]), tmp_path / "run")


def test_weights_of_trials_are_not_chosen_on_a_benchmark_either(tmp_path: Path):
    same = "{problems: {source: arithmetic, split: test, limit: 10}}"
    grid = f"sweep.grids={{rft: {{validation: [null, {same}]}}}}"
    with pytest.raises(DataError, match=r"training\.validation\.problems \(of rft\): 10 of them"):
        run(load_experiment("demo", [*SMALL, grid]), tmp_path / "run")


def test_settings_are_never_chosen_on_what_imported_rollouts_answer(swept, tmp_path: Path):
    folder, _ = swept
    origin = [one for one in SMALL if not one.startswith("problems.")]
    origin += ["problems=null", f"rollouts={folder}"]
    same = "sweep.problems={source: arithmetic, split: train, skip: 25, limit: 10}"
    settings = load_experiment("demo", [*origin, GRIDS, same])
    with pytest.raises(DataError, match="5 of them are problems that methods learn from"):
        run(settings, tmp_path / "run")
