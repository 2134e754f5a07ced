"""The documentation as `make docs` builds it, in a real browser: offline, searched, narrow, dark, and by the rules of accessibility."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from broca.lazy import homes
from pages.browsing import IN_A_BROWSER, requests, visit

pytestmark = [*IN_A_BROWSER, pytest.mark.slow]
DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = (
    "index",
    "tutorial",
    "instruments",
    "lesion",
    "ladder",
    "fields",
    "errors",
    "gallery",
    "field",
    "made/cli",
    "made/api/broca",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    for name in ("sphinx", "myst_parser", "pydata_sphinx_theme"):
        pytest.importorskip(name, reason="make docs installs it")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-E", "-W", "--keep-going", "-q", "-b", "html", str(DOCS), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_silently_and_asks_nobody(browser, site, name):
    visit(browser, site / f"{name}.html")
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    assert [url for url in requests(browser) if not url.startswith("file:")] == []


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_wider_than_a_phone(browser, site, name):
    visit(browser, site / f"{name}.html", width=390)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index", "ladder", "errors", "gallery"])
def test_no_serious_finding_of_axe(browser, site, name, scheme):
    pytest.importorskip("axe_core_python")
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    visit(browser, site / f"{name}.html")
    browser.execute_script((files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8"))
    found = browser.execute_async_script("const done = arguments[0]; axe.run().then(r => done(r.violations));")
    serious = [
        (each["id"], each["nodes"][0]["html"][:200]) for each in found if each["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_search_finds_offline(browser, site):
    from selenium.webdriver.support.wait import WebDriverWait

    browser.get((site / "search.html").as_uri() + "?q=specific")
    WebDriverWait(browser, 20).until(
        lambda d: d.execute_script("return document.querySelectorAll('#search-results li').length")
    )
    assert [url for url in requests(browser) if not url.startswith("file:")] == []


def test_every_public_name_is_there(site):
    import broca

    page = (site / "made" / "api" / "broca.html").read_text(encoding="utf-8")
    assert [name for name in homes(broca.__file__) if f"broca.{name}" not in page] == []
