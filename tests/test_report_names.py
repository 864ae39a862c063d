"""Names and reasons in a report stay text: no formula, no markup, no sign that is not seen."""

import gzip
import re
import sys
import unicodedata
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from offline_rl.report import write_report
from offline_rl.report.text import plain
from offline_rl.report.write_report import csv_text
from tests.helpers.full_report import TABLES, make_report, printed

ESCAPES = "\x1b[31mred\x1b]0;title\x07\x9b1m\u202egnp\u2066\x00"
PAYLOADS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "=cmd|' /C calc'!A0",
    "@SUM(A1)",
    "\t=1+1",
    "\r=1+1",
    "[bold red]markup[/] $\\frac{$ {{ 7 * 7 }} </style>",
    ESCAPES,
]


def test_names_are_no_commands_in_markdown_and_latex(tmp_path):
    hostile = "\\input{/etc/passwd}$x_1$ <script> | [a](javascript:b) `c` ~^&%#"
    write_report(tmp_path, make_report(lambda name: f"{hostile}{name}"), ("markdown", "latex"))
    latex = (tmp_path / "tables.tex").read_text()
    assert "\\input" not in latex
    assert "\\textbackslash{}input\\{/etc/passwd\\}\\$x\\_1\\$" in latex
    markdown = (tmp_path / "tables.md").read_text()
    assert "<script>" not in markdown.replace("\\<script\\>", "")
    assert not re.search(r"(?<!\\)[\]\[`$<]", markdown)
    table = [line for line in markdown.splitlines() if line.startswith("| label")]
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 6 for line in table[:1])


def test_plain_text_has_none_of_unicodes_signs_that_are_not_seen_and_all_others():
    kinds = ("Cc", "Cf", "Cs", "Zl", "Zp")
    for first in range(0, sys.maxunicode, 0x1000):
        text = "".join(map(chr, range(first, first + 0x1000)))
        text = text.replace("\x1b", "").replace("\x9b", "")
        found = zip(text, map(unicodedata.category, text), strict=True)
        unseen = {c for c, kind in found if kind in kinds} - {"\n", "\t"}
        assert plain(text) == ("".join(c for c in text if c not in unseen) if unseen else text)
        assert {plain(c) for c in unseen} <= {""}
    assert plain("\x1b") == plain("\x9b") == ""


class Tags(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes = set(), []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes += attributes


@pytest.fixture(scope="module")
def harmless(tmp_path_factory):
    folder = tmp_path_factory.mktemp("harmless")
    write_report(folder, make_report())
    return Tags(_read(folder / "index.html"))


def test_the_page_needs_nothing_from_elsewhere(harmless):
    links = [v for name, v in harmless.attributes if name in ("src", "srcset", "href", "action")]
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)
    policy = next(v for name, v in harmless.attributes if v and v.startswith("default-src"))
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


@pytest.mark.parametrize("payload", PAYLOADS)
def test_names_and_reasons_carry_no_commands(tmp_path, payload, harmless):
    report = make_report(lambda name: f"{payload}{name}")
    write_report(tmp_path, report)
    source = _read(tmp_path / "index.html")
    page = Tags(source)
    # A name in letters that a font lacks is drawn otherwise: path for text.
    assert page.tags <= harmless.tags | {"text", "path", "g", "defs", "use"}
    assert not any(name.startswith("on") for name, _ in page.attributes)
    for text in (
        source,
        printed(report),
        *(_read(tmp_path / name) for name in TABLES),
        gzip.decompress((tmp_path / "samples.csv.gz").read_bytes()).decode(),
    ):
        assert not set(text) & set("\x1b\x9b\x00\x07\r\u202e\u2066")
    for name in ("comparison.csv", "pairwise.csv", "checks.csv"):
        cells = pd.read_csv(tmp_path / name, dtype=str, keep_default_na=False).to_numpy().ravel()
        commands = [c for c in cells if re.match(r"[=+@\t\r]|-\D", c)]
        assert commands == []


def _read(path):
    return path.read_bytes().decode("utf-8")


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("-x", "'-x"),
        ("-5", "-5"),
        ("+1.5e-3", "+1.5e-3"),
        ("-5 apples", "'-5 apples"),
        ("\r=1", "'=1"),
        ("a=b", "a=b"),
        (-0.1, "-0.1"),
        (np.float64(1 / 3), "0.3333333333333333"),
        (np.int64(3), "3"),
        (True, "True"),
        (None, ""),
        (float("nan"), ""),
        (pd.NA, ""),
    ],
)
def test_a_cell_is_a_number_or_inert_text(value, cell):
    table = pd.DataFrame({"x": pd.Series([value], dtype=object), "y": [1]})
    assert csv_text(table) == f"x,y\n{cell},1\n"


def test_plain_keeps_letters_of_all_scripts_and_drops_what_is_not_seen():
    assert plain("naïve 数学 π\n\tx") == "naïve 数学 π\n\tx"
    assert plain("a\x1b[2Jb\x1b]8;;http://x\x1b\\c\u200bd\ud800e\u2028f") == "abcdef"
