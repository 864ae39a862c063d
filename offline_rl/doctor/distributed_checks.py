"""Checks of a first step: known values before it, and two processes that take it as one does."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from data_gen.model_ref import ModelRef
from offline_rl.doctor.subject import CheckResult, Subject, difference, judged
from offline_rl.methods import Method
from offline_rl.methods.dpo import Dpo
from offline_rl.methods.iw_sft import IwSft
from offline_rl.settings.training import Launch, TrainingSettings
from offline_rl.training.launch import launch_training
from offline_rl.training.model import load_policy
from offline_rl.training.train import train

# The start values are rounded to float32 along the sums of whole completions.
_START = 1e-3
_SAME = 1e-3


@dataclass(frozen=True)
class Start:
    """What a method logs, by name, at its first step, whatever the model is."""

    method: Method
    name: str
    value: float
    title: str


DPO = Start(Dpo(), "pair_loss", math.log(2), "DPO = ln 2 at step 0")
IW_SFT = Start(IwSft(), "weight_max", 1.0, "iw-SFT weight = 1 at step 0")


def first_step(patient: Subject, start: Start) -> list[CheckResult]:
    """A method starts at its known value, and two processes learn what one does."""
    method, folder = start.method, patient.folder / start.method.kind
    report = train(
        method,
        patient.rollouts(),
        folder / "one",
        model=patient.model,
        training=_plain(patient, method),
        selection=patient.selection,
        seed=0,
    )
    seen = report.history[0][start.name]
    return [starts_at(start.title, seen, start.value), _two(patient, method, folder)]


def starts_at(check: str, seen: float, expected: float) -> CheckResult:
    """A value that is known before the first update."""
    limit = f"{expected:.4f} ± {_START:g}"
    return judged(check, abs(seen - expected) <= _START, f"{seen:.5f}", limit)


def same_change(
    check: str, base: Mapping[str, Tensor], one: Mapping[str, Tensor], two: Mapping[str, Tensor]
) -> CheckResult:
    """Two trainings have moved the weights of the base alike."""
    moved, other = (
        torch.cat([(weights[name].float() - base[name].float()).flatten() for name in base])
        for weights in (one, two)
    )
    apart = difference(other, moved)
    return judged(check, apart <= _SAME, f"off by {apart:.1e}", f"{_SAME:g}")


def _two(patient: Subject, method: Method, folder: Path) -> CheckResult:
    check = f"1 = 2 processes, {method.kind}"
    if 0 < torch.cuda.device_count() < 2:
        return CheckResult(check, "skipped", "there is one GPU")
    launch_training(
        Launch(processes=2),
        method,
        patient.rollouts(),
        folder / "two",
        model=patient.model,
        training=_plain(patient, method),
        selection=patient.selection,
        seed=0,
    )
    base, one, two = (
        _weights(model)
        for model in (
            patient.model,
            patient.experiment.trained_model(folder / "one"),
            patient.experiment.trained_model(folder / "two"),
        )
    )
    return same_change(check, base, one, two)


def _weights(model: ModelRef) -> Mapping[str, Tensor]:
    whole: Mapping[str, Tensor] = load_policy(model, TrainingSettings()).state_dict()
    return whole


def _plain(patient: Subject, method: Method) -> TrainingSettings:
    """A step straight down the gradient, whose size then shows in the weights."""
    straight = {"optimizer": "sgd", "lr": 1.0, "scheduler": "constant", "scheduler_settings": {}}
    return patient.training(method, tokens_per_microbatch=1, **straight)
