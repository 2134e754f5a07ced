"""The page of many runs in a real browser: 200 of them, sorted, picked, searched, and read by axe."""

from __future__ import annotations

from importlib.resources import files

import pytest

from broca.reports.overview import overview
from pages.browsing import IN_A_BROWSER, requests, visit
from runs.test_comparison import many

pytestmark = [*IN_A_BROWSER, pytest.mark.slow]

SHOWN = "return [...document.querySelectorAll('#runs tbody tr')].filter(r => !r.hidden).map(r => [...r.cells].map(c => c.textContent.trim()))"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many") / "runs"
    many(folder, 200)
    return overview(folder)


def test_it_opens_silently_and_small(browser, page):
    visit(browser, page, width=1280)
    assert browser.get_log("browser") == []
    assert requests(browser) == [page.as_uri()]
    assert page.stat().st_size < 3_000_000
    assert len(browser.execute_script(SHOWN)) == 200


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(browser, page, width):
    visit(browser, page, width=width)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_it_is_sorted_picked_and_searched(browser, page):
    visit(browser, page, width=1280)
    click = "document.querySelectorAll('#runs thead button')[0].click()"
    browser.execute_script(click)
    browser.execute_script(click)
    assert browser.execute_script(SHOWN)[0][0] == "run-199"
    browser.execute_script(
        "const s = document.querySelector('.pick select'); s.value = 'causal'; s.dispatchEvent(new Event('input', { bubbles: true }))"
    )
    shown = browser.execute_script(SHOWN)
    assert {row[1] for row in shown} == {"causal"}
    assert len(shown) == 67
    browser.execute_script(
        "const s = document.querySelector('.pick input'); s.value = 'run-19'; s.dispatchEvent(new Event('input', { bubbles: true }))"
    )
    assert {row[0] for row in browser.execute_script(SHOWN)} == {"run-192", "run-195", "run-198"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_finding_of_axe(browser, page, scheme):
    pytest.importorskip("axe_core_python")
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    visit(browser, page, width=1280)
    browser.execute_script((files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8"))
    found = browser.execute_async_script("const done = arguments[0]; axe.run().then(r => done(r.violations));")
    assert [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")] == []
