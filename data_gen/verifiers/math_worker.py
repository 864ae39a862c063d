"""The process that compares answers with math-verify, under limits on memory and time."""

import os
import resource
from typing import Any

from math_verify import parse, verify

from data_gen.process import serve
from data_gen.verifiers.pool import OUT_OF_MEMORY

_limits: dict[str, int] = {}


def _handle(message: dict[str, Any]) -> Any:
    if "setup" in message:
        _limits.update(message["setup"])
        size = _limits["memory_megabytes"] << 20
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
        return "ready"
    # The kernel ends a task that computes for too long even if the parent is gone.
    used = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
    resource.setrlimit(resource.RLIMIT_CPU, (used + _limits["cpu_seconds"], resource.RLIM_INFINITY))
    try:
        return _compare(message["gold"], message["answer"], message["boxed"])
    except MemoryError:
        os._exit(OUT_OF_MEMORY)


def _compare(gold: str, answer: str, boxed: bool) -> list[str]:
    """Label, reason, and the answer as it was found: all of a box, or the end of a text."""
    # The parent holds the deadline; math-verify's own alarm would come back as a plain "wrong".
    parsed_gold = parse(f"\\boxed{{{gold}}}", parsing_timeout=0)
    if not parsed_gold:
        return ["unverifiable", "unparsable gold", answer if boxed else ""]
    parsed_answer = parse(f"\\boxed{{{answer}}}" if boxed else answer, parsing_timeout=0)
    if not parsed_answer:
        return ["wrong", "different" if boxed else "no answer", answer if boxed else ""]
    found = answer if boxed else str(parsed_answer[-1])
    if verify(parsed_gold, parsed_answer, timeout_seconds=0):
        return ["correct", "", found]
    return ["wrong", "different", found]


if __name__ == "__main__":
    serve(_handle)
