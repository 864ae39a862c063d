"""The page opens from disk and shows what the report holds, on screens and in print."""

import base64
import hashlib
import re
from dataclasses import replace

import numpy as np
import pytest

from offline_rl.report import verdict
from offline_rl.report.page.render import render
from offline_rl.report.text import one_line
from tests.helpers import browser
from tests.helpers.browser import card, listed
from tests.helpers.page_reports import evaluated, large_report, report_of, small_report, written

chromium, visit = browser.chromium, browser.visit


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
    report = small_report(tmp_path, models=("first", "second"), benchmarks=("easy",))
    path = written(report, tmp_path)
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


def test_names_are_shown_on_one_line(tmp_path):
    base = evaluated(tmp_path / "base", "base", None, "easy", (1, 2))
    assert one_line("a\nb") in render(report_of([base], name="a\nb"))
