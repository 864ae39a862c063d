"""The report as one self-contained page."""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup
from pydantic import JsonValue

from eval.comparison import CHECKS
from eval.model_table import MACRO
from offline_rl.report.columns import COLUMNS
from offline_rl.report.contents import Report
from offline_rl.report.fairness import budget_flags
from offline_rl.report.page.rollout_browser import browse
from offline_rl.report.summary import verdict
from offline_rl.report.text import exact, half_width, number, one_line, p_value, plain, signed

_HERE = Path(__file__).parent
_SCRIPTS = ("elements.js", "rollouts.js", "problem.js", "render.js")
_SECTIONS = {
    "accuracy": "Accuracy",
    "differences": "Differences",
    "sampling": "pass@k",
    "sharpening": "Sharpening",
    "profile": "Profile",
    "lengths": "Lengths",
    "rollouts": "Rollouts",
    "training": "Training",
    "data": "Data",
    "settings": "Settings",
}
_BUDGET_TITLES = {
    "steps": "steps",
    "examples_seen": "examples seen",
    "trained_tokens_seen": "trained tokens",
}
_NOTES_SHOWN = 6
"""Notes that are not folded away."""
# Bytes: of the whole page, and at most of the browser's samples.
_PAGE = 19_000_000
_SAMPLES = 12_000_000


def render(report: Report) -> str:
    """HTML with styles, scripts, figures and samples inside, less than 20 MB of it.

    It needs nothing from elsewhere and its policy allows nothing else. Every value is escaped and
    made inert; samples stand in a block of data that the script shows as text.
    """
    # Draws with matplotlib, which takes a while to load: for those who want a page.
    from offline_rl.report.figures.palette import looks
    from offline_rl.report.page.model_section import model_view

    look = looks(report.comparison, report.curves["label"].unique())
    models = [model_view(report, name, look) for name in report.comparison["model"].unique()]
    drawn = sum(len(p.svg) for m in models for found in m.pictures.values() for p in found)
    samples = browse(report, max(0, min(_SAMPLES, _PAGE - 2 * drawn)))
    style, flags = _text("page.css"), budget_flags(report.training)
    # The scripts as one, which leaves no names behind.
    script = "(() => {\n" + "\n".join(map(_text, _SCRIPTS)) + "})();\n"
    benchmarks = [name for name in report.comparison["benchmark"].unique() if name != MACRO]
    return _template().render(
        report=report,
        verdict=verdict(report),
        models=models,
        benchmarks=benchmarks,
        policies=len(look),
        sections=list(_SECTIONS.items()),
        samples=samples,
        flags=flags,
        notes=[note.text for note in report.notes],
        notes_shown=_NOTES_SHOWN,
        budget_titles=_BUDGET_TITLES,
        environment=list(_flat(report.results.environment)),
        settings_digest=hashlib.sha256(report.results.settings.encode()).hexdigest(),
        columns={**COLUMNS, "Values of check in checks.csv": CHECKS},
        style=Markup(style),
        style_digest=_digest(style),
        script=Markup(script),
        script_digest=_digest(script),
        data=Markup(samples.json),
    )


def _text(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_inert,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "signed": signed,
        "p_value": p_value,
        "half_width": half_width,
        "one_line": one_line,
        "exact": exact,
    }
    return environment.get_template("page.html.jinja")


def _inert(value: Any) -> Any:
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _flat(values: Mapping[str, JsonValue], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Names joined with dots; a list of groups is numbered."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            groups = {str(n): one for n, one in enumerate(value, 1) if isinstance(one, dict)}
            others = [str(one) for one in value if not isinstance(one, dict)]
            yield from _flat(groups, f"{prefix}{name}.")
            if others or not groups:
                yield f"{prefix}{name}", ", ".join(others)
        else:
            yield f"{prefix}{name}", str(value)
