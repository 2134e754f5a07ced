"""Localize, lesion, report, with pictures, in a small model of each kind of vision-language model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import broca
import pictures
from broca.errors import GuardError, SiteUnavailable
from broca.instruments.lesion.spec import CausalTest
from broca.instruments.localize.spec import Localize
from broca.interventions import Lesion
from broca.items import Contrast, Item, Stimulus
from broca.scoring import Likelihood
from broca.sites import Site
from broca.units import UnitMask

KINDS = tuple(pictures.CONFIGS)
_made: dict[str, broca.LM] = {}


def lm_of(kind: str) -> broca.LM:
    return _made.setdefault(kind, pictures.lm(kind))


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """Discs against boxes, under the same words; every fourth picture is wide."""
    folder: Path = tmp_path_factory.mktemp("shapes")
    sides = {
        shape: tuple(
            Stimulus(
                f"{shape}{i}",
                f"Look at number {i}.",
                images=(
                    pictures.draw(
                        folder / f"{shape}{i}.png",
                        shape,
                        f"hsl({30 * i}, 80%, 45%)",
                        size=(60, 30) if i % 4 == 0 else (36, 36),
                    ),
                ),
            )
            for i in range(8)
        )
        for shape in ("disc", "box")
    }
    return Contrast("shapes", sides["disc"], sides["box"])


@pytest.fixture(scope="module")
def table(shapes, tmp_path_factory):
    """A table of items that the model itself keyed, so that it has the ability."""
    folder = tmp_path_factory.mktemp("items")

    def write(lm, kind):
        stimuli = (*shapes.positive, *shapes.negative)
        asked = [Item(s.id, "What is it?", ("disc", "box"), 0, images=s.images) for s in stimuli]
        said = Likelihood()(lm, asked)["predicted"].to_list()
        rows = [
            {"prompt": "What is it?", "choices": "disc|box", "answer": item.choices[n], "image": item.images[0]}
            for item, n in zip(asked, said, strict=True)
        ]
        path = folder / f"{kind}.csv"
        pl.DataFrame(rows).write_csv(path)
        return str(path)

    return write


@pytest.mark.parametrize("kind", KINDS)
def test_localize_lesion_report(kind, shapes, table, tmp_path):
    lm = lm_of(kind)
    spec = CausalTest(
        localizer=Localize(contrast=shapes, sites="*.resid_post", pool="mean"),
        items=table(lm, kind),
        percent=5,
        draws=4,
        sizes=(),
        fills=("zero", "mean"),
        n_bootstrap=50,
        gate="mark",
    )
    run = broca.run(spec, lm, tmp_path / "run")
    assert {guard["name"]: guard["state"] for guard in run.result["guards"]}["padding"] == "passed"
    rows = run.tables["items"]
    assert set(rows["condition"]) == {"intact", "lesion", "random"}
    intact, lesioned = (rows.filter(pl.col("condition") == name)["logprobs"].to_list() for name in ("intact", "lesion"))
    assert not np.allclose(intact[0], lesioned[0])
    page = broca.report(run)
    assert "“shapes”: 8 positive against 8 negative stimuli, with 16 pictures" in page.read_text(encoding="utf-8")
    manifest = json.loads((run.path / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["model"]["processor"] == type(lm.processor).__name__


def test_layers_that_words_skip_are_no_candidates_and_it_is_said(shapes):
    lm = lm_of("mllama")
    idle = [layer for layer, block in enumerate(lm.anatomy.blocks) if not block.on_text]
    assert idle == [3]
    words = Contrast(
        "words",
        tuple(Stimulus(f"p{i}", f"the x number {i}") for i in range(8)),
        tuple(Stimulus(f"n{i}", f"the y number {i}") for i in range(8)),
    )
    seen = Localize(contrast=shapes, pool="mean").run(lm)
    read = Localize(contrast=words, pool="mean").run(lm)
    assert (seen.selection["n_units"], read.selection["n_units"]) == (5 * 32, 4 * 32)
    assert Site(3, "resid_post") in seen.t
    assert Site(3, "resid_post") not in read.t
    said = [text for text in read.warnings if "run beside pictures alone (3)" in text]
    assert said
    assert not [text for text in seen.warnings if "beside pictures" in text]
    mixed = Contrast("mixed", shapes.positive, words.negative)
    assert Localize(contrast=mixed, pool="mean").run(lm).selection["n_units"] == 4 * 32
    with pytest.raises(SiteUnavailable, match=r"3\.resid_post: these layers run beside pictures alone"):
        Localize(contrast=words, sites="2-3.resid_post").run(lm)
    with (
        pytest.raises(GuardError, match=r"3\.z did not run"),
        lm.under(Lesion(UnitMask({Site(3, "z"): np.ones(32, bool)}))),
    ):
        Likelihood()(lm, [Item("w", "What?", ("disc", "box"), 0)])


@pytest.mark.parametrize("side", ["top", "bottom", "middle", "both"])
def test_published_shares_count_layers_that_words_skip(side):
    """The published map has a place for every layer, NaN where none ran: its share is of all of them."""
    lm = lm_of("mllama")
    words = Contrast(
        "words",
        tuple(Stimulus(f"p{i}", f"the x number {i}") for i in range(8)),
        tuple(Stimulus(f"n{i}", f"the y number {i}") for i in range(8)),
    )
    found = Localize(contrast=words, preset="tl-abs", select={"percent": 10, "side": side}).run(lm)
    t = np.full((32, 5), np.nan)
    for site, values in found.t.items():
        t[:, site.layer] = values
    k, alive = int(t.size * 0.1), t[~np.isnan(t)]
    away = np.abs(alive - alive.mean())
    reach = np.partition(away, k)[k]
    expected = {
        "top": t >= np.sort(alive)[-k],
        "bottom": t <= np.sort(alive)[k],
        "middle": (t >= alive.mean() - reach) & (t <= alive.mean() + reach),
        "both": np.abs(t) >= np.sort(np.abs(alive))[-k],
    }[side]
    chosen = {(site.layer, int(unit)) for site, flags in found.selected.at.items() for unit in np.flatnonzero(flags)}
    assert chosen == {(int(layer), int(unit)) for unit, layer in np.argwhere(expected)}
    assert (found.selection["n_units"], found.selection["n_dead"]) == (160, 160 - len(alive))
    assert [text for text in found.warnings if "count in the percentage, as published" in text]
    assert found.select(percent=20, side="top").count == 32  # another share of the same ranking counts them too


def test_the_tokens_of_pictures_are_left_out_or_alone(shapes):
    lm = lm_of("llava")
    maps = {how: Localize(contrast=shapes, pool="mean", images=how).run(lm) for how in ("with", "without", "only")}
    flat = {how: np.concatenate(list(found.t.values())) for how, found in maps.items()}
    assert not np.allclose(flat["with"], flat["without"], equal_nan=True)
    assert not np.allclose(flat["only"], flat["without"], equal_nan=True)


def test_the_same_words_with_other_pictures_are_other_stimuli(shapes):
    """Maps are remembered by what was shown: words alone would find the wrong one."""
    lm, kept = lm_of("llava"), {}

    def cache(key, compute):
        return kept.setdefault(repr(key), None) or kept.__setitem__(repr(key), compute()) or kept[repr(key)]

    swapped = Contrast(shapes.name, shapes.negative, shapes.positive)
    words = tuple(replace(s, text=o.text, id=o.id) for s, o in zip(shapes.negative, shapes.positive, strict=True))
    other = Contrast(shapes.name, words, words)
    one, two = (Localize(contrast=c, pool="mean").run(lm, cache=cache) for c in (shapes, swapped))
    three = Localize(contrast=other, pool="mean").run(lm, cache=cache)
    for site, t in one.t.items():
        np.testing.assert_allclose(t, -two.t[site], atol=1e-6)
        assert np.nanmax(np.abs(three.t[site])) < 1e-6
    assert one.contrast["fingerprint"] != three.contrast["fingerprint"]
    assert one.contrast["pictures"] == 16


@pytest.mark.parametrize("kind", KINDS)
def test_a_lesion_of_the_vision_tower_reaches_pictures_and_no_words(kind, shapes):
    lm = lm_of(kind)
    site = Site(0, "vision")
    lesion = Lesion(UnitMask({site: np.arange(lm.anatomy.width(site)) % 2 == 0}))
    items = [Item(s.id, "What is it?", ("disc", "box"), 0, images=s.images) for s in shapes.positive[:3]]

    def scored():
        return np.array(Likelihood()(lm, items)["logprobs"].to_list())

    intact = scored()
    with lm.under(lesion):
        held = scored()
    with pytest.raises(GuardError, match="never ran"), lm.under(lesion):
        Likelihood()(lm, [replace(item, images=()) for item in items])
    assert np.abs(held - intact).max() > 1e-3
    np.testing.assert_array_equal(scored(), intact)


def test_units_of_the_vision_tower_climb_the_ladder(shapes, table, tmp_path):
    lm = lm_of("llava")
    site = Site(1, "vision")
    spec = CausalTest(
        selection=UnitMask({site: np.arange(lm.anatomy.width(site)) < 4}),
        items=table(lm, "tower"),
        draws=4,
        match=("layer",),
        sizes=(),
        fills=("zero",),
        n_bootstrap=50,
        gate="mark",
    )
    run = broca.run(spec, lm, tmp_path / "run")
    assert set(run.tables["items"]["condition"]) == {"intact", "lesion", "random"}
    assert "1.vision" in broca.report(run).read_text(encoding="utf-8")
