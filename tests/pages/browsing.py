"""A real browser, and what it tells of a page: errors, and every request that it makes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"

IN_A_BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(
        shutil.which(CHROMIUM) is None or shutil.which(DRIVER) is None,
        reason=f"no {CHROMIUM} and {DRIVER}: apt-get install chromium chromium-driver",
    ),
]


@pytest.fixture(scope="module")
def browser():
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.execute_cdp_cmd("Network.enable", {})
    driver.set_script_timeout(180)  # axe reads every mark of every chart
    yield driver
    driver.quit()


@pytest.fixture(autouse=True)
def undo(request):
    yield
    if "browser" in request.fixturenames:
        driver = request.getfixturevalue("browser")
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def visit(browser, page: Path, *, width: int = 1200) -> None:
    browser.get("about:blank")
    browser.get_log("performance")
    browser.get_log("browser")
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(page.as_uri())


def events(browser) -> list[dict[str, Any]]:
    """What the browser has told since it was last asked, of its network and its pages."""
    return [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]


def requests(browser, told: list[dict[str, Any]] | None = None) -> list[str]:
    """The addresses that were asked for, among `events`."""
    told = events(browser) if told is None else told
    sent = [e["params"]["request"]["url"] for e in told if e["method"] == "Network.requestWillBeSent"]
    return [url for url in sent if not url.startswith(("data:", "about:"))]
