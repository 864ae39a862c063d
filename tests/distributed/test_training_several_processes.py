"""Several processes train what one trains, each with all of the weights or with a part."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from accelerate.utils import DistributedType
from safetensors.torch import load_file

from data_gen.types import DataError
from offline_rl.methods.registry import METHODS
from offline_rl.tiny_base import TINY_BASE
from offline_rl.training.auxiliary import Auxiliary
from offline_rl.training.train import train
from tests.helpers.launches import CASES, SHARDED, assert_close, case, told, validated, weights
from tests.helpers.policies import read_training
from tests.helpers.training import twelve_problems


@pytest.fixture(scope="module")
def rollouts(random_model):
    return twelve_problems(random_model)


@pytest.fixture(scope="module")
def trained(random_model, tmp_path_factory):
    """The folder where two processes have trained every case, all in one start."""
    folder = tmp_path_factory.mktemp("two")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    worker = ["-m", "tests.helpers.two_processes", random_model, str(folder)]
    subprocess.run([*command, *worker], check=True, timeout=300)
    return folder


@pytest.fixture(scope="module")
def trained_by_two(trained):
    """Each process with all of the weights."""
    return trained / "copies"


@pytest.fixture(scope="module")
def trained_sharded(trained):
    """Each process with a part of them."""
    return trained / "sharded"


@pytest.mark.parametrize(("kind", "budget", "steps"), CASES)
def test_two_processes_train_what_one_trains(
    kind, budget, steps, random_model, rollouts, trained_by_two, tmp_path
):
    assert_as_one(kind, budget, steps, random_model, rollouts, trained_by_two, tmp_path)


def test_two_processes_share_a_validation_and_come_to_its_score(trained_by_two, tmp_path):
    report = validated(tmp_path)
    theirs = trained_by_two / "validated"
    assert read_training(theirs).validation == report.validation
    assert 0 < report.validation.best_avg_at_k < 1
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
    counted = read_training(theirs)
    # Weights that are close may be rounded to either side.
    share = pytest.approx(report.update_kept_in_bfloat16, abs=0.01)
    assert counted.update_kept_in_bfloat16 == share
    other = {"seconds", "peak_memory_gib", "history", "update_kept_in_bfloat16"}
    assert counted.model_dump(exclude=other) == report.model_dump(exclude=other)
    for ours, other in zip(report.history, counted.history, strict=True):
        assert ours == pytest.approx(other, rel=1e-3, abs=1e-5)


def test_processes_that_share_the_weights_resume_to_the_same(trained_sharded):
    whole, resumed = (weights(trained_sharded / name) for name in ("whole", "resumed"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert json.loads((trained_sharded / "steps.json").read_text())[0] == 4


def test_a_method_of_whole_distributions_refuses_to_have_the_weights_parted():
    parted = SimpleNamespace(distributed_type=DistributedType.FSDP)
    with pytest.raises(DataError, match=r"FSDP cannot .*: train it without"):
        Auxiliary(METHODS["asft"]().requires, None, None, parted)
