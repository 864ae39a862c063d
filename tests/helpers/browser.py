"""A browser for the tests of the page, and where things are in it."""

import json
import os
import shutil

import pytest
from playwright.sync_api import sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def chromium():
    """One browser for all tests of a file; OFFLINE_RL_CHROMIUM names another executable.

    It is closed before other files' tests: Playwright's loop would be in the way of theirs.
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
