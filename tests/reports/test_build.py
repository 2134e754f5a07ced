"""The page as a whole: its order, its numbers, its files, and what it does with damage."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from broca.errors import RunError
from broca.reports import drawing
from broca.reports.build import report
from reports.pages import read_page
from reports.synthetic import ABILITIES, RUNGS, causal_run, localize_run, parts


def page_of(path):
    return read_page(report(path).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def causal(tmp_path_factory):
    path = causal_run(tmp_path_factory.mktemp("run") / "belief-1")
    return path, report(path).read_text(encoding="utf-8")


def test_the_sections_come_in_order(causal):
    ids = [a["id"] for a in read_page(causal[1]).all("section")]
    assert ids == [
        "ladder",
        "twins",
        "doses",
        "matrix",
        "places",
        "baselines",
        "flipped",
        "stimuli",
        "checks",
        "method",
        "repeat",
        "tables",
        "provenance",
    ]


def test_every_element_is_closed(causal):
    page = read_page(causal[1])
    assert page.broken == []
    assert page.open == []


def test_each_rung_has_its_state_and_the_first_failure_is_named(causal):
    text = " ".join(read_page(causal[1]).text.split())
    for name, state, words, _ in RUNGS:
        assert re.search(rf"{name} {state}( first rung that failed)? {re.escape(words)}", text)
    assert text.count("first rung that failed") == 1
    assert "causal failed first rung that failed" in text


def test_claim_interval_and_numbers(causal):
    text = " ".join(read_page(causal[1]).text.split())
    assert "−24.0 points of accuracy 95 % interval −31.0 to −17.0, n = 120" in text
    assert (
        "−24.0 −30.0 to −19.0 83.0 % → 59.0 % p < 0.001 (Holm: p = 0.001), n = 120 random −5.0 to +1.0, p = 0.010 own ability"
        in text
    )
    assert "Double dissociation: one lesion costs this, the other that." in text
    assert re.search(r"on held-out stimuli: 1.4 in this model, at most 0.\d+ in 20 untrained twins\.", text)
    assert "In the folder that holds this run: broca run belief-1 " in text


def test_nothing_is_fetched(causal):
    page = read_page(causal[1])
    for _, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "action", "data", "srcset", "poster"):
            assert attributes.get(name, "data:").startswith(("data:", "#"))
    assert len(page.all("script")) == 1, "ours alone, allowed by its digest"
    assert "http:" not in causal[1]
    assert "https:" not in causal[1]
    assert "@import" not in causal[1]
    assert "default-src 'none'" in page.all("meta")[-1]["content"]


def test_a_reader_who_cannot_see_is_told(causal):
    page = read_page(causal[1])
    assert all("alt" in image for image in page.all("img"))
    assert all(cell.get("scope") in {"row", "col"} for cell in page.all("th"))
    pictures = [a for _, a in page.elements if a.get("role") == "img"]
    assert len(pictures) == len(ABILITIES) + 4
    assert all(a["aria-label"] for a in pictures)
    assert page.all("html") == [{"lang": "en"}]
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))


def test_the_figures_are_files_with_their_specs(causal):
    names = sorted(file.name for file in (causal[0] / "figures").iterdir())
    stems = [
        "dose-response-1",
        "dose-response-2",
        "dose-response-3",
        "histogram-resid_post",
        "profile-resid_post",
        "share-resid_post",
        "twins",
    ]
    assert names == sorted(f"{stem}{ending}" for stem in stems for ending in (".svg", ".vl.json"))
    spec = json.loads((causal[0] / "figures" / "dose-response-1.vl.json").read_text())
    rows = [row for data in spec["datasets"].values() for row in data]
    assert {"series": "lesion: top", "dose": 5.0, "accuracy": pytest.approx(0.23)} in rows
    band = [row for row in rows if "low" in row and row["dose"] == 5.0]
    drawn = pl.read_parquet(causal[0] / "tables" / "doses.parquet").filter(
        (pl.col("condition") == "random") & (pl.col("dose") == 5) & (pl.col("ability") == "false-belief")
    )["accuracy"]
    assert band[0]["low"] == pytest.approx(np.quantile(drawn, 0.025))
    assert band[0]["high"] == pytest.approx(np.quantile(drawn, 0.975))


def test_the_same_run_gives_the_same_bytes(tmp_path):
    once, again = causal_run(tmp_path / "a" / "run"), causal_run(tmp_path / "b" / "run")
    first = report(once).read_bytes()
    figures = {f.name: f.read_bytes() for f in (once / "figures").iterdir()}
    assert report(once).read_bytes() == report(again).read_bytes() == first
    assert {f.name: f.read_bytes() for f in (again / "figures").iterdir()} == figures
    assert not list(tmp_path.rglob(".tmp*"))


def test_takes_a_run_a_path_or_a_string(tmp_path):
    path = localize_run(tmp_path / "run", n_layers=2, width=8)
    assert report(SimpleNamespace(path=path)) == report(str(path)) == path / "report.html"


def test_a_localizer_says_what_is_missing_and_how_to_get_it(tmp_path):
    page = page_of(localize_run(tmp_path / "found-1"))
    ids = [a["id"] for a in page.all("section")]
    assert ids == ["ladder", "places", "stimuli", "missing", "checks", "method", "repeat", "tables", "provenance"]
    assert (
        "broca lesion example/tiny-lm --localizer found-1 --items stories/belief --others stories/photograph stories/reality"
        in page.text
    )


def test_heads_are_a_table(tmp_path):
    page = page_of(causal_run(tmp_path / "run", grain="head", n_layers=3, width=5))
    assert "t of each head" in page.text
    assert not [a for a in page.all("img") if "Map of t" in a["alt"]]
    assert sum("own" in a.get("class", "").split() for a in page.all("td")) == 1 + 1  # a head, and the own ability


@pytest.mark.parametrize(("n_layers", "width"), [(1, 1), (1, 8), (100, 64)])
def test_models_of_any_depth(tmp_path, n_layers, width):
    assert page_of(localize_run(tmp_path / "run", n_layers=n_layers, width=width)).broken == []


def test_a_big_map_stays_small(tmp_path):
    html = report(localize_run(tmp_path / "run", n_layers=100, width=8192))
    assert html.stat().st_size < 3_000_000


def test_two_hundred_flipped_items(tmp_path):
    tables = parts()["tables"]
    row = tables["flipped"].head(1)
    tables["flipped"] = pl.concat([row.with_columns(id=pl.lit(f"item-{i:03}")) for i in range(200)])
    page = page_of(causal_run(tmp_path / "run", tables=tables))
    assert len(page.all("article")) == 30
    assert "170 more are in tables/flipped.parquet" in page.text


def test_nan_null_and_empty(tmp_path):
    values = parts()
    tables = {name: table.with_columns(pl.selectors.float() * float("nan")) for name, table in values["tables"].items()}
    tables["baselines"] = tables["baselines"].clear()
    tables["flipped"] = tables["flipped"].with_columns(prompt=pl.lit(None, pl.String))
    tensors = {name: a * np.nan if a.dtype.kind == "f" else a for name, a in values["tensors"].items()}
    result = values["result"] | {"claim": None, "estimate": {"value": None}, "verdict": None, "guards": None}
    page = page_of(causal_run(tmp_path / "run", tables=tables, tensors=tensors, result=result))
    assert "nan" not in page.text.lower().replace("provenance", "")
    assert "baselines" not in [a["id"] for a in page.all("section")]


def answered(tables):
    """Items of three abilities, intact and lesioned: the fourth of each turns, and margins move more from item to item."""
    prompts, rows = [], []
    lesion = tables["doses"].filter(pl.col("condition") == "lesion").row(0, named=True)
    none = {"condition": "intact", "localizer": "", "side": "", "dose": 0.0, "fill": "", "seed": -1}
    for i in range(5):
        key = {"id": f"it-{i}", "ability": "false-belief"}
        prompts.append(key | {"group": "g", "prompt": f"Question {i} <b>?", "choices": ["yes", "no"], "answer": "yes"})
        for labels in (none, {name: lesion[name] for name in none}):
            lesioned = labels["condition"] == "lesion"
            right, score = not (lesioned and i == 3), 2.0 - (0.1 * i if lesioned else 0.0)
            told = {"answer": 0, "predicted": int(not right), "correct": right, "invalid": False, "score": score}
            rows.append(
                labels | {"k": 1} | key | {"group": "g"} | told | {"logprobs": None, "text": "yes" if right else "no"}
            )
    return tables | {"items": pl.DataFrame(rows), "prompts": pl.DataFrame(prompts)}


def test_answers_are_listed_those_that_changed_most_first(tmp_path):
    page = page_of(causal_run(tmp_path / "run", tables=answered(parts()["tables"])))
    text = " ".join(page.text.split())
    listed = text[text.index("Answers one by one") :]
    assert re.findall(r"it-\d", listed)[:5] == ["it-3", "it-4", "it-2", "it-1", "it-0"]
    assert re.search(r"it-3 ?false-belief ?belief top 0.5 % zero ?lost ?−0.300 ?yes ?yes ?no ?Question 3 <b>\?", listed)


def test_columns_say_what_they_mean(causal):
    tips = {a["title"] for a in read_page(causal[1]).all("th") if "title" in a}
    assert {"those that are selected", "what it scores (share of 1)"} <= tips


def given(path, **tensors):
    """A run of a selection that was given: matched draws of one size under the first of two fills."""
    values = parts()
    study = {k: v for k, v in values["spec"]["study"].items() if k != "localizer"} | {"selection": {"grain": "head"}}
    rows = values["tables"]["doses"].filter((pl.col("dose").is_in([0.0, 5.0])) & (pl.col("side") != "bottom"))
    other = rows.filter(pl.col("condition") == "lesion").with_columns(fill=pl.lit("mean"))
    doses = pl.concat([rows, other]).with_columns(localizer=pl.lit(""), side=pl.lit(""))
    tables = {k: v for k, v in values["tables"].items() if k not in {"layers", "twins"}} | {"doses": doses}
    result = values["result"] | dict.fromkeys(("contrast", "reliability"))
    result["selection"] = {"k": 2, "n_alive": 12, "grain": tensors.pop("grain", "head"), "site": "3.z"}
    result["model"] = {"layers": 6}
    return causal_run(
        path, spec={"study": study, "model": {"name": "m"}}, result=result, tables=tables, tensors=tensors
    )


def test_a_selection_that_was_given_stands_among_its_draws(tmp_path):
    path = given(tmp_path / "run", **{"selected/3.z": np.array([0, 1, 0, 1], np.uint8)})
    page = page_of(path)
    assert {file.name for file in (path / "figures").iterdir()} == {"draws.svg", "draws.vl.json"}
    spec = json.loads((path / "figures" / "draws.vl.json").read_text())
    rows = [row for data in spec["datasets"].values() for row in data]
    for ability in ABILITIES:
        at = [row["what"] for row in rows if row["row"] == f"{ability}, zero"]
        assert (at.count("matched draw"), at.count("lesion"), at.count("intact")) == (20, 1, 1)
        assert sum(row["row"] == f"{ability}, mean" for row in rows) == 2
    # A point of the shape "stroke" has no area to fill, so that it was not seen.
    assert [each["mark"]["type"] for each in spec["layer"]] == ["tick", "point", "point"]
    text = " ".join(page.text.split())
    assert "Nothing was ranked" in text
    assert "The 2 selected heads at z, layer by head." in text
    assert text.count("● selected") == 2
    assert len([a for a in page.all("th") if a["scope"] == "row"]) >= 6


def test_units_that_were_given_are_marked_on_an_image(tmp_path):
    on = np.zeros(2000, np.uint8)
    on[7] = 1
    page = page_of(given(tmp_path / "run", grain="unit", **{"selected/3.mlp_act": on}))
    assert "The selected units at mlp_act: 6 layers, from the top down, 2,000 units across. 1 selected." in " ".join(
        page.text.split()
    )
    assert any("6 layers by 2000 units" in a["alt"] for a in page.all("img"))


def test_many_abilities_stand_one_above_the_other(tmp_path):
    tables = parts()["tables"]
    cells = tables["matrix"]
    tables["matrix"] = pl.concat([cells, *(cells.tail(1).with_columns(ability=pl.lit(f"more {i}")) for i in range(4))])
    text = " ".join(page_of(causal_run(tmp_path / "run", tables=tables)).text.split())
    assert re.search(r"ability ?belief ?false-belief ?−24.0", text)


def test_a_selection_that_was_given_has_no_map(tmp_path):
    values = parts()
    study = {k: v for k, v in values["spec"]["study"].items() if k != "localizer"} | {"selection": {"grain": "unit"}}
    kept = {"tables": {k: v for k, v in values["tables"].items() if k != "layers"}, "tensors": {}}
    result = values["result"] | dict.fromkeys(("contrast", "reliability", "t"))
    page = page_of(causal_run(tmp_path / "run", spec={"study": study, "model": {"name": "m"}}, result=result, **kept))
    assert "places" not in [a["id"] for a in page.all("section")]
    assert "broca localize m" in page.text


def test_other_localizers_stay_out_of_the_curve(tmp_path):
    tables = parts()["tables"]
    other = (
        tables["doses"]
        .filter(pl.col("condition") != "intact")
        .with_columns(localizer=pl.lit("other"), side=pl.lit("left"))
    )
    tables["doses"] = pl.concat([tables["doses"], other])
    path = causal_run(tmp_path / "run", tables=tables)
    assert "lesion: left" not in report(path).read_text()


DAMAGED = ["result.json", "spec.toml", "tables/doses.parquet", "tensors.safetensors"]


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize("damage", [b"", b"\x00\xff{{{", b"[1, 2]", b"PAR1 and then nothing PAR1", None])
def test_a_damaged_or_missing_file_is_named_above_what_can_be_shown(tmp_path, caplog, name, damage):
    path = causal_run(tmp_path / "run", n_layers=2, width=4)
    if damage is None:
        (path / name).unlink()
    else:
        (path / name).write_bytes(damage)
    page = report(path).read_text()
    wrong = "is missing" if damage is None else "does not match its checksum"
    assert f"unverified: {name} {wrong}." in page
    assert name in caplog.text


def test_a_changed_verdict_is_shown_as_unverified(tmp_path):
    path = causal_run(tmp_path / "run", n_layers=2, width=4)
    assert "unverified" not in read_page(report(path).read_text()).text
    result = path / "result.json"
    result.write_text(result.read_text().replace('"No:', '"Yes:'))
    page = report(path).read_text()
    assert "Yes: selective" in page
    assert "unverified: result.json does not match its checksum." in page


def test_results_of_another_shape_are_left_out(tmp_path):
    path = causal_run(tmp_path / "run", n_layers=2, width=4)
    told = {"verdict": [1], "selection": 7, "estimate": "x", "contrast": [[]], "guards": 3}
    (path / "result.json").write_text(json.dumps(told))
    assert "unverified: result.json does not match its checksum." in report(path).read_text()


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", None])
def test_a_damaged_manifest_is_named(tmp_path, damage):
    path = causal_run(tmp_path / "run", n_layers=2, width=4)
    (path / "manifest.json").unlink()
    if damage is not None:
        (path / "manifest.json").write_bytes(damage)
    with pytest.raises(RunError, match=r"manifest.json"):
        report(path)


def test_a_missing_directory(tmp_path):
    with pytest.raises(RunError, match=r"nowhere does not exist"):
        report(tmp_path / "nowhere")


def test_an_unfinished_run(tmp_path):
    path = causal_run(tmp_path / "run", n_layers=2, width=4, manifest=parts()["manifest"] | {"status": "partial"})
    with pytest.raises(RunError, match="not finished"):
        report(path)


def test_a_table_without_a_column(tmp_path):
    tables = parts()["tables"]
    tables["doses"] = tables["doses"].drop("accuracy")
    with pytest.raises(RunError, match="no column accuracy"):
        report(causal_run(tmp_path / "run", tables=tables))


def test_a_column_of_another_type(tmp_path):
    tables = parts()["tables"]
    tables["doses"] = tables["doses"].with_columns(accuracy=pl.lit("high"))
    with pytest.raises(RunError, match="another type"):
        report(causal_run(tmp_path / "run", tables=tables))


def test_arrays_that_do_not_fit(tmp_path):
    tensors = parts()["tensors"]
    tensors["selected/3.resid_post"] = np.zeros(2, np.uint8)
    with pytest.raises(RunError, match=r"selected/3.resid_post has 2 entries"):
        report(causal_run(tmp_path / "run", tensors=tensors))


def test_an_unwritable_place(tmp_path):
    path = causal_run(tmp_path / "run", n_layers=2, width=4)
    (path / "figures").write_text("in the way")
    with pytest.raises(RunError, match="figures could not be written"):
        report(path)


def test_interactive_is_offline_too(tmp_path):
    path = localize_run(tmp_path / "run", n_layers=2, width=8)
    html = report(path, interactive=True).read_text(encoding="utf-8")
    page = read_page(html)
    assert page.broken == []
    assert len(page.all("script")) == 3
    assert not any("src" in a for a in page.all("script"))
    data = html.partition('id="charts">')[2].partition("</script>")[0]
    assert set(json.loads(data)["specs"]) == {"histogram-resid_post", "profile-resid_post", "share-resid_post"}


def test_a_bundle_cannot_end_its_script_early(tmp_path, monkeypatch):
    monkeypatch.setattr("broca.reports.html.bundle", lambda: "var x = '</script><b>' + '<!--<script>';")
    page = read_page(report(localize_run(tmp_path / "run", n_layers=2, width=8), interactive=True).read_text())
    assert page.broken == []
    assert not page.all("b")


def test_the_sentence_under_a_curve_is_about_the_claims_dose(causal):
    text = " ".join(read_page(causal[1]).text.split())
    assert (
        "false-belief: 83.0 % intact; 71.0 % with 1 % of the units lesioned (top, zero); 20 random draws of as many:"
        in text
    )


def test_what_is_lesioned_is_called_what_it_is(tmp_path):
    page = report(causal_run(tmp_path / "run", n_layers=2, width=8, grain="head")).read_text()
    text = " ".join(read_page(page).text.split())
    assert "1 % of the heads lesioned" in text
    assert "units lesioned" not in text
    assert "The claim is about 1 % of the heads" in text


def test_a_chart_that_cannot_be_drawn_costs_no_result_and_is_drawn_later(tmp_path):
    """V8 takes the process down that it runs in when it gets no address space."""
    resource = pytest.importorskip("resource")
    path = causal_run(tmp_path / "belief-1")
    before = resource.getrlimit(resource.RLIMIT_AS)
    drawing._CHILD.close()
    resource.setrlimit(resource.RLIMIT_AS, (16 << 30, before[1]))
    try:
        page = page_of(path)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    missing = page.text.count("This chart could not be drawn: its process")
    assert missing == len(list((path / "figures").glob("*.vl.json"))) > 0
    assert not list((path / "figures").glob("*.svg"))
    assert "could not be drawn" not in page_of(path).text
    assert len(list((path / "figures").glob("*.svg"))) == missing
