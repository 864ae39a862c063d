"""The columns of stored rollouts, to and from rollouts."""

import math
from typing import get_args

from data_gen.store.table_files import Row
from data_gen.types import Completion, DataError, FinishReason, Label, Problem, Rollout, Verdict

COLUMNS = {
    "problem_id": "string",
    "sample": "int32",
    "seed": "int64",
    "problem": "string",
    "gold": "string",
    "solution": "string",
    "prompt": "string",
    "completion": "string",
    "prompt_tokens": "list:int32",
    "tokens": "list:int32",
    "logps": "list:float32",
    "finish_reason": "string",
    "verdict": "string",
    "reason": "string",
    "answer": "string",
    "reward": "float64",
}
CHOICES = {"finish_reason": get_args(FinishReason), "verdict": get_args(Label)}


def row_of(rollout: Rollout) -> Row:
    """A rollout's value in each of COLUMNS."""
    problem, completion, verdict = rollout.problem, rollout.completion, rollout.verdict
    return {
        "problem_id": problem.id,
        "sample": completion.sample,
        "seed": completion.seed,
        "problem": problem.prompt,
        "gold": problem.answer,
        "solution": problem.solution,
        "prompt": completion.prompt,
        "completion": completion.text,
        "prompt_tokens": completion.prompt_tokens,
        "tokens": completion.tokens,
        "logps": completion.logps,
        "finish_reason": completion.finish_reason,
        "verdict": verdict.label,
        "reason": verdict.reason,
        "answer": verdict.answer,
        "reward": verdict.reward,
    }


def rollout_of(row: Row, problem: Problem, place: str) -> Rollout:
    """A rollout of a row whose types are right. Raises DataError for values that are not."""
    for name, allowed in CHOICES.items():
        if row[name] not in allowed:
            raise DataError(f"{place}: {name} {row[name]!r} is not one of {', '.join(allowed)}")
    if not math.isfinite(row["reward"]):
        raise DataError(f"{place}: column 'reward' does not hold float64")
    try:
        completion = Completion(
            problem_id=problem.id,
            sample=row["sample"],
            seed=row["seed"],
            prompt=row["prompt"],
            prompt_tokens=row["prompt_tokens"],
            text=row["completion"],
            tokens=row["tokens"],
            logps=row["logps"],
            finish_reason=row["finish_reason"],
        )
    except ValueError as error:
        raise DataError(f"{place}: {error}") from error
    verdict = Verdict(row["verdict"], float(row["reward"]), row["reason"], row["answer"])
    return Rollout(problem, completion, verdict)
