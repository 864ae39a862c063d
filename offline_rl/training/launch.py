"""Trains a policy in several processes, started by torchrun or accelerate."""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path

import psutil
import torch

from data_gen.model_ref import ModelRef
from data_gen.selection import Selection
from data_gen.store.rollouts import save_rollouts
from data_gen.types import DataError, Rollout
from offline_rl.methods import Method
from offline_rl.settings.training import Launch, TrainingSettings
from offline_rl.settings.validation import ValidationSetup
from offline_rl.training.callbacks import OnLog
from offline_rl.training.launch_messages import StepDone, TrainingJob, WorkerFailed, parse_line

CONFIGS = Path(str(resources.files("offline_rl"))) / "accelerate"
_LOG_TAIL_BYTES = 4000


class LaunchError(RuntimeError):
    """Processes that did not end well; the message is what one of them said."""


def launch_training(
    launch: Launch,
    method: Method,
    rollouts: Iterable[Rollout],
    folder: Path,
    *,
    model: ModelRef,
    training: TrainingSettings,
    selection: Selection,
    seed: int,
    setup: ValidationSetup | None = None,
    on_log: OnLog | None = None,
) -> None:
    """As offline_rl.training.train.train, in `launch.processes` processes of this machine.

    Raises LaunchError with the reason that a process gave, or the end of what they printed, or for
    more processes than GPUs where there are any, and OSError for what a process could not write or
    read.
    """
    gpus = torch.cuda.device_count()
    # A file of accelerate's settings may ask for CPUs.
    if launch.config is None and 0 < gpus < launch.processes:
        raise LaunchError(
            f"training.launch.processes: {launch.processes} processes need as many GPUs, and"
            f" {gpus} {'is' if gpus == 1 else 'are'} in sight"
        )
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "job.json"
        job = TrainingJob(
            method=method,
            rollouts=Path(scratch) / "rollouts.parquet",
            folder=folder.resolve(),
            model=model,
            training=training.model_copy(update={"launch": None}),
            selection=selection,
            seed=seed,
            setup=setup,
        )
        save_rollouts(list(rollouts), job.rollouts)
        job.write(path)
        # Without a folder of theirs they leave one in the system's for temporary files.
        logs = ["--log_dir", f"{scratch}/logs"]
        command = [*_starter(launch), *logs, "-m", "offline_rl.training.launch_worker", str(path)]
        _follow(command, training.threads, on_log)


def _starter(launch: Launch) -> list[str]:
    python = [sys.executable, "-P", "-m"]
    count = str(launch.processes)
    if launch.by == "torchrun":
        return [*python, "torch.distributed.run", "--standalone", "--nproc_per_node", count]
    # Without this flag, and without a config that says as much, only one process would start.
    how = ["--multi_gpu"] if launch.config is None else ["--config_file", _config(launch.config)]
    return [*python, "accelerate.commands.launch", *how, "--num_processes", count]


def _config(name: str) -> str:
    """A file of accelerate's settings, or a shipped one by its name."""
    for place in (Path(name), CONFIGS / f"{name}.yaml"):
        if place.is_file():
            return str(place)
    shipped = ", ".join(sorted(path.stem for path in CONFIGS.glob("*.yaml")))
    raise DataError(f"training.launch.config: no file {name}, and none shipped but {shipped}")


def _follow(command: Sequence[str], threads: int, on_log: OnLog | None) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    reason = disk = ""
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            command,
            # Never written to: its end tells the workers that this process is gone.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            start_new_session=True,
            text=True,
        ) as process,
    ):
        try:
            for line in process.stdout or ():
                message = parse_line(line)
                if isinstance(message, StepDone) and on_log is not None:
                    on_log(message.step, message.steps, message.values)
                elif isinstance(message, WorkerFailed) and message.is_disk:
                    disk = disk or message.reason
                elif isinstance(message, WorkerFailed):
                    reason = reason or message.reason
            code = process.wait()
        finally:
            _end(process)
        if code and disk:
            raise OSError(disk)
        if code:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_TAIL_BYTES))
            tail = " ".join(log.read().decode(errors="replace").split())
            raise LaunchError(_epitaph(code, reason, tail))


def _epitaph(code: int, reason: str, tail: str) -> str:
    """Why the processes ended: `reason` is a worker's own word, `tail` the end of the launcher's.

    Of a worker that was killed the others only tell that they lost it.
    """
    if re.search(r"exitcode *: -9 ", tail):
        return (
            "a worker was killed by signal 9, as the system does when memory runs out: lower"
            " training.tokens_per_microbatch or training.launch.processes"
        )
    return reason or f"the processes ended with exit code {code}: {tail}"


def _end(process: "subprocess.Popen[str]") -> None:
    """Ends what is left of the processes; each worker is in a session of its own."""
    if process.poll() is not None:
        return
    every = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    for worker in every:
        with contextlib.suppress(psutil.NoSuchProcess):
            worker.kill()
    process.wait()
