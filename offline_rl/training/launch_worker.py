"""One of the processes that train a policy together; started by offline_rl.training.launch."""

import gc
import json
import logging
import os
import sys
import threading
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from data_gen.selection import Selection
from data_gen.store.rollouts import load_rollouts
from offline_rl.methods import Method
from offline_rl.methods.failure import reason_of
from offline_rl.methods.registry import AnyMethod
from offline_rl.settings.training import TrainingSettings
from offline_rl.settings.validation import ValidationSetup

FAILED = 1


def main(path: Path) -> int:
    """Trains as the job at `path` says, and tells its progress line by line on standard output.

    Ends at once when standard input does, with which the process that started it is gone.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # A tenth of the time to import these goes into looking for garbage among what stays.
    gc.disable()
    import torch

    from offline_rl.training.train import train

    gc.freeze()
    gc.enable()
    job: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    method: Method = TypeAdapter(AnyMethod).validate_python(job["method"])
    logging.getLogger("torch.distributed").setLevel(logging.ERROR)
    first = os.environ.get("RANK", "0") == "0"
    try:
        train(
            method,
            load_rollouts(job["rollouts"], untrusted=False),
            Path(job["folder"]),
            model=job["model"],
            revision=job["revision"],
            training=TrainingSettings.model_validate(job["training"]),
            selection=Selection.model_validate(job["selection"]),
            seed=job["seed"],
            setup=None if job["setup"] is None else ValidationSetup.model_validate(job["setup"]),
            on_log=_tell if first else None,
        )
    # A full disk is no fault of the method; the parent ends with it.
    except OSError as error:
        _say({"disk": str(error)})
        return FAILED
    # The parent tells it as the method's own failure.
    except Exception as error:
        _say({"failed": reason_of(error, method)})
        return FAILED
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    return 0


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(FAILED)


def _tell(step: int, steps: int, values: dict[str, float]) -> None:
    _say({"step": step, "steps": steps, "values": values})


def _say(message: dict[str, Any]) -> None:
    # One write a line: the processes share this stream.
    os.write(sys.stdout.fileno(), f"{json.dumps(message)}\n".encode())


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
