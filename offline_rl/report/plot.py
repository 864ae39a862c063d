"""The picture of the report: accuracy with its interval, a panel for each benchmark."""

import base64
import io
import warnings
from dataclasses import dataclass

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from offline_rl.report.contents import rows_of
from offline_rl.report.text import number, one_line

_STYLE = {
    "svg.hashsalt": "offline-rl",
    # Names are text, also between dollar signs.
    "text.parse_math": False,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
}
_LIGHT = {"ink": "#1f2328", "faint": "#b4bac2", "untrained": "#6e7781", "trained": "#0b62c4"}
_DARK = {"ink": "#e6edf3", "faint": "#57606a", "untrained": "#9aa4af", "trained": "#6cb0ff"}


@dataclass(frozen=True)
class Panel:
    """One benchmark's picture as data URIs for light and dark pages, and its content in words."""

    benchmark: str
    light: str
    dark: str
    words: str


def panels(comparison: pd.DataFrame) -> list[Panel]:
    """A panel per benchmark, in the order of the table."""
    return [
        Panel(
            benchmark=str(name),
            light=_data_uri(_svg(rows, _LIGHT)),
            dark=_data_uri(_svg(rows, _DARK)),
            words="; ".join(
                f"{row.label} {number(row.avg_at_k_percent)}% [{number(row.avg_at_k_low_percent)},"
                f" {number(row.avg_at_k_high_percent)}]"
                for row in rows_of(rows)
            ),
        )
        for name, rows in comparison.groupby("benchmark", sort=False)
    ]


def _svg(rows: pd.DataFrame, colours: dict[str, str]) -> bytes:
    """Labels from top to bottom; a line marks the first one, the baseline where it was measured."""
    ink = {"text.color": colours["ink"], "xtick.color": colours["ink"]}
    ink |= {"ytick.color": colours["ink"], "axes.labelcolor": colours["ink"]}
    with mpl.rc_context({**_STYLE, **ink, "axes.edgecolor": colours["faint"]}):
        figure = Figure(figsize=(4.4, 0.8 + 0.26 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        axes.axvline(rows["avg_at_k_percent"].iloc[0], color=colours["faint"], linestyle=":")
        for place, row in enumerate(rows_of(rows)):
            colour = colours["trained" if row.training_seeds else "untrained"]
            ends = [row.avg_at_k_low_percent, row.avg_at_k_high_percent]
            axes.plot(ends, [place, place], color=colour, linewidth=2, solid_capstyle="butt")
            axes.plot(row.avg_at_k_percent, place, "o", color=colour, markersize=5)
        axes.set_yticks(range(len(rows)), [one_line(name, 24) for name in rows["label"]])
        axes.tick_params(left=False)
        axes.invert_yaxis()
        axes.grid(axis="x", color=colours["faint"], alpha=0.35)
        axes.set_axisbelow(True)
        axes.set_xlabel("avg@k, % correct")
        drawn = io.BytesIO()
        with warnings.catch_warnings():
            # A name may be in a script that the font lacks.
            warnings.filterwarnings("ignore", "Glyph", UserWarning)
            figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None})
    return drawn.getvalue()


def _data_uri(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode("ascii")
