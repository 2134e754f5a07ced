"""Prompts, names and outputs are untrusted: whatever they hold is text on the page, and nothing else."""

from __future__ import annotations

import tempfile
from pathlib import Path

import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from broca.evidence.verdict import fragment, visible
from broca.reports.build import report
from reports.pages import read_page
from reports.synthetic import causal_run, parts

NASTY = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    "\"' onmouseover='alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "<!-- ", "]]>", "&lt;b&gt;", "a\u202eb\u2066c", "\x00\x1b[31m", "\ud800", "# *markdown* [x](javascript:1)", "../../etc", "`rm -rf`\n- a",
]  # fmt: skip


def poisoned(text: str) -> dict:
    """A run with `text` wherever a text can stand."""
    values = parts(n_layers=2, width=6)
    tables, result = values["tables"], values["result"]
    # A lone surrogate cannot stand in a parquet file; it can in JSON.
    stored = text.encode("utf-8", "replace").decode()
    own = pl.when(pl.col("ability") == "arithmetic").then(pl.lit(stored)).otherwise(pl.col("ability"))
    tables = {name: t.with_columns(ability=own) if "ability" in t.columns else t for name, t in tables.items()}
    texts = {name: pl.lit(stored) for name in ("id", "prompt", "answer", "intact", "lesion", "change")}
    tables["flipped"] = tables["flipped"].with_columns(**texts)
    tables["matrix"] = tables["matrix"].with_columns(localizer=pl.lit(stored))
    tables["baselines"] = tables["baselines"].with_columns(baseline=pl.lit(stored) + pl.col("baseline"))
    tables["doses"] = tables["doses"].with_columns(side=pl.lit(stored), fill=pl.lit(stored))
    tables["layers"] = tables["layers"].with_columns(kind=pl.lit(stored))
    result |= {
        "claim": text, "warnings": [text], "citations": [text], "method": text, "model": {"layers": text},
        "estimate": {"value": 1.5, "low": 1, "high": 2, "unit": text, "n": 3},
        "guards": [{"name": text, "state": text, "text": text}], "reliability": {"r": text},
        "contrast": {"name": text, "source": text, "positive_examples": [text], "negative_examples": [[{"role": text, "content": text}]]},
        "verdict": {"sentence": text, "first_failure": text, "rungs": [{"name": text, "state": text, "text": text, "numbers": {"r": text}}]},
    }  # fmt: skip
    manifest = values["manifest"] | {"note": text, "model": {"name": text, "revision": text}}
    spec = {"study": values["spec"]["study"] | {"own": stored, "items": stored}, "model": {"name": stored}}
    return values | {"tables": tables, "result": result, "manifest": manifest, "spec": spec}


def poison(path: Path, text: str, *, interactive: bool = False):
    html = report(causal_run(path / "run", **poisoned(text)), interactive=interactive).read_text(encoding="utf-8")
    return html, read_page(html)


CLEAN = {}


def skeleton(page) -> list:
    return [
        (tag, sorted(attributes))
        for tag, attributes in page.elements
        if tag not in {"text", "g", "path", "line", "tspan"}
    ]


@given(st.one_of(st.sampled_from(NASTY), st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)))
@settings(max_examples=5)
@example("".join(NASTY))
@example("</script>")
@example("x" * 21 + "😀" * 20)
def test_a_text_never_becomes_markup(text):
    if not text.strip():
        text = "x" + text
    with tempfile.TemporaryDirectory() as folder:
        if not CLEAN:
            CLEAN["elements"] = skeleton(poison(Path(folder) / "clean", "plain")[1])
        html, page = poison(Path(folder), text)
    assert page.broken == []
    assert skeleton(page) == CLEAN["elements"]
    assert not [name for _, a in page.elements for name in a if name.startswith("on")]
    shown = visible(text)
    assert shown in page.text
    html.encode("utf-8")


def test_nor_in_an_interactive_page(tmp_path):
    _, page = poison(tmp_path, "</script><script>alert(1)</script><!--", interactive=True)
    assert page.broken == []
    assert len(page.all("script")) == 3


def test_no_file_leaves_the_folder(tmp_path):
    poison(tmp_path, "../../../../etc/x")
    assert {p.name for p in tmp_path.iterdir()} == {"run"}


@given(st.text(st.characters(codec=None), max_size=40))
def test_what_a_notebook_shows_is_text_too(text):
    rungs = [{"name": text, "state": text, "text": text, "numbers": None}]
    shown = fragment(text, rungs, text)
    page = read_page(shown)
    assert page.broken == []
    assert {tag for tag, _ in page.elements} <= {"div", "p", "strong", "em", "ul", "li", "span"}
    shown.encode("utf-8")


def test_a_notebook_shows_claim_and_ladder():
    verdict = parts()["result"]["verdict"]
    text = read_page(fragment("A claim.", verdict["rungs"], verdict["sentence"])).text
    assert "A claim." in text
    assert "causal failed. The lesion does no more" in text
