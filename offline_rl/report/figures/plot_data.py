"""Figures of the data that methods learn from."""

from collections.abc import Mapping
from typing import Any

from offline_rl.report.figures.drawing import Picture
from offline_rl.report.figures.rows import bars


def pass_rates(summary: Mapping[str, Any]) -> list[Picture]:
    """Problems by the share of their rollouts that were accepted, as sampled and as learnt from."""
    sampled, kept = (
        (summary.get(stage) or {}).get("problems_by_pass_rate") for stage in ("sampled", "dataset")
    )
    named = {"problems by pass rate, as sampled": sampled}
    if kept != sampled:
        named["problems by pass rate, as learnt from"] = kept
    return [bars(counts, title=title) for title, counts in named.items() if counts]


def funnel(summary: Mapping[str, Any]) -> list[Picture]:
    """Rollouts after each filter, and the accepted among them down to what methods learn from."""
    steps = (summary.get("filters") or {}).items()
    # Not all sources of data count the accepted ones.
    rollouts, accepted = (
        {str(name): counts[key] for name, counts in steps if key in counts}
        for key in ("rollouts", "accepted")
    )
    if accepted:
        distinct = (summary.get("dataset") or {}).get("accepted_distinct")
        pairs = (summary.get("pairs") or {}).get("pairs")
        last = {"distinct texts": distinct, "pairs of them": pairs}
        accepted |= {name: count for name, count in last.items() if count is not None}
    named = {"rollouts after each filter": rollouts, "accepted rollouts": accepted}
    return [bars(counts, title=title) for title, counts in named.items() if counts]
