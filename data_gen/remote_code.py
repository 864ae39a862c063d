"""Python code that comes with a model: run only while the settings ask for it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

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


def with_remedy(reason: str) -> str:
    """What a library said, or what to set where it said that a model needs code of its own."""
    if "custom code" not in reason:
        return reason
    return "it comes with code of its own, which runs only with remote_code: true in the settings"
