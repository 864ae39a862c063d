"""From matplotlib's figures to pictures that stand inside the page and take its colours and font.

The page's policy forbids style attributes, and each picture shares one document with all others and
with names that somebody else chose: so every style becomes plain attributes, identifiers are kept
apart, and nothing but shapes and text is let through.
"""

import hashlib
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure

from offline_rl.report.figures.palette import FAINT, INK, LINE, PROPERTIES
from offline_rl.report.text import one_line

WIDTH = 340
TEXT = 11
# Of a letter of that size on average, in a wide font.
LETTER = 6.1
_STYLE = {
    "svg.hashsalt": "offline-rl",
    "svg.fonttype": "none",
    # Names are text, also between dollar signs.
    "text.parse_math": False,
    "figure.dpi": 72,
    "font.size": TEXT,
    "axes.titlesize": TEXT,
    "axes.labelsize": TEXT,
    "xtick.labelsize": TEXT,
    "ytick.labelsize": TEXT,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": LINE,
    "axes.labelcolor": FAINT,
    "axes.axisbelow": True,
    "text.color": INK,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": FAINT,
    "ytick.labelcolor": FAINT,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "lines.solid_capstyle": "butt",
}
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_LABEL = re.compile(r"label-\d+")
_TAGS = {"svg", "g", "path", "use", "defs", "clipPath", "rect", "text", "tspan"}
_ATTRIBUTES = {
    "class", "clip-path", "clip-rule", "d", "fill", "fill-opacity", "fill-rule", "font-size",
    "font-weight", "height", "href", "id", "opacity", "stroke", "stroke-dasharray",
    "stroke-dashoffset", "stroke-linecap", "stroke-linejoin", "stroke-miterlimit",
    "stroke-opacity", "stroke-width", "text-anchor", "transform", "width", "x", "y",
}  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """A figure of the page: its heading, the drawing as inline SVG, and what it shows in words."""

    title: str
    svg: Markup
    words: str


def name_of(text: str, longest: int = 18) -> str:
    """A label on one line, inert and of characters that XML allows."""
    return one_line(_NO_XML.sub("", text), longest)


def width_of(names: Sequence[str]) -> float:
    """What the longest of some texts takes, in units of the drawing."""
    return LETTER * max((len(name) for name in names), default=0)


@contextmanager
def axes_of(
    height: float, *, left: float, right: float, top: float = 8, bottom: float = 34
) -> Iterator[Any]:
    """Axes with these margins, in units of the drawing, which is WIDTH wide."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH / 72, height / 72))
        box = (
            left / WIDTH,
            bottom / height,
            (WIDTH - left - right) / WIDTH,
            (height - top - bottom) / height,
        )
        yield figure.add_axes(box)


def axis_title(axes: Any, text: str) -> None:
    """What the vertical axis measures, lying above it."""
    axes.annotate(
        text, (0, 1), xycoords="axes fraction", xytext=(-30, 9), textcoords="offset points",
        color=FAINT,
    )  # fmt: skip


def svg_of(axes: Any) -> Markup:
    """The drawing as an element to stand inside of the page."""
    drawn = io.BytesIO()
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # A name may be in a script that the font lacks; the page's font is another.
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        axes.figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None})
    root = ElementTree.fromstring(drawn.getvalue())
    view = root.get("viewBox", "")
    # Identifiers of this drawing alone: those of two drawings may clash only if these are equal.
    cleaned = _clean(root, f"f{hashlib.sha256(drawn.getvalue()).hexdigest()[:8]}-")
    cleaned.attrib = {"viewBox": view, "aria-hidden": "true", "stroke-linejoin": "round"}
    return Markup(ElementTree.tostring(cleaned, encoding="unicode"))


def _clean(element: ElementTree.Element, prefix: str) -> ElementTree.Element:
    """A copy with known tags and attributes alone, without style attributes."""
    tag = _local(element.tag)
    found = ElementTree.Element(tag, _attributes(element, prefix))
    found.text = element.text if tag in ("text", "tspan") else None
    for child in element:
        if _local(child.tag) in _TAGS:
            cleaned = _clean(child, prefix)
            bare = cleaned.tag in ("g", "defs") and not cleaned.attrib
            # A group that says nothing is left out, unless it keeps definitions from being drawn.
            found.extend(
                cleaned if bare and (cleaned.tag == "g" or not len(cleaned)) else [cleaned]
            )
    return found


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _attributes(element: ElementTree.Element, prefix: str) -> dict[str, str]:
    given = {_local(name): value for name, value in element.attrib.items()}
    for part in given.pop("style", "").split(";"):
        name, _, value = part.partition(":")
        name, value = name.strip(), value.strip()
        if name == "font":
            given["font-size"] = value.split("px")[0].split()[-1]
            if "bold" in value or "700" in value or "600" in value:
                given["font-weight"] = "600"
        elif name:
            given[name] = value
    if _local(element.tag) == "g":
        # Groups are numbered, and nothing refers to them but those that are a label's.
        name = given.pop("id", "")
        given |= {"class": name} if _LABEL.fullmatch(name) else {}
    if given.get("transform", "").startswith("rotate(-0 "):
        del given["transform"]
    return {
        name: _attribute(name, value, prefix)
        for name, value in given.items()
        if name in _ATTRIBUTES
    }


def _attribute(name: str, value: str, prefix: str) -> str:
    if name == "id":
        return prefix + value
    if name in ("href", "clip-path"):
        return value.replace("#", f"#{prefix}", 1)
    return " ".join(_LONG_NUMBER.sub(_rounded, PROPERTIES.get(value, value)).split())


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")
