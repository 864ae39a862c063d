"""A launch tells what goes wrong, leaves nothing running, and goes on where it was killed."""

import os
import re
import tempfile
from pathlib import Path

import psutil
import pytest
from safetensors.torch import load_file

from data_gen.types import DataError
from offline_rl.methods.registry import METHODS
from offline_rl.settings.training import Launch
from offline_rl.training.launch import LaunchError, launch_training
from offline_rl.training.train import train
from tests.helpers.launches import LONG, QUICK, TWO, Stop, assert_close, told, weights
from tests.helpers.training import twelve_problems


@pytest.fixture(scope="module")
def rollouts(random_model):
    return twelve_problems(random_model)


def launch_long(arguments, pipe):
    """Told a model and a folder; writes each step."""
    model, folder = arguments
    launch_training(
        *(TWO, METHODS["psft"](lag_steps=3), twelve_problems(model), Path(folder)),
        **told(model, LONG),
        on_log=lambda step, *_: print(step, file=pipe),
    )


@pytest.fixture
def clean(tmp_path, monkeypatch):
    """The system's folder for temporary files, where nothing may stay."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert list(folder.iterdir()) == []


def test_workers_end_with_whoever_started_them_and_others_go_on(
    random_model, rollouts, warm, tmp_path
):
    method = METHODS["psft"](lag_steps=3)
    train(method, rollouts, tmp_path / "one", **told(random_model, LONG))
    os.mkfifo(tmp_path / "steps")
    parent = warm.start(
        [random_model, tmp_path / "two"],
        call="tests.distributed.test_training_launch:launch_long",
        pipe=str(tmp_path / "steps"),
    )
    with (tmp_path / "steps").open() as pipe:
        for line in pipe:
            if int(line) == 7:
                break
        workers = psutil.Process(parent.pid).children(recursive=True)
        assert parent.kill()
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
