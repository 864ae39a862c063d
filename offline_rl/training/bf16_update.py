"""How much of what a training changed is left where its weights are rounded."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from data_gen.model_ref import ModelRef

# Numbers that are compared at a time: a vocabulary's matrix would be held several times over.
_BLOCK = 2**24


def update_kept(base: ModelRef, policy: Path) -> float | None:
    """Of the weights that differ from the base's, the share that still differ in bfloat16.

    Weights of real models are numbers of bfloat16; one that moved by less than half the distance to
    the next of them is the base's again where a policy is sampled in that precision. None where no
    weight differs, or no name of one is known in both.
    """
    changed = kept = 0
    before, after = _files(_folder(base)), _files(policy)
    for name in sorted(before.keys() & after.keys()):
        old, new = _tensor(before, name), _tensor(after, name)
        if old.shape != new.shape:
            continue
        for was, now in _blocks(old, new):
            changed += int((was.float() != now.float()).sum())
            kept += int((was.bfloat16() != now.bfloat16()).sum())
    return kept / changed if changed else None


def _folder(model: ModelRef) -> Path:
    if Path(model.path).is_dir():
        return Path(model.path)
    from huggingface_hub import snapshot_download

    weights = "*.safetensors"
    return Path(
        snapshot_download(
            model.path, revision=model.revision, allow_patterns=weights, local_files_only=True
        )
    )


def _files(folder: Path) -> dict[str, Path]:
    """The file of each weight."""
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            found |= dict.fromkeys(file.keys(), path)
    return found


def _tensor(files: Mapping[str, Path], name: str) -> Tensor:
    with safe_open(files[name], framework="pt") as file:
        tensor: Any = file.get_tensor(name)
    return torch.as_tensor(tensor)


def _blocks(old: Tensor, new: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    blocks = (torch.split(tensor.flatten(), _BLOCK) for tensor in (old, new))
    return zip(*blocks, strict=True)
