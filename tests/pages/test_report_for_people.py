"""The report as people use it: the first screen, sorting and picking, keys alone, and the rules of accessibility."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from broca.reports.build import report
from pages.browsing import IN_A_BROWSER, visit
from parity.test_golden import GOLDEN
from reports.synthetic import causal_run, localize_run, parts
from reports.test_build import answered

pytestmark = IN_A_BROWSER


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    import shutil

    folder = tmp_path_factory.mktemp("runs")
    runs = {name: Path(shutil.copytree(path, folder / name)) for name, path in GOLDEN.items()}
    runs["causal"] = causal_run(folder / "causal", n_layers=12, width=2048, tables=answered(parts()["tables"]))
    runs["localize"] = localize_run(folder / "localize", n_layers=1, width=8)
    return {name: report(path) for name, path in runs.items()}


@pytest.fixture(scope="module")
def axe() -> str:
    pytest.importorskip("axe_core_python")
    return (files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8")


KINDS = (*GOLDEN, "causal", "localize")


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_screen_holds_the_answer(browser, pages, kind):
    visit(browser, pages[kind], width=1280)
    size = {"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    bottom = browser.execute_script("return document.querySelector('.glance').getBoundingClientRect().bottom")
    assert bottom <= 800


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "kind", [*(pytest.param(kind, marks=pytest.mark.slow) for kind in GOLDEN), "causal", "localize"]
)
def test_no_serious_finding_of_axe(browser, pages, axe, kind, scheme):
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    visit(browser, pages[kind])
    browser.execute_script("document.querySelectorAll('details').forEach(e => { e.open = true })")
    browser.execute_script(axe)
    found = browser.execute_async_script("const done = arguments[0]; axe.run().then(r => done(r.violations));")
    serious = [
        (each["id"], node["target"], node.get("failureSummary", "")[:200])
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"][:3]
    ]
    assert serious == []


ROWS = "return [...document.querySelectorAll('[data-facets] tbody tr')].filter(r => !r.hidden).map(r => [...r.cells].map(c => c.textContent.trim()))"


def test_answers_are_sorted_searched_and_picked(browser, pages):
    visit(browser, pages["causal"])
    browser.execute_script("document.querySelectorAll('details').forEach(e => { e.open = true })")
    whole = browser.execute_script(ROWS)
    assert len(whole) == 5
    move = "document.querySelectorAll('[data-facets] thead button')[4].click()"
    browser.execute_script(move)
    moved = [float(row[4].replace("−", "-")) for row in browser.execute_script(ROWS)]
    assert moved == sorted(moved)
    browser.execute_script(move)
    assert browser.execute_script(ROWS) != []
    assert (
        browser.execute_script("return document.querySelector('[aria-sort]').getAttribute('aria-sort')") == "descending"
    )
    pick = "const s = document.querySelectorAll('.pick select')[2]; s.value = 'lost'; s.dispatchEvent(new Event('input', { bubbles: true }))"
    browser.execute_script(pick)
    assert [row[3] for row in browser.execute_script(ROWS)] == ["lost"]
    assert browser.execute_script("return document.querySelector('.pick output').textContent") == "1 of 5"
    search = "const s = document.querySelector('.pick input'); s.value = 'question 4'; s.dispatchEvent(new Event('input', { bubbles: true }))"
    browser.execute_script(search)
    assert browser.execute_script(ROWS) == []


def test_keys_alone_reach_and_use_what_acts(browser, pages):
    from selenium.webdriver.common.keys import Keys

    visit(browser, pages["causal"])
    browser.switch_to.active_element.send_keys(Keys.TAB)
    assert browser.execute_script("return document.activeElement.className") == "skip"
    fold = "const f = document.querySelector('[data-facets]').closest('details').querySelector('summary'); f.focus()"
    browser.execute_script(fold)
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    reached = []
    for _ in range(6):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        reached.append(browser.execute_script("return document.activeElement.tagName"))
    assert reached[:4] == ["SELECT", "SELECT", "SELECT", "INPUT"]
    assert reached[-1] == "BUTTON"
    before = browser.execute_script(ROWS)
    for _ in range(2):
        browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert browser.execute_script(ROWS) == sorted(before, reverse=True)


def test_a_table_is_saved_without_asking_anybody(browser, pages, tmp_path):
    browser.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path), "eventsEnabled": True}
    )
    visit(browser, pages["causal"])
    browser.execute_script("document.querySelector('a[download=\"doses.csv\"]').click()")
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(browser, 20).until(lambda _: (tmp_path / "doses.csv").exists())
    assert (tmp_path / "doses.csv").read_text(encoding="utf-8").startswith("ability,condition,")
    assert browser.get_log("browser") == []


def test_scripts_of_others_do_not_run(browser, tmp_path):
    """Were a text of others ever not escaped, the policy of the page would still refuse it."""
    path = causal_run(tmp_path / "run")
    html = report(path).read_text(encoding="utf-8").replace("<h1>", "<script>document.title = 'hacked'</script><h1>", 1)
    (tmp_path / "page.html").write_text(html, encoding="utf-8")
    visit(browser, tmp_path / "page.html")
    assert browser.title != "hacked"
    assert browser.execute_script("return document.querySelectorAll('thead button').length") > 0
