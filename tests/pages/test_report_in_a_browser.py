"""The report in a real browser: it opens from the disk, asks nobody for anything, reads without scripts, and prints."""

from __future__ import annotations

import subprocess
from pathlib import Path

import polars as pl
import pytest

from broca.reports.build import report
from pages.browsing import CHROMIUM, IN_A_BROWSER, requests, visit
from reports.synthetic import RUNGS, causal_run, localize_run, parts

pytestmark = IN_A_BROWSER


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    runs = {
        "causal": causal_run(folder / "causal", n_layers=12, width=2048),
        "heads": causal_run(folder / "heads", n_layers=12, width=16, grain="head"),
        "localize": localize_run(folder / "localize", n_layers=1, width=8),
    }
    return {name: report(path) for name, path in runs.items()}


KINDS = ("causal", "heads", "localize")


@pytest.mark.parametrize("kind", KINDS)
def test_opens_silently_and_asks_nobody(browser, pages, kind):
    visit(browser, pages[kind])
    assert browser.get_log("browser") == []
    assert requests(browser) == [pages[kind].as_uri()]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [390, 1200])
def test_nothing_is_wider_than_the_window(browser, pages, kind, width):
    visit(browser, pages[kind], width=width)
    browser.execute_script("document.querySelectorAll('details').forEach(e => { e.open = true })")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [390, 1200])
def test_a_wide_matrix_scrolls_in_its_own_frame_to_its_last_column(browser, tmp_path, width):
    tables = parts()["tables"]
    cells = tables["matrix"]
    others = [cells.with_columns(localizer=pl.lit(f"contrast number {i}"), own=pl.lit(value=False)) for i in range(7)]
    tables["matrix"] = pl.concat([cells, *others, cells.tail(1).with_columns(ability=pl.lit("one more"))])
    tables["matrix"] = pl.concat(
        [tables["matrix"], *(cells.tail(1).with_columns(ability=pl.lit(f"a{i}")) for i in range(7))]
    )
    visit(browser, report(causal_run(tmp_path / "run", tables=tables)), width=width)
    frame = "const f = document.querySelector('#matrix .scroll');"
    assert browser.execute_script(f"{frame} return f.scrollWidth > f.clientWidth")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    seen = browser.execute_script(
        f"{frame} f.scrollLeft = f.scrollWidth; const last = f.querySelector('thead th:last-child').getBoundingClientRect();"
        "const box = f.getBoundingClientRect(); return [last.left >= box.left, last.right <= box.right + 1]"
    )
    assert seen == [True, True]
    # The names of the rows stay where they are.
    name = "return document.querySelector('#matrix tbody th').getBoundingClientRect().left"
    assert browser.execute_script(name) >= 0


def test_no_label_of_a_chart_is_clipped(browser, pages):
    for width in (390, 1200):
        visit(browser, pages["causal"], width=width)
        clipped = browser.execute_script(
            """return [...document.querySelectorAll('.chart svg')].flatMap(svg => {
                const box = svg.getBoundingClientRect();
                return [...svg.querySelectorAll('text')].filter(text => {
                    const own = text.getBoundingClientRect();
                    return own.width && (own.left < box.left - 1 || own.right > box.right + 1);
                }).map(text => text.textContent);
            })"""
        )
        assert clipped == []


def test_every_image_is_decoded(browser, pages):
    visit(browser, pages["causal"])
    # An image that is not displayed has a natural size all the same, once it is decoded.
    sizes = browser.execute_script("return [...document.images].map(i => [i.naturalWidth, i.naturalHeight])")
    assert [2048, 12] in sizes
    assert [1024, 12] in sizes
    assert all(width > 0 for width, _ in sizes)


def test_reads_without_scripts(browser, pages):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    visit(browser, pages["causal"])
    root = browser.execute_cdp_cmd("DOM.getDocument", {})["root"]["nodeId"]
    ladder = browser.execute_cdp_cmd("DOM.querySelector", {"nodeId": root, "selector": "#ladder"})["nodeId"]
    html = browser.execute_cdp_cmd("DOM.getOuterHTML", {"nodeId": ladder})["outerHTML"]
    for name, state, words, _ in RUNGS:
        assert name in html
        assert state in html
        assert words in html
    box = browser.execute_cdp_cmd("DOM.getBoxModel", {"nodeId": ladder})["model"]
    assert box["height"] > 200


@pytest.mark.parametrize("kind", KINDS)
def test_prints(pages, kind, tmp_path):
    pdf = print_page(pages[kind], tmp_path / "page.pdf")
    assert pdf.startswith(b"%PDF")
    assert 1 <= pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") + pdf.count(b"/Type /Page/") < 25


def print_page(page: Path, pdf: Path) -> bytes:
    """Print with a Chromium of its own: the one that is shared says "Printing failed" now and then on a busy machine."""
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += [f"--user-data-dir={pdf.parent / 'profile'}", f"--print-to-pdf={pdf}", page.as_uri()]
    for _ in range(3):
        ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
        if pdf.exists():
            return pdf.read_bytes()
    raise AssertionError(ended.stderr)


def luminance(colour: str) -> float:
    channels = [float(c) / 255 for c in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(browser, pages, scheme):
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    visit(browser, pages["causal"])
    paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (luminance(paper) < 0.05) == (scheme == "dark")
    selectors = ("h1", ".claim", "figcaption", ".rung.passed .state", ".rung.failed .state", ".rung.not-tested p",
                 "summary", ".note", ".facts dt", ".item .state", "thead th", ".marked td")  # fmt: skip
    script = "return getComputedStyle(document.querySelector(arguments[0])).color"
    for selector in selectors:
        light, dark = sorted((luminance(paper), luminance(browser.execute_script(script, selector))), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, selector
    ink = browser.execute_script("return getComputedStyle(document.querySelector('.chart svg text')).fill")
    assert abs(luminance(ink) - luminance(paper)) > 0.2


def test_interactive_charts_come_alive_offline(browser, tmp_path):
    from selenium.webdriver.support.wait import WebDriverWait

    page = report(localize_run(tmp_path / "run", n_layers=3, width=16), interactive=True)
    visit(browser, page)
    alive = "return document.documentElement.dataset.charts === 'live'"
    WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(alive))
    assert len(browser.execute_script("return [...document.querySelectorAll('.vega-embed svg')]")) == 3
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    assert requests(browser) == [page.as_uri()]
