"""The page of a probe: its sections, its pictures, and what hostile texts do to them."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

import lists
from broca.instruments.probe.spec import Probe, Pruning
from broca.reports.build import report
from broca.reports.trees import LETTERS, MOST_LAYERS, tree_picture
from broca.runs import open_run, run
from reports.pages import read_page

HOSTILE = "</text><script>alert(1)</script> & \u202e"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    spec = Probe(
        options={"k": 2, "m": 6},
        n=36,
        n_items=12,
        twins=3,
        permutations=10,
        n_bootstrap=50,
        pruning=Pruning(levels=(25, 75), draws=2, fills=("zero", "mean")),
        edges=True,
        corruptions=("shuffle",),
        published=True,
    )
    path = run(spec, lists.reader(), tmp_path_factory.mktemp("runs") / "probe").path
    return path, report(path).read_text(encoding="utf-8")


def test_the_sections_come_in_order_and_are_closed(made):
    page = read_page(made[1])
    ids = [a["id"] for a in page.all("section")]
    assert ids == [
        "ladder", "scores", "trees", "looking", "pruning", "edges", "robustness", "prompt", "ledger", "checks", "method", "repeat", "tables", "provenance",
    ]  # fmt: skip
    assert page.broken == []
    assert page.open == []


def test_scores_stand_beside_their_band_and_their_controls(made):
    text = " ".join(read_page(made[1]).text.split())
    row = open_run(made[0]).tables["scores"].row(0, named=True)
    from broca.page.words import column

    for value in (
        row["score"],
        row["score_low"],
        min(row["score_random_all"]),
        row["f1"],
        row["margin"],
        row["f1_published"],
    ):
        assert column(value) in text
    for name in ("position", "length", "surface", "control task", "permuted labels", "tree of another theory"):
        assert name in text
    assert "Reasoning trees of kth in reader" in text
    assert "36 of 36 theories" in text
    assert "8 nearest neighbours weighted by distance (Euclidean) in 5 folds of whole theories" in text


def test_every_picture_is_a_file_of_its_own(made):
    names = {file.name for file in (made[0] / "figures").iterdir()}
    expected = {"layers-useful", "layers-step", "attention-size", "attention-place", "attention-step", "heads-useful",
                "heads-step", "entropy-place", "entropy-size", "pruning-remove", "pruning-keep"}  # fmt: skip
    assert {f"{name}.svg" for name in expected} | {f"{name}.vl.json" for name in expected} <= names
    assert {"tree-1.svg", "tree-2.svg", "tree-3.svg"} <= names
    assert "tree-1.vl.json" not in names
    assert made[1] == report(made[0]).read_text(encoding="utf-8")


def test_the_page_may_be_interactive(made):
    page = report(made[0], interactive=True).read_text(encoding="utf-8")
    assert '"pruning-remove"' in page
    assert '"tree-1":' not in page
    report(made[0])


def rows(n=5, layers=3, said="{i} red"):
    return [
        {"tree": 0, "id": "t", "question": "Is it?", "answer": "True", "correct": True, "statement": i,
         "said": said.format(i=i), "height": (1, 0, 2, 1, 0)[i % 5], "targets": [2] if i in (0, 3) else [], "last": i == 2,
         "found_useful": i in (0, 1, 2), "found_step": (1, None, 2, 2, None)[i % 5], "layers": list(range(layers)),
         "attention": [0.1 * i] * layers}
        for i in range(n)
    ]  # fmt: skip


def test_a_tree_shows_statements_edges_steps_and_attention():
    found = tree_picture(rows(), "t")
    root = ET.fromstring(found.svg)
    ns = "{http://www.w3.org/2000/svg}"
    texts = [element.text for element in root.iter(f"{ns}text")]
    assert {"0 red", "1 red ✗", "2 red", "3 red ✗", "Is it?", "✓ True"} <= set(texts)
    assert len(list(root.iter(f"{ns}circle"))) == 3
    assert len(list(root.iter(f"{ns}path"))) == 2 * 3  # an arc and its head for each edge
    cells = list(root.iter(f"{ns}rect"))
    assert len(cells) == 5 * 3
    shades = [float(cell.get("fill-opacity")) for cell in cells[::3]]
    assert shades == sorted(shades)
    assert shades[-1] == pytest.approx(1)
    assert found.alt == (
        "t: 3 of 5 statements are useful; from attention the probe found 2 of them, and took 1 others for useful. It put 2 of 3 "
        "in their step. The model’s answer is right."
    )


def test_texts_of_others_stay_text_and_long_ones_are_cut():
    hostile = [row | {"said": HOSTILE * 3, "question": HOSTILE, "answer": HOSTILE} for row in rows()]
    found = tree_picture(hostile, "t")
    assert "<script" not in found.svg
    assert "\u202e" not in found.svg
    shown = [e.text for e in ET.fromstring(found.svg).iter("{http://www.w3.org/2000/svg}text")]
    assert max(map(len, shown)) < LETTERS + 24
    assert "<svg" in found.inline
    assert "var(--accent)" in found.inline


def test_of_many_layers_some_are_drawn():
    found = tree_picture(rows(layers=80), "t")
    cells = list(ET.fromstring(found.svg).iter("{http://www.w3.org/2000/svg}rect"))
    assert len(cells) == 5 * MOST_LAYERS


def test_a_probe_without_maps_or_lesions_has_a_page(tmp_path):
    spec = Probe(options={"k": 1, "m": 6}, n=12, twins=1, permutations=0, n_bootstrap=20, maps=False, examples=0)
    path = run(spec, lists.reader(), tmp_path / "run").path
    page = read_page(report(path).read_text(encoding="utf-8"))
    assert "undefined: every statement asked about is of one step" in " ".join(page.text.split())
    assert [a["id"] for a in page.all("section")][:3] == ["ladder", "scores", "looking"]
    assert page.broken == []
