"""Offline RL methods trained on the same rollouts and compared side by side."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from offline_rl.config.load import load_experiment
    from offline_rl.config.schema import Experiment
    from offline_rl.methods.registry import METHODS
    from offline_rl.results.find import load_run
    from offline_rl.training.train import train
    from offline_rl.workflows.experiment import run

__all__ = ["METHODS", "Experiment", "load_experiment", "load_run", "run", "train"]

_HOMES = {
    "METHODS": "offline_rl.methods.registry",
    "Experiment": "offline_rl.config.schema",
    "load_experiment": "offline_rl.config.load",
    "load_run": "offline_rl.results.find",
    "run": "offline_rl.workflows.experiment",
    "train": "offline_rl.training.train",
}


def __getattr__(name: str) -> Any:
    # Imported when first asked for: torch and trl take seconds, which `--help` has no use for.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
