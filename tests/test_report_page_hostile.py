"""Texts of others never act in the page, and are found in it as they are."""

import json
import re

import pytest
from playwright.sync_api import expect

from data_gen.types import Problem
from eval.notes import Note
from offline_rl.report.text import plain
from tests.helpers import browser
from tests.helpers.browser import card, field
from tests.helpers.page_reports import SAMPLES, evaluated, report_of, trained, written

# Each would act if it became markup, script, style, an address or an attribute.
PAYLOADS = [
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "<img src=x onerror=alert(3)>",
    '"><img src=x onerror=alert(4)>',
    "'><svg onload=alert(5)>",
    "<svg><script>alert(6)</script></svg>",
    "</title><script>alert(7)</script>",
    "</style><script>alert(8)</script>",
    "</textarea><script>alert(9)</script>",
    "--><script>alert(10)</script><!--",
    "<!--<script>alert(11)</script>",
    "]]><script>alert(12)</script>",
    "<iframe src=javascript:alert(13)></iframe>",
    "<iframe srcdoc='<script>alert(14)</script>'></iframe>",
    "<a href=javascript:alert(15) id=link>x</a>",
    "<body onload=alert(16)>",
    "<details open ontoggle=alert(17)>",
    "<input autofocus onfocus=alert(18)>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(19)>",
    "<base href=https://example.org/>",
    "<meta http-equiv=refresh content=0;url=https://example.org/>",
    "<link rel=stylesheet href=https://example.org/x.css>",
    "<object data=https://example.org/x></object>",
    "<form action=https://example.org/><button>x</button></form>",
    "{{ 7 * 7 }}{% include '/etc/passwd' %}${alert(25)}",
    "\\u003cimg src=x onerror=alert(26)\\u003e",
    "&lt;img src=x onerror=alert(27)&gt;&#60;script&#62;",
    "\u2028\u2029alert(28)\x00\x1b[31m\u202egnp",
    "javascript:alert(29)//'\"`;alert(29)",
    "__proto__ constructor \\boxed{<video><source onerror=alert(30)>} url(https://example.org/x)",
]


chromium, visit = browser.chromium, browser.visit


@pytest.fixture(scope="session")
def hostile(tmp_path_factory):
    """Every payload as a label, in a model's name, a problem, a gold answer and a completion."""
    folder = tmp_path_factory.mktemp("hostile")
    samples, records = [], {}
    models = [" ".join(PAYLOADS[n : n + 10]) for n in range(0, len(PAYLOADS), 10)]
    problems = [Problem(f"{n} {one}", f"Say {one}", one) for n, one in enumerate(PAYLOADS)]
    for number, model in enumerate(models):
        labels = [("base", None), *((one, 0) for one in PAYLOADS[10 * number : 10 * number + 10])]
        for place, (label, seed) in enumerate(labels):
            rights = [(place + n) % (SAMPLES + 1) for n in range(len(problems))]
            samples.append(
                evaluated(
                    folder / str(number) / str(place), label, seed, f"set {PAYLOADS[3]}", rights,
                    model=model, text=lambda p, j: f"{p.answer} {j}", problems=problems,
                )
            )  # fmt: skip
        records[model] = [trained(label, seed) for label, seed in labels if seed is not None]
    report = report_of(
        samples,
        records=records,
        models=models,
        name="".join(PAYLOADS),
        notes=tuple(Note("data", one) for one in PAYLOADS),
        failures={one: one for one in PAYLOADS},
        environment={one: {one: [one, {one: one}]} for one in PAYLOADS},
        settings="\n".join(PAYLOADS),
        command="; ".join(PAYLOADS),
    )
    return written(report, folder)


def test_the_pages_source_has_no_sign_of_texts_that_steer(hostile):
    assert not set(hostile.read_text(encoding="utf-8")) & set("\x00\x1b\u2028\u2029\u202e")


def test_the_block_of_samples_holds_no_sign_of_markup(hostile):
    source = hostile.read_text(encoding="utf-8")
    [block] = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', source, re.DOTALL)
    assert not set(block) & set("<>&")
    assert "</script>" in str(json.loads(block))


def test_texts_of_others_never_act(visit, hostile, small_page):
    tags = "[...new Set([...document.querySelectorAll('*')].map((one) => one.localName))].sort()"
    names = (
        "[...new Set([...document.querySelectorAll('*')].flatMap((one) => "
        "one.getAttributeNames()))].sort()"
    )
    page = visit(hostile, "#rollouts?seeds=1")
    known = visit(small_page, "#rollouts?seeds=1&q=is")
    for problem in PAYLOADS:
        assert f"Say {plain(problem)}" in page.locator(".asked").text_content()
        assert card(page, "base").locator("pre").text_content() == f"{plain(problem)} 0"
        page.keyboard.press("j")
    allowed = {*known.evaluate(tags), "option", "select"}
    assert set(page.evaluate(tags)) <= allowed
    assert set(page.evaluate(names)) <= {*known.evaluate(names), "hidden", "role"}
    addresses = "[...document.querySelectorAll('[href]')].map((one) => one.getAttribute('href'))"
    assert all(address.startswith("#") for address in page.evaluate(addresses))
    assert page.evaluate("({}).polluted") is None


def test_texts_of_others_are_found_and_named_in_the_address_as_they_are(visit, hostile):
    page = visit(hostile)
    for payload in ("<img src=x onerror=alert(3)>", "</script><script>alert(2)</script>"):
        field(page, "Search").fill(payload)
        expect(page.locator(".asked mark").first).to_have_text(payload)
        assert visit(hostile, "#" + page.url.partition("#")[2]).locator("mark").count() > 0


def test_long_names_do_not_widen_the_page_on_a_phone(visit, hostile):
    page = visit(hostile, "#rollouts?seeds=1", viewport={"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
