"""Problems and their samples are found, filtered and shown side by side in the page."""

from dataclasses import replace

from playwright.sync_api import expect

from tests.helpers import browser
from tests.helpers.browser import card, field, listed
from tests.helpers.page_reports import PROBLEMS, evaluated, report_of, written
from tests.helpers.reports import with_results

chromium, visit = browser.chromium, browser.visit


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
    bare = with_results(
        small, samples=tuple(replace(s, folder=None) for s in small.results.samples)
    )
    page = visit(written(bare, tmp_path), "#rollouts?b=easy&p=easy%2F4")
    assert card(page, "dft").locator(".chip").count() == 8
    assert "Its text is not in this page." in card(page, "dft").inner_text()
