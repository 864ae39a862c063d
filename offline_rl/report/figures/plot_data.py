"""Figures of the data that methods learn from."""

from offline_rl.artifacts.records import DatasetSummary
from offline_rl.report.figures.drawing import Picture
from offline_rl.report.figures.rows import bars


def pass_rates(summary: DatasetSummary) -> list[Picture]:
    """Problems by the share of their rollouts that is correct, as sampled and as learnt from."""
    sampled = summary.sampled.problems_by_pass_rate
    kept = summary.dataset.problems_by_pass_rate
    named = {"problems by pass rate, as sampled": sampled}
    if kept != sampled:
        named["problems by pass rate, as learnt from"] = kept
    return [bars(counts, title=title) for title, counts in named.items()]


def funnel(summary: DatasetSummary) -> list[Picture]:
    """Rollouts after each filter, and the accepted among them down to what methods learn from."""
    rollouts = {name: left.rollouts for name, left in summary.filters.items()}
    accepted = {name: left.accepted for name, left in summary.filters.items()}
    accepted["distinct texts"] = summary.dataset.accepted_distinct
    accepted["pairs of them"] = summary.pairs.pairs
    named = {"rollouts after each filter": rollouts, "accepted rollouts": accepted}
    return [bars(counts, title=title) for title, counts in named.items()]
