"""Which language model is meant, and how it is loaded."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model as every tokenizer, engine and training loads it.

    `path` is a folder or a name of the hub, `revision` that of a model of the hub. `adapter` is the
    folder of a LoRA adapter in PEFT's layout that samplers put on top. With `trust_code` the Python
    code in the model's folder runs, with all rights of the process: `check_code` before it loads.
    """

    path: str
    revision: str | None = None
    adapter: str | None = None
    trust_code: bool = False
