"""One of the processes that train a policy together; started by offline_rl.training.launch."""

import gc
import logging
import os
import sys
import threading
from pathlib import Path

from data_gen.store.rollouts import StoredRollouts
from offline_rl.methods.failure import reason_of
from offline_rl.training.launch_messages import (
    Message,
    StepDone,
    TrainingJob,
    WorkerFailed,
    message_line,
)

FAILED = 1


def main(path: Path) -> int:
    """Trains as the job at `path` says, and prints its progress line by line on standard output.

    Ends at once when standard input does, with which the process that started it is gone.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # A tenth of the time to import these goes into looking for garbage among what stays.
    gc.disable()
    import torch

    from offline_rl.training.train import train

    gc.freeze()
    gc.enable()
    job = TrainingJob.read(path)
    logging.getLogger("torch.distributed").setLevel(logging.ERROR)
    first = os.environ.get("RANK", "0") == "0"
    try:
        train(
            job.method,
            StoredRollouts(Path(job.rollouts)),
            job.folder,
            model=job.model,
            training=job.training,
            selection=job.selection,
            seed=job.seed,
            setup=job.setup,
            on_log=_print_step if first else None,
        )
    # A full disk is no fault of the method; the parent ends with it.
    except OSError as error:
        _print(WorkerFailed(str(error), is_disk=True))
        return FAILED
    # The parent tells it as the method's own failure.
    except Exception as error:
        _print(WorkerFailed(reason_of(error, job.method), is_disk=False))
        return FAILED
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    return 0


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(FAILED)


def _print_step(step: int, steps: int, values: dict[str, float]) -> None:
    _print(StepDone(step, steps, values))


def _print(message: Message) -> None:
    # One write a line: the processes share this stream.
    os.write(sys.stdout.fileno(), message_line(message).encode())


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
