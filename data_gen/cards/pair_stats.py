"""What pairs of rollouts differ in besides being right and wrong."""

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

from data_gen.types import Rollout
from data_gen.views import sequence_logp


def audit_pairs(pairs: Iterable[tuple[Rollout, Rollout]]) -> dict[str, Any]:
    """Flat figures of (chosen, rejected) rollouts, ready for JSON; None where nothing is known.

    Gaps and margins are chosen less rejected: lengths in tokens, log-probabilities those of the
    sampling model summed over the completion, in nats. Preference methods learn a gap in length as
    readily as correctness, and a margin in log-probability tells how far the base model already
    prefers the right answer. `rollouts_reused` counts rollouts that stand in more than one pair.
    The pairs are read once and not kept.
    """
    problems: Counter[str] = Counter()
    uses: Counter[tuple[str, int]] = Counter()
    lengths: list[tuple[int, int]] = []
    margins: list[float] = []
    truncated = 0
    for chosen, rejected in pairs:
        problems[chosen.problem.id] += 1
        uses.update((one.problem.id, one.completion.sample) for one in (chosen, rejected))
        lengths.append((len(chosen.completion.tokens), len(rejected.completion.tokens)))
        truncated += rejected.completion.truncated
        if chosen.completion.logps and rejected.completion.logps:
            margins.append(sequence_logp(chosen) - sequence_logp(rejected))
    gaps = [chosen - rejected for chosen, rejected in lengths]
    return {
        "pairs": len(lengths),
        "problems": len(problems),
        "most_pairs_of_a_problem": max(problems.values(), default=0),
        "rollouts_reused": sum(count > 1 for count in uses.values()),
        "mean_chosen_tokens": _mean([chosen for chosen, _ in lengths]),
        "mean_rejected_tokens": _mean([rejected for _, rejected in lengths]),
        "mean_length_gap_tokens": _mean(gaps),
        "mean_absolute_length_gap_tokens": _mean([abs(gap) for gap in gaps]),
        "share_chosen_shorter": _mean([gap < 0 for gap in gaps]),
        "share_rejected_truncated": truncated / len(lengths) if lengths else None,
        "mean_logp_margin_nats": _mean(margins),
        "share_chosen_likelier": _mean([margin > 0 for margin in margins]),
        "pairs_without_logps": len(lengths) - len(margins),
    }


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None
