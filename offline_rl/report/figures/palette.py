"""The look of each label: one colour, marker and line in every figure of a page."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

# Colours that figures are drawn with, and what they become in the page: its style sheet gives the
# properties one value on light and another on dark paper.
# None is black, which matplotlib leaves out.
INK, FAINT, LINE, UNTRAINED, ACCENT, PAPER = (f"#00000{n}" for n in range(1, 7))
_TRAINED = tuple(f"#00001{n}" for n in range(6))
PROPERTIES: Mapping[str, str] = {
    INK: "var(--ink)",
    FAINT: "var(--faint)",
    LINE: "var(--line)",
    UNTRAINED: "var(--untrained)",
    ACCENT: "var(--accent)",
    PAPER: "var(--paper)",
    **{colour: f"var(--label-{n})" for n, colour in enumerate(_TRAINED)},
}
_MARKERS = ("o", "s", "D", "^", "v", "P", "X")
_LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)))
_UNTRAINED_LINES: tuple[Any, ...] = ((0, (4, 2)), (0, (1.5, 1.5)), (0, (6, 1.5, 1.5, 1.5)))


@dataclass(frozen=True)
class Look:
    """How a label is drawn. Markers of untrained policies are hollow.

    `name` marks all of the label's parts in all figures.
    """

    name: str
    colour: str
    marker: str
    line: Any
    trained: bool

    @property
    def face(self) -> str:
        return self.colour if self.trained else PAPER


def looks(comparison: pd.DataFrame, others: Iterable[str] = ()) -> dict[str, Look]:
    """By label, the same in all models, in the order of the table.

    `others` are labels that were trained and may be missing from the table.
    """
    seeds = comparison.groupby("label", sort=False)["training_seeds"].max()
    order = list(dict.fromkeys([*map(str, seeds.index), *others]))
    untrained = [label for label in order if seeds.get(label, 1) == 0]
    trained = [label for label in order if label not in untrained]
    found = {
        label: Look(
            f"label-{order.index(label)}",
            UNTRAINED,
            _turn(_MARKERS, n),
            _turn(_UNTRAINED_LINES, n),
            trained=False,
        )
        for n, label in enumerate(untrained)
    }
    for n, label in enumerate(trained):
        line = _turn(_LINES, n // len(_TRAINED))
        name = f"label-{order.index(label)}"
        found[label] = Look(name, _turn(_TRAINED, n), _turn(_MARKERS, n), line, trained=True)
    return {label: found[label] for label in order}


def _turn(choices: Sequence[Any], number: int) -> Any:
    return choices[number % len(choices)]
