"""The page works in a browser from disk, finds what is looked for, and lets no text act."""

import base64
import hashlib
import json
import os
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from playwright.sync_api import expect, sync_playwright

from data_gen.types import Problem
from offline_rl.report import verdict
from offline_rl.report.page import render
from offline_rl.report.text import one_line, plain
from tests.page_parts import (
    PROBLEMS,
    SAMPLES,
    evaluated,
    large_report,
    report_of,
    small_report,
    trained,
    written,
)

NAMES = ("chromium", "chromium-browser", "google-chrome")
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


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    return small_report(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def small_page(small, tmp_path_factory):
    return written(small, tmp_path_factory.mktemp("small_page"))


@pytest.fixture(scope="module")
def chromium():
    """One browser for all tests here; OFFLINE_RL_CHROMIUM names another executable.

    It is closed before other tests: Playwright's loop would be in the way of theirs.
    """
    path = os.environ.get("OFFLINE_RL_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), "")
    if not path:
        pytest.skip("no Chromium on PATH (apt-get install chromium): the page is not tested in it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium):
    """Opens files; the test fails where one complained, asked for anything, or opened a dialog."""
    contexts, troubles = [], []

    def open_page(path, fragment="", **settings):
        context = chromium.new_context(**settings)
        contexts.append(context)
        page = context.new_page()
        address = path.as_uri()
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("dialog", lambda dialog: (troubles.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda asked: troubles.extend(_others(asked.url, address)))
        page.goto(address + fragment)
        return page

    open_page.troubles = troubles
    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []


def _others(url, address):
    return [] if url.partition("#")[0] == address else [url]


def listed(page):
    return page.locator(".listed tbody th button").all_text_contents()


def card(page, label):
    return page.locator(f".card[data-label={json.dumps(label)}]").first


def field(page, name):
    return page.locator(".controls").get_by_label(name, exact=True)


def test_the_page_opens_from_disk_with_its_verdict_tables_and_figures(visit, small_page, small):
    page = visit(small_page)
    assert page.locator(".verdict li").all_text_contents() == list(verdict(small))
    text = page.locator("main").inner_text()
    row = small.comparison.query("label == 'dft' and benchmark == 'hard'").iloc[0]
    assert f"{row.avg_at_k_percent:.1f} ± " in text
    assert page.locator("figure svg").count() >= 20
    assert page.evaluate("document.fonts.size") == 0
    told = page.locator("figure p").all_text_contents()
    assert all(told)
    for name in ("accuracy", "differences", "sampling", "sharpening", "training", "data"):
        assert page.locator(f"section:has(> #{name}) figure").count() > 0, name
    assert "Budgets differ: examples seen" in page.locator(".notes").inner_text()
    assert "offline-rl run demo.yaml" in text


def test_identifiers_are_those_of_one_element_each(visit, small_page):
    page = visit(small_page)
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((one) => one.id)")
    # Equal drawings have equal parts: such an identifier says the same wherever it is looked up.
    assert len(ids) - len(set(ids)) == len([i for i in ids if re.match("f[0-9a-f]{8}-", i)]) - len(
        {i for i in ids if re.match("f[0-9a-f]{8}-", i)}
    )
    wanted = page.evaluate(
        "[...document.querySelectorAll('use')].map((one) => one.getAttribute('href').slice(1))"
    )
    assert set(wanted) <= set(ids)


def test_the_policy_names_these_very_scripts_and_styles_and_nothing_else_runs(visit, small_page):
    source = small_page.read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', source)[1]
    for tag, kind in (("style", "style-src"), ("script", "script-src")):
        text = re.search(rf"<{tag}>(.*?)</{tag}>", source, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")
    assert not re.search(r"<[^>]*\s(style|on\w+)=", source.split("<body>")[1].split("<script")[0])
    page = visit(small_page)
    page.evaluate(
        "() => { const one = document.createElement('script');"
        " one.textContent = 'window.ran = 1'; document.body.append(one); }"
    )
    assert page.evaluate("window.ran") is None
    assert any("Content Security Policy" in text for text in visit.troubles)
    visit.troubles.clear()


def test_a_problem_is_shown_with_every_policys_samples_side_by_side(visit, small_page):
    page = visit(small_page, "#rollouts?b=easy&p=easy%2F4")
    assert page.locator(".problem .where").inner_text() == "5 of 6: easy/4"
    assert page.locator(".asked").inner_text() == "What is 4 of easy?"
    titles = page.locator(".card h4").all_inner_texts()
    assert [title.split("\n")[0] for title in titles] == ["base", "dft", "rft"]
    assert "7 of 8 right" in titles[1]
    one = card(page, "dft")
    assert one.locator(".chip").all_inner_texts() == list("✓✓✓✓✓✓✓?")
    assert one.locator("pre").inner_text() == "dft 0 thinks of easy/4, take 0. \\boxed{4}"
    assert "correct · answer 4 · 9 tokens, cut off · sample 0" in one.locator(".said").inner_text()
    one.locator(".chip").nth(7).click()
    assert "take 3" in one.locator("pre").inner_text()
    assert one.locator(".said").inner_text().endswith("· sample 3")
    assert one.locator(".chip").nth(7).get_attribute("title") == "sample 3: unverifiable"
    assert "unverifiable (unparsable answer)" in one.locator(".said").inner_text()
    page.get_by_label("a card for every seed").check()
    names = page.locator(".card h4 span:first-child").all_inner_texts()
    assert names == ["base", "dft, seed 0", "dft, seed 1", "rft, seed 0", "rft, seed 1"]


def test_filters_find_the_problems_that_one_policy_solves_and_another_does_not(visit, small_page):
    page = visit(small_page)
    assert len(listed(page)) == PROBLEMS
    field(page, "first policy").select_option(label="dft")
    field(page, "second policy").select_option(label="rft")
    assert listed(page) == ["What is 1 of easy?", "What is 4 of easy?"]
    field(page, "first condition").select_option(label="is right in all samples")
    assert listed(page) == []
    assert "No problem fits." in page.locator(".problem").inner_text()
    field(page, "second condition").select_option(label="is right at least once")
    assert listed(page) == ["What is 0 of easy?", "What is 3 of easy?"]
    field(page, "Benchmark").select_option(label="hard")
    assert listed(page) == ["What is 2 of hard?", "What is 5 of hard?"]


def test_the_search_finds_words_of_problems_and_of_samples(visit, small_page):
    page = visit(small_page)
    search = field(page, "Search")
    search.fill("IS 3 OF")
    expect(page.locator(".listed tbody tr")).to_have_count(1)
    assert listed(page) == ["What is 3 of easy?"]
    assert page.locator(".asked mark").inner_text() == "is 3 of"
    search.fill("rft 1 thinks of easy/2")
    expect(page.locator(".listed tbody th")).to_have_text(["What is 2 of easy?"])
    assert len(listed(page)) == 1


def test_the_address_brings_back_what_was_looked_at(visit, small_page):
    page = visit(small_page)
    field(page, "Benchmark").select_option(label="hard")
    field(page, "first policy").select_option(label="dft")
    page.locator(".listed tbody th button").nth(1).click()
    page.keyboard.press("]")
    seen = page.locator("#browser").inner_text()
    again = visit(small_page, "#" + page.url.partition("#")[2])
    assert again.locator("#browser").inner_text() == seen
    assert "take 1" in card(again, "dft").locator("pre").inner_text()
    assert again.evaluate("scrollY") > 0
    again.evaluate("location.hash = '#rollouts?b=easy&p=easy%2F2'")
    expect(again.locator(".where")).to_have_text("3 of 6: easy/2")


def test_what_the_address_asks_in_vain_is_passed_over(visit, small_page):
    page = visit(
        small_page, "#rollouts?b=none&p=none&s=-4&x=none&y=dft&yis=toString&o=__proto__&m=5"
    )
    assert page.locator(".problem .where").inner_text() == "1 of 1: easy/5"


def test_keys_go_from_problem_to_problem(visit, small_page):
    page = visit(small_page, "#rollouts?b=easy&p=easy%2F0")
    for key, expected in (("j", 1), ("j", 2), ("k", 1), ("k", 0), ("k", 0)):
        page.keyboard.press(key)
        assert page.locator(".where").inner_text().endswith(f"easy/{expected}")
    page.get_by_role("button", name="Next →").click()
    assert page.locator(".where").inner_text().endswith("easy/1")
    field(page, "Search").press("j")
    assert page.locator(".where").inner_text().endswith("easy/1")


def test_figures_can_be_kept_as_files_of_their_own(visit, small_page):
    page = visit(small_page)
    with page.expect_download() as kept:
        page.locator("figure .save").first.click()
    drawn = kept.value.path().read_text(encoding="utf-8")
    assert kept.value.suggested_filename == "macro.svg"
    assert "var(" not in drawn
    assert 'xmlns="http://www.w3.org/2000/svg"' in drawn


def test_a_label_that_is_pointed_at_stands_alone_in_all_figures(visit, small_page):
    page = visit(small_page)
    page.locator("figure svg text", has_text="dft").first.hover()
    parts = page.locator("figure svg [class^='label-']:not(.faded)")
    assert parts.count() > 20
    assert {text for text in parts.all_text_contents() if re.match("[a-z]", text)} == {"dft"}
    assert page.locator("figure svg .faded").count() > parts.count()
    page.locator("h1").hover()
    assert page.locator("figure svg .faded").count() == 0


def test_several_base_models_are_told_apart_and_one_can_be_chosen(visit, tmp_path):
    path = written(small_report(tmp_path, models=("first", "second")), tmp_path)
    page = visit(path)
    page.locator("#chosen-model").select_option(label="second")
    headings = page.locator(".model > h2:visible").all_inner_texts()
    assert headings == ["Base model: second", "Training and data: second"]
    assert "m=second" in page.url
    for name in ("accuracy", "training"):
        assert page.locator(f"h2#{name}").is_visible()
    page.locator("#chosen-model").select_option(label="all")
    assert page.locator(".model:visible").count() == 4
    still = visit(path, java_script_enabled=False)
    assert still.locator(".model:visible").count() == 4
    assert not still.locator("#chooser").is_visible()
    assert "needs JavaScript" in still.locator("#rollouts").inner_text()


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_the_page_is_never_wider_than_the_window(visit, small_page, width):
    page = visit(
        small_page, "#rollouts?b=easy&p=easy%2F4", viewport={"width": width, "height": 800}
    )
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_ink_is_light_on_dark_paper_and_dark_in_print(visit, small_page):
    page = visit(small_page, color_scheme="dark")
    assert _brightness(page, "document.body", "backgroundColor") < 60
    text = "document.querySelector('figure svg text')"
    assert _brightness(page, text, "fill") > 140
    page.emulate_media(media="print", color_scheme="dark")
    assert _brightness(page, "document.body", "backgroundColor") > 240
    assert _brightness(page, text, "fill") < 120
    assert not page.locator("#browser").is_visible()
    assert len(page.pdf()) > 10_000
    assert page.locator("details:not([open])").count() == 0


def _brightness(page, element, style):
    colour = page.evaluate(f"getComputedStyle({element}).{style}")
    return np.mean([int(part) for part in re.findall(r"\d+", colour)[:3]])


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
        notes=tuple(PAYLOADS),
        failures={one: one for one in PAYLOADS},
        environment={one: {one: [one, {one: one}]} for one in PAYLOADS},
        settings="\n".join(PAYLOADS),
        command="; ".join(PAYLOADS),
    )
    return written(report, folder)


def test_the_pages_source_has_no_sign_of_texts_that_steer(hostile):
    assert not set(hostile.read_text(encoding="utf-8")) & set("\x00\x1b\u2028\u2029\u202e")


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


def test_what_was_left_out_of_a_text_is_said(visit, tmp_path):
    texts = ["a\x1b[31mb\u202ec", "x" * 40_000]
    samples = evaluated(
        tmp_path / "base", "base", None, "b", (1, 1), text=lambda p, j: texts[int(p.answer)]
    )
    page = visit(written(report_of([samples]), tmp_path))
    assert card(page, "base").locator("pre").inner_text() == "abc"
    assert "6 control or invisible characters left out" in card(page, "base").inner_text()
    page.locator(".listed tbody th button").nth(1).click()
    assert "24,000 characters in the middle left out" in card(page, "base").inner_text()
    assert len(card(page, "base").locator("pre").inner_text()) < 17_000


def test_without_texts_verdicts_and_answers_are_still_shown(visit, small, tmp_path):
    bare = replace(small, samples=tuple(replace(one, folder=None) for one in small.samples))
    page = visit(written(bare, tmp_path), "#rollouts?b=easy&p=easy%2F4")
    assert card(page, "dft").locator(".chip").count() == 8
    assert "Its text is not in this page." in card(page, "dft").inner_text()


def test_a_large_report_stays_small_and_says_what_it_leaves_out(visit, tmp_path):
    path = written(large_report(tmp_path), tmp_path)
    assert 8_000_000 < path.stat().st_size < 20_000_000
    page = visit(path)
    text = page.locator("#rollouts").inner_text()
    found = re.search(r"(\d+) of 500 problems, drawn at random with a fixed seed", text)
    assert 20 < int(found[1]) < 500
    assert len(listed(page)) == int(found[1])
    assert "samples.csv.gz" in text
    page.keyboard.press("Tab")
    page.locator(".listed tbody th button").nth(3).click()
    assert len(card(page, "dft").locator("pre").text_content()) == 2500


def test_what_could_not_be_measured_leaves_the_rest_of_the_page(visit, tmp_path):
    def of(number, label, seed, benchmark, rights, **others):
        return evaluated(tmp_path / str(number), label, seed, benchmark, rights, **others)

    unknown = of(0, "base", None, "easy", (4, 4))
    grid = unknown.evaluation.grid.assign(nll=np.nan, tokens=0)
    unknown = replace(unknown, evaluation=replace(unknown.evaluation, grid=grid))
    reports = [
        report_of([unknown], summaries={}, environment={}, settings="", command=""),
        report_of([of(1, "base", None, "easy", (0, 1, 1), samples=1)]),
        report_of([of(2, "base", None, "easy", (1,)), of(3, "dft", 0, "easy", (2,))]),
        report_of(
            [
                of(4, "base", None, "easy", (0, 1, 2)),
                of(5, "base", None, "hard", (0, 1, 2)),
                of(6, "rft", 0, "easy", (4, 1, 2)),
                of(7, "dft", 0, "hard", (4, 1, 2)),
            ]
        ),
        # Code points that no XML may hold.
        report_of([of(8, "base\ufffe", None, "easy\uffff", (1, 2))], name="demo\ufdd0"),
    ]
    for number, report in enumerate(reports):
        path = tmp_path / f"{number}.html"
        path.write_text(render(report), encoding="utf-8")
        page = visit(path)
        assert page.locator("#accuracy ~ .panels figure").count() > 0
        assert page.locator(".card").count() > 0


def test_equal_reports_give_equal_pages(small, small_page):
    assert render(small) == small_page.read_text(encoding="utf-8")


def test_names_are_shown_on_one_line(small):
    assert one_line("a\nb") in render(replace(small, name="a\nb"))
