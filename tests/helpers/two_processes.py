"""Run by several processes together: trains every case of tests/helpers/launches.py."""

import os
import sys
import time
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType

from data_gen.types import Rollout
from offline_rl.training.early_stopping import EarlyStop
from offline_rl.training.train import train
from tests.helpers.launches import CASES, SHARDED, case, cut, told, validated
from tests.helpers.training import twelve_problems


def main(model: str, folder: str) -> None:
    rollouts = twelve_problems(model)
    copies, sharded = (Path(folder) / name for name in ("copies", "sharded"))
    be_late()
    validated(copies / "validated")
    train_all(CASES, rollouts, model, copies)
    shard_on_a_cpu()
    cut(rollouts, model, sharded)
    train_all(SHARDED, rollouts, model, sharded)
    assert AcceleratorState().distributed_type == DistributedType.FSDP


def train_all(
    cases: list[tuple[str, int, int]], rollouts: list[Rollout], model: str, folder: Path
) -> None:
    for kind, budget, steps in cases:
        method, training = case(kind, budget, steps)
        train(method, rollouts, folder / f"{kind}-{budget}", **told(model, training))


def be_late() -> None:
    """The second process takes its best weights when the first has long had its own."""
    take_best = EarlyStop.take_best

    def late(early_stop: EarlyStop) -> None:
        if os.environ["RANK"] == "1":
            time.sleep(2)
        take_best(early_stop)

    EarlyStop.take_best = late


def shard_on_a_cpu() -> None:
    """Lets accelerate part a model's weights over these processes, which it does on GPUs alone."""
    AcceleratorState._reset_state(reset_partial_state=True)
    PartialState._prepare_backend = lambda *_: ("gloo", DistributedType.MULTI_GPU)
    PartialState.set_device = lambda state: setattr(state, "device", torch.device("cpu"))
    # As accelerate sets them from offline_rl/accelerate/fsdp.yaml.
    os.environ |= {
        "ACCELERATE_USE_FSDP": "true",
        "FSDP_VERSION": "2",
        "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
        "FSDP_RESHARD_AFTER_FORWARD": "true",
        "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT",
        "FSDP_CPU_RAM_EFFICIENT_LOADING": "false",
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
