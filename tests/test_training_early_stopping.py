"""Early stop: the best weights on validation problems are kept, whatever is killed on the way."""

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from data_gen.collection import collect
from data_gen.demonstrations import demonstrations
from data_gen.model_ref import ModelRef
from data_gen.problems.sources import ProblemSource, load_problems
from data_gen.samplers.base import ModelSampler
from data_gen.samplers.tokenizer import load_tokenizer
from data_gen.samplers.transformers import TransformersEngine
from data_gen.store.rollouts import load_rollouts, save_rollouts
from data_gen.types import DataError, Sampling
from data_gen.verifiers import verify
from offline_rl.config.load import load_experiment
from offline_rl.methods.registry import METHODS
from offline_rl.settings.training import Lora, TrainingSettings
from offline_rl.settings.validation import Validation, ValidationSetup
from offline_rl.tiny_base import TINY_BASE
from offline_rl.training.early_stopping import EarlyStop
from offline_rl.training.train import train
from offline_rl.workflows.experiment import run
from tests.helpers.faults import train_with_kills
from tests.helpers.policies import read_training
from tests.helpers.training import SELECTION

HELD_OUT = ProblemSource(source="arithmetic", split="validation", limit=24)
EXAM = ValidationSetup(
    prompt="raw", sampling=Sampling(samples=2, max_tokens=48, seed=3), verifier={"kind": "exact"}
)
EVERY, PATIENCE = 2, 3
# Of a training that is at its best in its middle, so that there is something to stop.
SEED = 6
UNSTOPPED = TrainingSettings(
    steps=20, examples_per_step=8, lr=2e-3, warmup=0.0, scheduler="constant", max_tokens=256
)
VALIDATION = Validation(problems=HELD_OUT, every=EVERY, patience=PATIENCE)
STOPPED = UNSTOPPED.model_copy(update={"validation": VALIDATION})


@pytest.fixture(scope="module")
def taught():
    problems = load_problems("arithmetic", "train", limit=24)
    return list(
        demonstrations(problems, tokenizer=load_tokenizer(ModelRef(str(TINY_BASE))), style="raw")
    )


def trained(rollouts, folder, training, **changes):
    told = {"model": ModelRef(str(TINY_BASE)), "selection": SELECTION, "seed": SEED, "setup": EXAM}
    return train(METHODS["rft"](), rollouts, Path(folder), training=training, **{**told, **changes})


@pytest.fixture(scope="module")
def stopped(taught, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stopped")
    return folder, trained(taught, folder, STOPPED)


def weights(folder):
    return (Path(folder) / "model.safetensors").read_bytes()


def test_training_ends_when_patience_does(stopped):
    report = stopped[1]
    chosen = report.validation
    steps, scores = zip(*((one.step, one.avg_at_k) for one in chosen.scores), strict=True)
    assert list(steps) == list(range(EVERY, report.steps + 1, EVERY))
    assert EVERY < chosen.best_step == report.steps - PATIENCE * EVERY
    assert report.steps < UNSTOPPED.steps
    assert chosen.stopped_early is True
    assert chosen.best_avg_at_k == max(scores) > min(scores)
    assert scores.index(max(scores)) == steps.index(chosen.best_step)
    name = "validation_avg_at_k"
    assert [(one["step"], one[name]) for one in report.history if name in one] == list(
        zip(steps, scores, strict=True)
    )


def test_the_weights_kept_are_those_of_a_training_that_ends_at_the_best_step(
    stopped, taught, tmp_path
):
    folder, report = stopped
    until = UNSTOPPED.model_copy(update={"steps": report.validation.best_step})
    shorter = trained(taught, tmp_path, until)
    assert weights(folder) == weights(tmp_path)
    assert shorter.validation is None
    assert not (folder / "checkpoints").exists()


def test_the_best_score_is_that_of_the_weights_that_were_saved(stopped):
    folder, report = stopped
    with TransformersEngine("float32", 64) as engine:
        engine.load(ModelRef(str(folder)))
        sampler = ModelSampler(engine, load_tokenizer(ModelRef(str(folder))), EXAM.prompt)
        rollouts = collect(HELD_OUT.load(), sampler, partial(verify, kind="exact"), EXAM.sampling)
    right = sum(one.verdict.label == "correct" for one in rollouts) / len(rollouts)
    assert right == report.validation.best_avg_at_k


def test_without_patience_training_goes_on_and_keeps_the_best_all_the_same(
    stopped, taught, tmp_path
):
    patient = VALIDATION.model_copy(update={"patience": None, "every": 6})
    report = trained(taught, tmp_path, UNSTOPPED.model_copy(update={"validation": patient}))
    steps = [one.step for one in report.validation.scores]
    assert (report.steps, steps) == (20, [6, 12, 18, 20])
    assert report.validation.stopped_early is False
    assert report.validation.best_step == stopped[1].validation.best_step == 12
    assert weights(tmp_path) == weights(stopped[0])


def test_adapters_are_validated_and_their_best_kept(taught, tmp_path):
    lora = UNSTOPPED.model_copy(update={"lora": Lora(rank=4), "steps": 6, "lr": 2e-2})
    validated = lora.model_copy(update={"validation": VALIDATION})
    best = trained(taught, tmp_path / "all", validated).validation.best_step
    trained(taught, tmp_path / "until", lora.model_copy(update={"steps": best}))
    assert best < 6
    assert weights(tmp_path / "all") == weights(tmp_path / "until")


KILLED = STOPPED.model_copy(update={"checkpoint_every": 3})


def train_and_tell(arguments, pipe):
    data, folder = arguments
    tell = {"on_log": lambda step, *_: print(step, file=pipe)}
    trained(load_rollouts(data), folder, KILLED, **tell)


def test_killed_training_stops_at_the_same_step_with_the_same_weights(
    stopped, taught, warm, tmp_path
):
    save_rollouts(taught, tmp_path / "taught.parquet")
    killed = train_with_kills(
        *(warm, "tests.test_training_early_stopping:train_and_tell"),
        *([tmp_path / "taught.parquet", tmp_path / "k"], tmp_path),
        # After the last log line it has stopped already, and takes the best weights.
        steps=[4, 9, 16, 18],
        # While it validates, trains or writes checkpoints.
        delay=0.05,
    )
    # The last may have ended before its kill.
    assert killed >= 3
    assert weights(tmp_path / "k") == weights(stopped[0])
    report = read_training(tmp_path / "k")
    assert report.validation == stopped[1].validation
    assert report.steps == stopped[1].steps


def test_problems_of_a_benchmark_are_refused(tmp_path):
    benchmarks = "evaluation.benchmarks={far: {source: arithmetic, split: test, limit: 10}}"
    validation = "training.validation={problems: {source: arithmetic, split: test, limit: 30}}"
    with pytest.raises(
        DataError, match=r"training\.validation\.problems \(of .*\): 10 of them are"
    ):
        run(load_experiment("demo", [benchmarks, validation]), tmp_path / "run")


def test_an_experiment_tells_where_its_methods_stopped(tmp_path):
    folder = tmp_path / "run"
    changes = [
        "problems.limit=20",
        "sampling.samples=4",
        "sampler=transformers",
        "behaviour_check=0",
        "seeds=[0]",
        "methods={rft: {}, dpo: {}}",
        "evaluation.sampling.samples=1",
        "evaluation.decodings={}",
        "evaluation.benchmarks={test: {source: arithmetic, split: test, limit: 8}}",
        "training.steps=6",
        "training.examples_per_step=8",
        "training.validation={problems: {source: arithmetic, split: validation, limit: 8}}",
        "training.validation.every=2",
        "training.validation.patience=1",
    ]
    run(load_experiment("demo", changes), folder)
    for label in ("rft", "dpo"):
        report = read_training(folder / f"models/{label}/seed-0")
        steps = [one.step for one in report.validation.scores]
        assert report.validation.problems == 8
        assert report.steps == steps[-1]
        assert report.validation.best_step in steps


def test_weights_in_parts_are_refused():
    with pytest.raises(DataError, match=r"FSDP shards: train it without"):
        EarlyStop(VALIDATION, EXAM, SimpleNamespace(is_fsdp_enabled=True), None, None)


def test_nothing_that_says_how_to_ask_is_an_error(taught, tmp_path):
    with pytest.raises(DataError, match="nothing says how its problems are asked and judged"):
        trained(taught, tmp_path, STOPPED, setup=None)


def test_a_context_too_short_for_every_prompt_is_an_error(taught, tmp_path):
    problems = tmp_path / "long.jsonl"
    problems.write_text(json.dumps({"prompt": "Add 1. " * 400, "answer": "400"}) + "\n")
    long = VALIDATION.model_copy(update={"problems": ProblemSource(source=str(problems))})
    training = UNSTOPPED.model_copy(update={"validation": long})
    with pytest.raises(DataError, match="every prompt is longer than the model's context"):
        trained(taught, tmp_path / "run", training)
