"""Out of memory: an error that names the settings that need less of it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from offline_rl.settings.training import TrainingSettings

# What torch says in a plain RuntimeError where it is the CPU's memory that is used up.
_CPU_ALLOCATOR = "DefaultCPUAllocator"


class OutOfMemory(RuntimeError):
    """Training that does not fit; the message names the settings to lower."""


@contextmanager
def memory_told(training: TrainingSettings) -> Iterator[None]:
    """Inside the block, memory that runs out becomes an OutOfMemory."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise OutOfMemory(_advice(training, error)) from error
    except RuntimeError as error:
        if _CPU_ALLOCATOR not in str(error):
            raise
        raise OutOfMemory(_advice(training, error)) from error


def _advice(training: TrainingSettings, error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    ways = [f"lower training.tokens_per_microbatch ({training.tokens_per_microbatch})"]
    if not training.gradient_checkpointing:
        ways.append("set training.gradient_checkpointing: true")
    if training.precision == "float32":
        ways.append("set training.precision: bfloat16")
    if training.lora is None:
        ways.append("train adapters alone (training.lora)")
    ways.append(f"leave out long rollouts (training.max_tokens, now {training.max_tokens})")
    return f"out of memory ({lines[0].rstrip('.')}): {', or '.join(ways)}"
