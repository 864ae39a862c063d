"""Watches a training: log lines, the peak of memory, checkpoints that are whole or absent."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch
from transformers import TrainerCallback

from offline_rl.training.checkpoints import mark_complete
from offline_rl.training.early_stopping import BEST, EarlyStop
from offline_rl.training.trainer import OfflineTrainer

OnLog = Callable[[int, int, dict[str, float]], None]
# Where transformers puts TensorBoard's files, inside of the output folder.
_TRACKER_LOGS = "runs"


def clear(checkpoints: Path) -> None:
    """Removes what only a resumed training would read; the logs of a tracker stay."""
    if (checkpoints / _TRACKER_LOGS).exists():
        (checkpoints / BEST).unlink(missing_ok=True)
        for inner in checkpoints.glob("checkpoint-*"):
            shutil.rmtree(inner)
    else:
        shutil.rmtree(checkpoints, ignore_errors=True)


class Watch(TrainerCallback):  # type: ignore[misc] # the library is taken as Any
    """Passes log lines on, marks whole checkpoints, keeps the peak of the memory held.

    To be called at a step's end after `early_stop`.
    """

    def __init__(
        self,
        trainer: OfflineTrainer,
        early_stop: EarlyStop | None,
        steps: int,
        on_log: OnLog | None,
    ) -> None:
        self._trainer = trainer
        self._early_stop = early_stop
        self._steps = steps
        self._on_log = on_log
        self._process = psutil.Process()
        self.peak_memory_gib = 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if torch.cuda.is_available():
            held = torch.cuda.max_memory_allocated()
        else:
            held = self._process.memory_info().rss
        self.peak_memory_gib = max(self.peak_memory_gib, held / 2**30)
        # The policy is saved next, and who went on from here would take a step too much.
        control.should_save = control.should_save and not control.should_training_stop

    def on_log(self, args: Any, state: Any, control: Any, logs: Any, **kwargs: Any) -> None:
        if self._on_log is not None:
            self._on_log(state.global_step, self._steps, logs)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        self._trainer.save_beside(folder)
        # Every process has its own state of chance in there.
        self._trainer.accelerator.wait_for_everyone()
        if state.is_world_process_zero:
            if self._early_stop is not None:
                self._early_stop.save(folder)
            mark_complete(folder)
