"""Several processes train what one trains, tell what goes wrong, and leave nothing running."""

import json
import re
import subprocess
import sys
import tempfile
from types import SimpleNamespace

import psutil
import pytest
import torch
from accelerate.utils import DistributedType
from safetensors.torch import load_file

from data_gen.demonstrations import demonstrations
from data_gen.problems import load_problems
from data_gen.samplers.tokenizer import load_tokenizer
from data_gen.types import DataError, Sampling
from offline_rl.launching import LaunchError, launch_training
from offline_rl.methods.registry import METHODS
from offline_rl.needs import Needs
from offline_rl.tiny_base import TINY_BASE
from offline_rl.training import train
from offline_rl.training_settings import Launch, TrainingSettings
from offline_rl.validation_settings import Exam, Validation
from tests.training_parts import SELECTION, twelve_problems

TWO = Launch(processes=2)
# Plain steps down the gradient: weights are equal after them only if gradients were, their size
# too. Seven examples do not part evenly, and the last batch of an epoch is smaller.
QUICK = TrainingSettings(
    steps=3,
    examples_per_step=7,
    lr=1e-2,
    warmup=0.0,
    max_tokens=64,
    optimizer="sgd",
    max_grad_norm=1e6,
)
# Padded tokens of a micro-batch: some ten passes in a step, or one, which leaves a process idle.
MANY, ONE = 64, 10**6


@pytest.fixture(scope="module")
def rollouts(random_model):
    return twelve_problems(random_model)


def told(random_model, training=QUICK):
    return {
        "model": random_model,
        "revision": None,
        "training": training,
        "selection": SELECTION,
        "seed": 0,
    }


def weights(folder):
    return load_file(folder / "model.safetensors")


def assert_close(ours, expected, base):
    moved = max((expected[name] - base[name]).abs().max().item() for name in base)
    assert moved > 1e-5
    for name, tensor in expected.items():
        torch.testing.assert_close(ours[name], tensor, atol=1e-4 * moved, rtol=1e-6, msg=name)


# Averaged over tokens, over examples, with a mean over the whole step, with a lagging policy, with
# the base's divergence.
CASES = [
    (kind, budget, steps)
    for kind in ("rft", "iw_sft", "dpo", "kto", "psft", "asft")
    for budget, steps in ((MANY, 3), (ONE, 1))
]


# The tiny base has some answers right, other than the untrained model of the other cases.
EXAM = Exam(prompt="raw", sampling=Sampling(samples=1, max_tokens=64), verifier="exact")
HELD_OUT = {"source": "arithmetic", "split": "validation", "limit": 15}
VALIDATED = QUICK.model_copy(
    update={"validation": Validation(problems=HELD_OUT, every=1, patience=2), "max_tokens": 256}
)


def solutions():
    problems = load_problems("arithmetic", "train", limit=14)
    return list(demonstrations(problems, tokenizer=load_tokenizer(str(TINY_BASE)), style="raw"))


def validated(folder):
    told_all = {**told(str(TINY_BASE), VALIDATED), "exam": EXAM}
    return train(METHODS["rft"](), solutions(), folder, **told_all)


SHARDED = [(kind, MANY, 3) for kind in ("rft", "dpo", "kto", "psft")]
# FSDP knows an optimiser's state by its tensors, which plain steps have none of.
CUT = QUICK.model_copy(
    update={"steps": 5, "optimizer": "adamw_torch", "tokens_per_microbatch": MANY}
)


def cut(rollouts, model, folder):
    """Trains in one go, and again with an interruption after step 4, of which 3 are kept."""

    def interrupt(step, steps, values):
        if step == 4:
            raise Stop

    method = METHODS["psft"](lag_steps=2)
    train(method, rollouts, folder / "whole", **told(model, CUT))
    again = told(model, CUT.model_copy(update={"checkpoint_every": 3}))
    with pytest.raises(Stop):
        train(method, rollouts, folder / "resumed", on_log=interrupt, **again)
    steps = []
    train(method, rollouts, folder / "resumed", on_log=lambda step, *_: steps.append(step), **again)
    (folder / "steps.json").write_text(json.dumps(steps))


@pytest.fixture(scope="module")
def trained_by_two(random_model, tmp_path_factory):
    """The folder where two processes have trained every case, all in one start."""
    return started(random_model, tmp_path_factory.mktemp("two"), "copies")


@pytest.fixture(scope="module")
def trained_sharded(random_model, tmp_path_factory):
    """As trained_by_two, each process with a part of the weights."""
    return started(random_model, tmp_path_factory.mktemp("sharded"), "fsdp")


def started(model, folder, how):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    worker = ["-m", "tests.two_processes", model, str(folder), how]
    subprocess.run([*command, *worker], check=True, timeout=300)
    return folder


def case(kind, budget, steps):
    settings = {"lag_steps": 2} if kind == "psft" else {}
    changes = {"tokens_per_microbatch": budget, "steps": steps}
    return METHODS[kind](**settings), QUICK.model_copy(update=changes)


@pytest.mark.parametrize(("kind", "budget", "steps"), CASES)
def test_two_processes_train_what_one_trains(
    kind, budget, steps, random_model, rollouts, trained_by_two, tmp_path
):
    assert_as_one(kind, budget, steps, random_model, rollouts, trained_by_two, tmp_path)


def test_two_processes_share_a_validation_and_come_to_its_score(trained_by_two, tmp_path):
    report = validated(tmp_path)
    theirs = trained_by_two / "validated"
    assert json.loads((theirs / "training.json").read_text())["validation"] == report["validation"]
    assert 0 < report["validation"]["best_avg_at_k"] < 1
    base = load_file(f"{TINY_BASE}/model.safetensors")
    assert_close(weights(theirs), weights(tmp_path), base)


@pytest.mark.parametrize(("kind", "budget", "steps"), SHARDED)
def test_two_processes_that_share_the_weights_train_what_one_trains(
    kind, budget, steps, random_model, rollouts, trained_sharded, tmp_path
):
    assert_as_one(kind, budget, steps, random_model, rollouts, trained_sharded, tmp_path)


def assert_as_one(kind, budget, steps, random_model, rollouts, folder, tmp_path):
    method, training = case(kind, budget, steps)
    report = train(method, rollouts, tmp_path, **told(random_model, training))
    theirs = folder / f"{kind}-{budget}"
    base = load_file(f"{random_model}/model.safetensors")
    assert_close(weights(theirs), weights(tmp_path), base)
    counted = json.loads((theirs / "training.json").read_text())
    # Weights that are close may be rounded to either side.
    kept = "update_kept_in_bfloat16"
    assert counted[kept] == pytest.approx(report[kept], abs=0.01)
    same = report.keys() - {"seconds", "peak_memory_gib", "history", kept}
    assert {name: counted[name] for name in same} == {name: report[name] for name in same}
    for ours, other in zip(report["history"], counted["history"], strict=True):
        assert ours == pytest.approx(other, rel=1e-3, abs=1e-5)


# Steps long enough that a kill meets them at work.
LONG = QUICK.model_copy(update={"steps": 40, "checkpoint_every": 1})
KILLED = """
import sys
from pathlib import Path
from tests.test_launching import LONG, TWO, told
from tests.training_parts import twelve_problems
from offline_rl.launching import launch_training
from offline_rl.methods.registry import METHODS

_, model, folder = sys.argv
launch_training(
    TWO, METHODS["psft"](lag_steps=3), twelve_problems(model), Path(folder), **told(model, LONG),
    on_log=lambda step, *_: print(step, flush=True),
)
"""


class Stop(Exception):
    """In place of an interrupt."""


@pytest.fixture
def clean(tmp_path, monkeypatch):
    """The system's folder for temporary files, where nothing may stay."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert list(folder.iterdir()) == []


def test_workers_end_with_whoever_started_them_and_others_go_on(random_model, rollouts, tmp_path):
    method = METHODS["psft"](lag_steps=3)
    train(method, rollouts, tmp_path / "one", **told(random_model, LONG))
    command = [sys.executable, "-c", KILLED, random_model, str(tmp_path / "two")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        for line in parent.stdout:
            if int(line) == 7:
                break
        workers = psutil.Process(parent.pid).children(recursive=True)
        parent.kill()
    assert len(workers) >= 3
    assert not psutil.wait_procs(workers, timeout=60)[1]
    steps, workers = [], []
    others = set(psutil.Process().children(recursive=True))

    def stop(step, *_):
        steps.append(step)
        if len(steps) == 5:
            workers.extend(set(psutil.Process().children(recursive=True)) - others)
            raise Stop

    by_accelerate = TWO.model_copy(update={"by": "accelerate"})
    with pytest.raises(Stop):
        launch_training(
            *(by_accelerate, method, rollouts, tmp_path / "two"),
            **told(random_model, LONG),
            on_log=stop,
        )
    assert steps[0] >= 7
    assert len(workers) >= 3
    assert not psutil.wait_procs(workers, timeout=10)[1]
    train(
        *(method, rollouts, tmp_path / "two"),
        **told(random_model, LONG),
        on_log=lambda step, *_: steps.append(step),
    )
    assert steps[-1] == 40
    assert len(steps) < 40
    base = load_file(f"{random_model}/model.safetensors")
    assert_close(weights(tmp_path / "two"), weights(tmp_path / "one"), base)
    assert not (tmp_path / "two" / "checkpoints").exists()


def test_a_worker_that_is_killed_is_told_with_a_remedy(random_model, rollouts, tmp_path, clean):
    def kill_one(step, steps, values):
        workers = psutil.Process().children(recursive=True)
        [last] = [one for one in workers if one.environ().get("RANK") == "1"][:1]
        last.kill()

    with pytest.raises(LaunchError, match=r"killed by signal 9.*lower training\.tokens_per"):
        launch_training(
            TWO, METHODS["rft"](), rollouts, tmp_path, **told(random_model, LONG), on_log=kill_one
        )


def test_the_reason_of_a_failing_worker_is_told_in_one_line(
    random_model, rollouts, tmp_path, clean
):
    absurd = QUICK.model_copy(update={"lr": 1e30})
    with pytest.raises(LaunchError) as caught:
        launch_training(TWO, METHODS["rft"](), rollouts, tmp_path, **told(random_model, absurd))
    assert re.fullmatch(
        r"the (loss|gradient norm) is nan at step 2 \(rollouts p.*\)", str(caught.value)
    )


def test_processes_that_share_the_weights_resume_to_the_same(trained_sharded):
    whole, resumed = (weights(trained_sharded / name) for name in ("whole", "resumed"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert json.loads((trained_sharded / "steps.json").read_text())[0] == 4


def test_a_method_of_whole_distributions_refuses_to_have_the_weights_parted():
    parted = SimpleNamespace(distributed_type=DistributedType.FSDP)
    with pytest.raises(DataError, match=r"FSDP cannot .*: train it without"):
        Needs(METHODS["asft"](), None, None, parted)


def test_a_config_that_is_not_there_is_told(random_model, rollouts, tmp_path):
    launch = Launch(processes=2, by="accelerate", config="nothing")
    with pytest.raises(
        DataError, match="no file nothing, and none shipped but deepspeed_zero2, fsdp"
    ):
        launch_training(launch, METHODS["rft"](), rollouts, tmp_path, **told(random_model))


@pytest.mark.parametrize(("gpus", "told_of"), [(1, "1 is in sight"), (2, "2 are in sight")])
def test_more_processes_than_gpus_are_refused(
    gpus, told_of, random_model, rollouts, tmp_path, monkeypatch
):
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    three = Launch(processes=3)
    with pytest.raises(LaunchError, match=f"3 processes need as many GPUs, and {told_of}"):
        launch_training(three, METHODS["rft"](), rollouts, tmp_path, **told(random_model))
