"""Every text of a finished run of every study made hostile, its files sealed again, its report opened: nothing runs, nothing is asked for.

Checked by what the browser tells of itself. A text that cannot be changed without the run being refused in words is left as it was.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import small
from broca.errors import BrocaError
from broca.reports.build import report
from broca.runs.formats import json_to_bytes, table_to_bytes
from broca.runs.manifest import seal
from broca.runs.spec import read_spec
from broca.runs.toml import to_toml
from broca.storage import digest
from pages.browsing import IN_A_BROWSER, events, requests, visit

pytestmark = [*IN_A_BROWSER, pytest.mark.slow]

AWAY = "http://127.0.0.1:9/"
PAYLOAD = "".join(
    [
        "</script></style></title></textarea></svg>--> ]]>",
        "<script>sink(1)</script>",
        "<img src=x onerror=sink(2)>",
        f"<img src={AWAY}a.png>",
        "<svg onload=sink(3)><script>sink(4)</script></svg>",
        "<svg><animate onbegin=sink(5) attributeName=x dur=1s></svg>",
        "\"' onmouseover=sink(6) onfocus=sink(7) autofocus x='\" ",
        "<a href=javascript:sink(8)>a</a> javascript:sink(9) [b](javascript:sink(10))",
        f"<style>@import '{AWAY}b.css'; * {{ background: url({AWAY}c.png) }}</style> url({AWAY}d.png)",
        f"<iframe srcdoc='<script>parent.sink(11)</script>'></iframe><iframe src={AWAY}></iframe>",
        f"<meta http-equiv=refresh content='0;url={AWAY}'><base href={AWAY}>",
        "<details open ontoggle=sink(12)>{{ 7 * 7 }}{% raw %}${sink(13)}",
        "\u2028sink(14)\u2029\u202e\u2066<!--",
    ]
)
SINK = "window.hits = []; window.sink = n => { window.hits.push(n); alert(n) };"
"""What payloads call. It is there before the page is, and no policy of the page binds it."""
STUDIES = ("localize", "lesion", "sensitivity", "probe", "perturb", "direction", "selftest", "circuit")
Text = tuple[str, ...]
"""Where a text stands: a file, and keys or a column in it; all entries of a list are one place."""


# -- what is poisoned ----------------------------------------------------------------------------------------------


def mapped(value: Any, change: Callable[[Text, str], str], at: Text) -> Any:
    match value:
        case str():
            return change(at, value)
        case dict():
            return {key: mapped(item, change, (*at, key)) for key, item in value.items()}
        case list():
            return [mapped(item, change, (*at, "*")) for item in value]
    return value


def rewritten(run: Path, change: Callable[[Text, str], str]) -> None:
    """Change the texts of a run, and seal it again."""
    result = run / "result.json"
    result.write_bytes(json_to_bytes(mapped(json.loads(result.read_bytes()), change, ("result",))))
    spec = run / "spec.toml"
    spec.write_text(to_toml(mapped(read_spec(spec), change, ("spec",))), encoding="utf-8")
    log = run / "log.jsonl"
    lines = [json.dumps(mapped(json.loads(line), change, ("log",))) for line in log.read_text().splitlines()]
    log.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for path in (run / "tables").glob("*.parquet"):
        table = pl.read_parquet(path)
        texts = [name for name, kind in table.schema.items() if kind == pl.String]
        columns = {name: [each and change((path.stem, name), each) for each in table[name]] for name in texts}
        path.write_bytes(
            table_to_bytes(table.with_columns(**{n: pl.Series(c, dtype=pl.String) for n, c in columns.items()}))
        )
    manifest = json.loads((run / "manifest.json").read_bytes())
    files = {
        name: {"bytes": (run / name).stat().st_size, "sha256": digest((run / name).read_bytes())}
        for name in manifest["files"]
    }
    told = mapped({key: value for key, value in manifest.items() if key != "files"}, change, ("manifest",))
    (run / "manifest.json").write_bytes(json_to_bytes(seal(told | {"files": files})))


def places(run: Path) -> list[Text]:
    found: dict[Text, None] = {}

    def note(at: Text, text: str) -> str:
        found[at] = None
        return text

    rewritten(run, note)
    return list(found)


class Poisoning:
    """Copies of a run, hostile in as many places as it can be, and their reports."""

    def __init__(self, run: Path, folder: Path) -> None:
        self.run, self.folder = run, folder
        self.pages: list[tuple[Path, int]] = []
        self.refused: list[Text] = []

    def page(self, at: list[Text], *, interactive: bool = False) -> Path:
        copy = self.folder / str(len(list(self.folder.iterdir())))
        shutil.copytree(self.run, copy)
        rewritten(copy, lambda place, text: text + PAYLOAD if place in at else text)
        return report(copy, interactive=interactive)

    def try_all(self, at: list[Text]) -> None:
        """Poison these places together; halves of them where that is refused."""
        try:
            self.pages.append((self.page(at), len(at)))
        except BrocaError:
            if len(at) == 1:
                self.refused += at
                return
            self.try_all(at[: len(at) // 2])
            self.try_all(at[len(at) // 2 :])


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return small.folder(tmp_path_factory.mktemp("hostile") / "base")


# -- what the browser tells ----------------------------------------------------------------------------------------


def touched(browser, page: Path) -> tuple[list[int], list[str], list[str]]:
    """Open a page, move over, focus and open everything in it; gives what ran, what was asked for, and dialogs that opened."""
    visit(browser, page)
    browser.execute_script(
        """document.querySelectorAll('details').forEach(e => { e.open = true });
        document.querySelectorAll('*').forEach(e => {
            for (const name of ['mouseover', 'mouseenter', 'focus']) e.dispatchEvent(new Event(name));
            if (e.protocol === 'javascript:') e.click();
        })"""
    )
    hits = browser.execute_script("return window.hits")
    told = events(browser)
    opened = [event["params"]["message"] for event in told if event["method"] == "Page.javascriptDialogOpening"]
    return hits, requests(browser, told), opened


@pytest.fixture
def sink(browser):
    script = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": SINK})["identifier"]
    yield browser
    browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", {"identifier": script})


def test_a_page_that_lets_them_run_would_be_seen(sink, tmp_path):
    """The payloads do what they say where nothing stops them."""
    page = tmp_path / "open.html"
    body = PAYLOAD.replace("<meta", "<x").replace("</title>", "")
    page.write_text(f"<!doctype html><meta charset=utf-8><body>{body}", encoding="utf-8")
    quiet = SINK.replace("alert(n)", "0")
    own = sink.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": quiet})["identifier"]
    hits, asked, _ = touched(sink, page)
    sink.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", {"identifier": own})
    assert {1, 2, 3} <= set(hits)
    assert any(url.startswith(AWAY) for url in asked)


@pytest.mark.parametrize("study", STUDIES)
def test_hostile_texts_run_nothing_and_ask_nobody(sink, base, tmp_path, monkeypatch, study, record_property):
    here = small.copied(base, tmp_path / "here")
    monkeypatch.chdir(here)
    assert small.typed(small.COMMANDS[study].words) == 0
    (run,) = (here / "runs").iterdir()
    (tmp_path / "copies").mkdir()
    poisoning = Poisoning(run, tmp_path / "copies")
    every = places(run)
    poisoning.try_all(every)
    taken = [place for place in every if place not in poisoning.refused]
    assert len(taken) > 0.6 * len(every), poisoning.refused
    record_property("hostile places", len(taken))
    pages = [page for page, _ in poisoning.pages]
    largest = max(poisoning.pages, key=lambda each: each[1])[0].parent
    pages.append(report(largest, interactive=True))
    for page in dict.fromkeys(pages):
        hits, asked, opened = touched(sink, page)
        assert hits == []
        assert opened == []
        assert asked == [page.as_uri()]
