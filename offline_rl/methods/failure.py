"""What a method failed of, in a line for the report."""

import sys
import traceback
from pathlib import Path

from offline_rl.methods import Method
from offline_rl.methods.registry import ADDED
from offline_rl.redaction import redacted


def reason_of(error: Exception, method: Method) -> str:
    """The error's own words, and where it comes from unless they were written for a user."""
    message = redacted(" ".join(str(error).split())) or type(error).__name__
    # Out of memory is a RuntimeError of torch, settings that a library refuses a ValueError.
    worded = isinstance(error, RuntimeError | ValueError | ImportError | MemoryError)
    if worded and method.kind not in ADDED:
        return message
    frames = traceback.extract_tb(error.__traceback__)
    file = sys.modules[type(method).__module__].__file__
    own = [frame for frame in frames if frame.filename == file]
    places = own or ([] if worded else frames)
    kind = "" if worded else f"{type(error).__name__}: "
    where = "".join(f" ({Path(one.filename).name}, line {one.lineno})" for one in places[-1:])
    return f"{kind}{message}{where}"
