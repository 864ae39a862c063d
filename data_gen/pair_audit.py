"""What pairs of rollouts differ in besides being right and wrong."""

from collections import Counter
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from data_gen.types import Rollout
from data_gen.views import sequence_logp


def audit_pairs(pairs: Sequence[tuple[Rollout, Rollout]]) -> dict[str, Any]:
    """Flat figures of (chosen, rejected) rollouts, ready for JSON; None where nothing is known.

    Gaps and margins are chosen less rejected: lengths in tokens, log-probabilities those of the
    sampling model summed over the completion, in nats. Preference methods learn a gap in length as
    readily as correctness, and a margin in log-probability tells how far the base model already
    prefers the right answer. `rollouts_reused` counts rollouts that stand in more than one pair.
    """
    problems = Counter(chosen.problem.id for chosen, _ in pairs)
    uses = Counter((r.problem.id, r.completion.sample) for pair in pairs for r in pair)
    gaps = [_length(chosen) - _length(rejected) for chosen, rejected in pairs]
    known = [pair for pair in pairs if all(one.completion.logps for one in pair)]
    margins = [sequence_logp(chosen) - sequence_logp(rejected) for chosen, rejected in known]
    return {
        "pairs": len(pairs),
        "problems": len(problems),
        "most_pairs_of_a_problem": max(problems.values(), default=0),
        "rollouts_reused": sum(count > 1 for count in uses.values()),
        "mean_chosen_tokens": _mean([_length(chosen) for chosen, _ in pairs]),
        "mean_rejected_tokens": _mean([_length(rejected) for _, rejected in pairs]),
        "mean_length_gap_tokens": _mean(gaps),
        "mean_absolute_length_gap_tokens": _mean([abs(gap) for gap in gaps]),
        "share_chosen_shorter": _mean([gap < 0 for gap in gaps]),
        "share_rejected_truncated": _mean([r.completion.truncated for _, r in pairs]),
        "mean_logp_margin_nats": _mean(margins),
        "share_chosen_likelier": _mean([margin > 0 for margin in margins]),
        "pairs_without_logps": len(pairs) - len(known),
    }


def _length(rollout: Rollout) -> int:
    return len(rollout.completion.tokens)


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None
