"""Checks of what the experiment's sampler gives, and of how the trainer reads it."""

from data_gen.types import Rollout, Verdict
from offline_rl.doctor.subject import CheckResult, Subject, judged
from offline_rl.training.logprob_gap import behaviour_gap

# A sampler in bfloat16 is off by a tenth at some tokens in a thousand; another model or template
# at most of them.
_OFF = 0.02
# Beyond this a method learns from what is short rather than from what is right.
_TRUNCATED = 0.25


def log_probabilities(patient: Subject) -> CheckResult:
    """Trainer and sampler give the sampled tokens the same probabilities."""
    check = "trainer = sampler, tokens' log p"
    problems = {problem.id: problem for problem in patient.problems}
    known = [
        Rollout(problems[completion.problem_id], completion, Verdict.unverifiable("not asked"))
        for completion in patient.completions
        if completion.logps
    ]
    gap = behaviour_gap(known, model=patient.model, training=patient.experiment.training)
    off = gap.share_of_tokens_with_ratio_off_by_a_tenth
    mean = gap.mean_absolute_difference_nats
    if off is None or mean is None:
        return CheckResult(check, "skipped", "the sampler gives no log-probabilities")
    figure = f"{off:.2%} of {gap.tokens} tokens off by a tenth, mean {mean:.1e} nats"
    return judged(check, off <= _OFF, figure, f"{_OFF:.0%}")


def round_trip(patient: Subject) -> CheckResult:
    """The tokenizer gives prompt and completion back as they were.

    Sampled tokens need not be those that the tokenizer would take for the text, so their share is
    shown and not judged.
    """
    back = same = 0
    for completion in patient.completions:
        text = completion.prompt + completion.text
        tokens = patient.tokenizer.encode(text, add_special_tokens=False)
        back += patient.tokenizer.decode(tokens, skip_special_tokens=False) == text
        sampled = [*completion.prompt_tokens, *completion.tokens]
        if sampled[-1] == patient.tokenizer.eos_token_id:
            del sampled[-1]
        same += tokens == sampled
    count = len(patient.completions)
    figure = f"{back} of {count} texts, {same} of them token by token"
    return judged("prompt + completion round trip", back == count, figure, f"{count} texts")


def truncated(patient: Subject) -> CheckResult:
    """Few completions are cut off at the experiment's sampling.max_tokens."""
    count = len(patient.completions)
    share = sum(completion.truncated for completion in patient.completions) / count
    figure = f"{share:.1%} of {count} at {patient.experiment.sampling.max_tokens} tokens"
    return judged("truncated completions", share <= _TRUNCATED, figure, f"{_TRUNCATED:.0%}")
