"""Names at the right of a drawing, each with the mark of what it names."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from offline_rl.report.figures.drawing import axes_of, name_of, width_of
from offline_rl.report.figures.palette import FAINT, INK, Look

_HEIGHT = 240
_APART = 13
"""Between two names, in units of the drawing."""


def named_axes(labels: Iterable[str]) -> Any:
    """Axes with place for these names at the right."""
    names = [name_of(label, 14) for label in labels]
    return axes_of(
        max(_HEIGHT, _APART * len(names) + 50),
        left=36,
        top=24,
        right=24 + width_of(names),
    )


def names_at_right(
    axes: Any, levels: Sequence[tuple[str, float]], looks: Mapping[str, Look]
) -> None:
    """Each name beside its level, moved apart from others, with its mark before it."""
    axes.grid(axis="y")
    axes.tick_params(labelcolor=FAINT)
    left, right = axes.get_xlim()
    low, high = axes.get_ylim()
    axes.set_xlim(left, right)
    height = axes.get_position().height * axes.figure.get_figheight() * 72
    wanted = sorted(levels, key=lambda one: -one[1])
    placed = list(_apart([(high - level) / (high - low) * height for _, level in wanted], height))
    for (label, _), down in zip(wanted, placed, strict=True):
        look, at = looks[label], 1 - down / height
        axes.plot(
            [1.035], [at], marker=look.marker, color=look.colour, markersize=5,
            markerfacecolor=look.face, markeredgewidth=1.2, transform=axes.transAxes, clip_on=False,
            gid=look.name,
        )  # fmt: skip
        axes.annotate(
            name_of(label, 14), (1.035, at), xycoords="axes fraction", xytext=(6, 0),
            textcoords="offset points", va="center", color=INK, gid=look.name,
        )  # fmt: skip


def _apart(wanted: Sequence[float], height: float) -> Iterator[float]:
    """Places at least _APART from each other in the order given, near to those wanted."""
    places = list(wanted)
    for n in range(1, len(places)):
        places[n] = max(places[n], places[n - 1] + _APART)
    limit = height
    for n in reversed(range(len(places))):
        places[n] = min(places[n], limit)
        limit = places[n] - _APART
    return iter(places)
