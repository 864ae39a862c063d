"""The gold solutions of problems as rollouts, for methods that learn from demonstrations."""

from collections.abc import Iterable, Iterator

from data_gen.prompts import Tokenizer, encode, render
from data_gen.types import Completion, DataError, Problem, Rollout, Verdict

REASON = "demonstration"


def demonstrations(
    problems: Iterable[Problem], *, tokenizer: Tokenizer, style: str
) -> Iterator[Rollout]:
    """One rollout for every problem that has a solution: the solution itself, and the end.

    Its text is tokenised here, since nobody sampled it; log-probabilities are unknown. The verdict
    is correct by definition, with the reason "demonstration", and the answer is the gold one.
    Raises DataError for a tokenizer without an end-of-sequence token.
    """
    end = tokenizer.eos_token_id
    if end is None:
        raise DataError("the model's tokenizer has no end-of-sequence token to end a solution with")
    for problem in problems:
        if not problem.solution:
            continue
        completion = Completion(
            problem_id=problem.id,
            sample=0,
            seed=0,
            prompt=render(problem, style, tokenizer),
            prompt_tokens=encode(problem, style, tokenizer),
            text=problem.solution,
            tokens=[*tokenizer.encode(problem.solution, add_special_tokens=False), end],
            logps=(),
            finish_reason="stop",
        )
        yield Rollout(problem, completion, Verdict("correct", 1.0, REASON, problem.answer))
