"""The process that compares answers with math-verify, under limits on memory and time."""

from typing import Any

from data_gen.processes.child import serve
from data_gen.verifiers.math_engine.compare_terms import compare
from data_gen.verifiers.pool_limits import limited


def _handle(message: dict[str, Any]) -> list[str]:
    # Whatever a parser raises on hostile text means that the text is not understood.
    try:
        outcome = compare(message["gold"], message["answer"])
    except MemoryError:
        raise
    except Exception as error:
        return ["unverifiable", f"not comparable ({type(error).__name__})"]
    return list(outcome)


if __name__ == "__main__":
    serve(limited(_handle))
