"""The process that compares answers with math-verify, under limits on memory and time."""

from data_gen.processes.child import serve
from data_gen.verifiers.math_engine.compare_terms import compare
from data_gen.verifiers.math_engine.outcome import AnswerPair, Outcome, unsure
from data_gen.verifiers.pool_limits import limited


def _compare(pair: AnswerPair) -> Outcome:
    # Whatever a parser raises on hostile text means that the text is not understood.
    try:
        return compare(pair["gold"], pair["answer"])
    except MemoryError:
        raise
    except Exception as error:
        return unsure(f"not comparable ({type(error).__name__})")


if __name__ == "__main__":
    serve(limited(_compare))
