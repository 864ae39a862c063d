"""Python code that comes with a model: it runs only where its reference is trusted."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_gen.model_ref import ModelRef
from data_gen.types import DataError

# No `owner/name--` of the hub before it, and no way out of the folder.
_INSIDE = re.compile(r"(?!.*--)[\w-]+(/[\w-]+)*\.\w+")


def check_code(model: ModelRef) -> None:
    """Raises DataError for a trusted model whose code is not all in its own folder.

    What others publish elsewhere may change, and no hash of the folder would show it.
    """
    if not model.trust_code:
        return
    folder = Path(model.path)
    # Without a configuration of its own, the library goes to the model that an adapter names.
    if not (folder / "config.json").is_file():
        raise DataError(
            "remote_code: give model as a folder with a config.json, whose code you have read"
            " (hf download NAME --revision COMMIT --local-dir FOLDER)"
        )
    for file in sorted(folder.glob("*config.json")):
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
