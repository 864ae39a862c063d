"""Hostile text made inert, and numbers made readable."""

import re
import unicodedata
from typing import Any

import pandas as pd

from offline_rl.report.contents import rows_of

MISSING = "–"
_ESCAPE_SEQUENCE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_].*?(?:\x07|\x1b\\)|.)|\x9b[0-?]*[ -/]*[@-~]", re.DOTALL
)
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def plain(text: str) -> str:
    """Without escape sequences, control and bidi characters and lone surrogates.

    Line feed and tab stay.
    """
    # Most texts are clean, which one look in C tells: nothing unseen is printable to Python.
    if text.replace("\n", "").replace("\t", "").isprintable():
        return text
    text = _ESCAPE_SEQUENCE.sub("", text)
    signs = set(text) - {"\n", "\t"}
    return text.translate({ord(c): None for c in signs if unicodedata.category(c) in _UNSEEN})


def one_line(text: str, longest: int = 300) -> str:
    """Inert text with white space folded, cut with an ellipsis."""
    folded = " ".join(plain(text).split())
    return folded if len(folded) <= longest else folded[: longest - 1] + "…"


def number(value: Any, digits: int = 1) -> str:
    """Rounded, with thousands separated; a dash where there is none."""
    return MISSING if pd.isna(value) else f"{value:,.{digits}f}"


def signed(value: Any, digits: int = 1) -> str:
    """As `number`, with its sign; what rounds to nothing has none."""
    if pd.isna(value):
        return MISSING
    rounded = round(float(value), digits) or 0.0
    return f"{rounded:+,.{digits}f}" if rounded else f"{rounded:.{digits}f}"


def exact(value: Any) -> str:
    """Text on one line; counts with thousands separated; other numbers to four digits."""
    if isinstance(value, str):
        return one_line(value)
    if pd.isna(value):
        return MISSING
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}"


def p_value(value: Any) -> str:
    """To three digits after the point, small ones as a bound."""
    if pd.isna(value):
        return MISSING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def half_width(row: Any) -> float:
    """Of the 95% interval of avg@k; the longer side where the interval was cut at 0 or 100%."""
    value = row.avg_at_k_percent
    return float(max(value - row.avg_at_k_low_percent, row.avg_at_k_high_percent - value))


def accuracies(comparison: pd.DataFrame) -> dict[tuple[str, str], str]:
    """By label and benchmark, avg@k with the half-width of its interval."""
    return {
        (row.label, row.benchmark): f"{number(row.avg_at_k_percent)} ± {number(half_width(row))}"
        for row in rows_of(comparison)
    }


def interval(row: Any) -> str:
    """The 95% interval of a difference."""
    return f"[{signed(row.low_points)}, {signed(row.high_points)}]"
