"""What a reader of a comparison must be told in words."""

from collections.abc import Iterator, Sequence

import numpy as np

from eval.panel import Panel


def notes_on(panels: Sequence[Panel], baseline: str, reference: str) -> Iterator[str]:
    """Sentences, the most important first."""
    for panel in panels:
        for note in _notes(panel, baseline, reference):
            yield f"{panel.model}: {note}" if len(panels) > 1 else note


def _notes(panel: Panel, baseline: str, reference: str) -> Iterator[str]:
    single = [n for n in panel.labels if panel.trained(n) and len(panel.of(n)[0].grids) == 1]
    if single:
        yield (
            f"One training seed only ({', '.join(single)}): these figures speak of the checkpoints"
            " at hand, not of the methods. Train with three seeds or more."
        )
    for role, name in (("baseline", baseline), ("reference", reference)):
        if name not in panel.labels:
            yield f"The {role} {name} was not evaluated, so there are no pairs against it."
    for label in panel.labels:
        if not panel.is_whole(label):
            have = {entry.benchmark for entry in panel.of(label)}
            lacking = ", ".join(b for b in panel.benchmarks if b not in have)
            yield f"{label} was not evaluated on {lacking}, so it has no macro average."
    for label, benchmark in sorted(panel.entries):
        table = panel.entries[label, benchmark].table
        if table.shape[1] == 1:
            yield f"{benchmark} has a single problem, so {label} has no interval there."
        elif np.ptp(table) == 0:
            yield (
                f"{label} on {benchmark}: all problems have the same accuracy, so the interval has"
                " no width. That is no certainty: other problems may differ."
            )
