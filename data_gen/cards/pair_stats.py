"""What pairs of rollouts differ in besides being right and wrong."""

from array import array
from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from data_gen.cards.counts import CardPart, Count, Figure, ratio
from data_gen.types import Rollout
from data_gen.views import sequence_logp


class PairCounts(CardPart):
    """Figures of (chosen, rejected) rollouts; None where nothing is known.

    Gaps and margins are chosen less rejected: lengths in tokens, log-probabilities those of the
    sampling model summed over the completion, in nats. Preference methods learn a gap in length as
    readily as correctness, and a margin in log-probability shows how far the base model already
    prefers the right answer. `rollouts_reused` counts rollouts that are in more than one pair.
    """

    pairs: Count
    problems: Count
    most_pairs_of_a_problem: Count
    rollouts_reused: Count
    mean_chosen_tokens: Figure
    mean_rejected_tokens: Figure
    mean_length_gap_tokens: Figure
    mean_absolute_length_gap_tokens: Figure
    share_chosen_shorter: Figure
    share_rejected_truncated: Figure
    mean_logp_margin_nats: Figure
    share_chosen_likelier: Figure
    pairs_without_logps: Count


class PairCounter:
    """Counts pairs and keeps none of them."""

    def __init__(self) -> None:
        self._count: Counter[str] = Counter()
        self._most = 0
        self._margins = array("d")

    def add(self, pairs: Sequence[tuple[Rollout, Rollout]]) -> None:
        """Counts all pairs of some problems."""
        problems = Counter(chosen.problem.id for chosen, _ in pairs)
        uses = Counter((one.problem.id, one.completion.sample) for pair in pairs for one in pair)
        self._most = max(self._most, *problems.values(), 0)
        self._count["problems"] += len(problems)
        self._count["reused"] += sum(count > 1 for count in uses.values())
        for chosen, rejected in pairs:
            lengths = len(chosen.completion.tokens), len(rejected.completion.tokens)
            self._count["pairs"] += 1
            self._count["chosen_tokens"] += lengths[0]
            self._count["rejected_tokens"] += lengths[1]
            self._count["gap_tokens"] += abs(lengths[0] - lengths[1])
            self._count["shorter"] += lengths[0] < lengths[1]
            self._count["truncated"] += rejected.completion.truncated
            if chosen.completion.logps and rejected.completion.logps:
                self._margins.append(sequence_logp(chosen) - sequence_logp(rejected))

    def counts(self) -> PairCounts:
        count, margins = self._count, self._margins
        pairs = count["pairs"]
        return PairCounts(
            pairs=pairs,
            problems=count["problems"],
            most_pairs_of_a_problem=self._most,
            rollouts_reused=count["reused"],
            mean_chosen_tokens=ratio(count["chosen_tokens"], pairs),
            mean_rejected_tokens=ratio(count["rejected_tokens"], pairs),
            mean_length_gap_tokens=ratio(count["chosen_tokens"] - count["rejected_tokens"], pairs),
            mean_absolute_length_gap_tokens=ratio(count["gap_tokens"], pairs),
            share_chosen_shorter=ratio(count["shorter"], pairs),
            share_rejected_truncated=ratio(count["truncated"], pairs),
            mean_logp_margin_nats=fmean(margins) if margins else None,
            share_chosen_likelier=ratio(sum(margin > 0 for margin in margins), len(margins)),
            pairs_without_logps=pairs - len(margins),
        )
