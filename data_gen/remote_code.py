"""Python code that comes with a model: run only while the settings ask for it."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# In the environment, so that the processes that a run starts know it too.
_VARIABLE = "OFFLINE_RL_REMOTE_CODE"


def remote_code() -> bool:
    """Whether it may run, for the libraries that load a model."""
    return os.environ.get(_VARIABLE) == "1"


@contextmanager
def remote_code_runs(asked: bool) -> Iterator[None]:
    """Inside the block it runs, here and in processes started there, if `asked`, and only then."""
    before = os.environ.pop(_VARIABLE, None)
    if asked:
        os.environ[_VARIABLE] = "1"
    try:
        yield
    finally:
        os.environ.pop(_VARIABLE, None)
        if before is not None:
            os.environ[_VARIABLE] = before


def check_code(model: Path) -> None:
    """Raises ValueError for a model whose code is not all in its own folder.

    What others publish elsewhere may change, and no hash of the folder would tell.
    """
    if not model.is_dir():
        raise ValueError(
            "remote_code: give model as a folder, whose code you have read"
            " (hf download NAME --revision COMMIT --local-dir FOLDER)"
        )
    for name in ("config.json", "tokenizer_config.json"):
        try:
            named = json.loads((model / name).read_text(encoding="utf-8"))["auto_map"]
        except (OSError, ValueError, KeyError, TypeError):
            continue  # there is none, or whoever loads the model says what is wrong
        if "--" in json.dumps(named):
            raise ValueError(f"remote_code: {name} names code that is not in the model's folder")


def with_remedy(reason: str) -> str:
    """What a library said, or what to set where it said that a model needs code of its own."""
    if "custom code" not in reason:
        return reason
    return "it comes with code of its own, which runs only with remote_code: true in the settings"
