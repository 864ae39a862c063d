"""Python code that comes with a model: run only while the settings ask for it."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data_gen.types import DataError

# In the environment, so that the processes that a run starts know it too.
_VARIABLE = "OFFLINE_RL_REMOTE_CODE"
# No `owner/name--` of the hub before it, and no way out of the folder.
_INSIDE = re.compile(r"(?!.*--)[\w-]+(/[\w-]+)*\.\w+")


def remote_code() -> bool:
    """Whether it may run, for the libraries that load a model."""
    return os.environ.get(_VARIABLE) == "1"


@contextmanager
def remote_code_runs(model: Path | None) -> Iterator[None]:
    """Inside the block the code in this model's folder runs, here and in processes started there.

    With None no model's does. Raises DataError for a model whose code is not all in its folder:
    what others publish elsewhere may change, and no hash of the folder would tell.
    """
    if model is not None:
        _check_code(model)
    before = os.environ.pop(_VARIABLE, None)
    if model is not None:
        os.environ[_VARIABLE] = "1"
    try:
        yield
    finally:
        os.environ.pop(_VARIABLE, None)
        if before is not None:
            os.environ[_VARIABLE] = before


def no_remote_code() -> None:
    """From here on none runs in this process, whatever it was started with."""
    os.environ.pop(_VARIABLE, None)


def _check_code(model: Path) -> None:
    # Without a configuration of its own, the library goes to the model that an adapter names.
    if not (model / "config.json").is_file():
        raise DataError(
            "remote_code: give model as a folder with a config.json, whose code you have read"
            " (hf download NAME --revision COMMIT --local-dir FOLDER)"
        )
    for file in sorted(model.glob("*config.json")):
        try:
            named = list(_named(json.loads(file.read_text(encoding="utf-8"))))
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(f"remote_code: {file.name} cannot be read ({error})") from error
        if not all(_INSIDE.fullmatch(one) for one in named):
            raise DataError(f"remote_code: {file.name} names code outside of the model's folder")


def _named(config: Any) -> Iterator[str]:
    """The classes that a configuration, or one inside it, names: `file.Class`."""
    if isinstance(config, list):
        for one in config:
            yield from _named(one)
    if isinstance(config, dict):
        yield from _texts(config.get("auto_map"))
        for one in config.values():
            yield from _named(one)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    if isinstance(value, list | dict):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)


def with_remedy(reason: str) -> str:
    """What a library said, or what to set where it said that a model needs code of its own."""
    if "custom code" not in reason:
        return reason
    return "it comes with code of its own, which runs only with remote_code: true in the settings"
