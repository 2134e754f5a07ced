"""What holds for every selection, mask and draw."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from broca.sites import Site
from broca.units import Select, UnitMask, draw_like, random_like, select

law = settings(max_examples=50, database=None, derandomize=True)

# Few distinct values, so that ties are the rule; dead units and extremes among them.
NUMBERS = st.sampled_from([-np.inf, -1.7e308, -2.0, -1.0, -0.0, 0.0, 1e-300, 1.0, 2.0, 1.7e308, np.inf, np.nan])
SITES = st.lists(
    st.builds(Site, st.integers(0, 30), st.sampled_from(["resid_post", "z"])), min_size=1, max_size=4, unique=True
)
ANY = NUMBERS | st.floats(-5, 5)
SIDES = st.sampled_from(["top", "bottom", "both", "middle", "random"])


@st.composite
def maps(draw, numbers=ANY):
    return {site: draw(arrays(np.float64, st.integers(1, 12), elements=numbers)) for site in draw(SITES)}


@st.composite
def masks(draw, sites=None, n=None):
    chosen = draw(SITES) if sites is None else sites
    return UnitMask({site: draw(arrays(np.bool_, st.integers(1, 20) if n is None else n)) for site in chosen})


def row(at):
    return np.concatenate([at[site] for site in sorted(at)])


@law
@given(maps(), SIDES, st.integers(1, 48), st.sampled_from(["model", "layer"]), st.integers(0, 9))
def test_as_many_as_asked_and_none_dead(scores, side, count, within, seed):
    alive = ~np.isnan(row(scores))
    assume(count <= alive.sum())
    selection = select(scores, Select(count=count, side=side, within=within, seed=seed))
    assert selection.mask.count == selection.k == count
    assert not (row(selection.mask.at) & ~alive).any()
    assert (selection.n_units, selection.n_alive, selection.n_dead) == (alive.size, alive.sum(), (~alive).sum())


@law
@given(maps(), st.integers(1, 48), st.sampled_from(["top", "bottom", "both"]))
def test_nothing_left_out_beats_what_was_chosen(scores, count, side):
    key = {"top": lambda x: x, "bottom": lambda x: -x, "both": np.abs}[side](row(scores))
    assume(count <= (~np.isnan(key)).sum())
    flags = row(select(scores, Select(count=count, side=side)).mask.at)
    left = key[~flags & ~np.isnan(key)]
    assert left.size == 0 or key[flags].min() >= left.max()


@law
@given(maps(), st.integers(1, 48))
def test_the_top_of_minus_x_is_the_bottom_of_x(scores, count):
    assume(count <= (~np.isnan(row(scores))).sum())
    top = select({site: -values for site, values in scores.items()}, Select(count=count)).mask
    assert top == select(scores, Select(count=count, side="bottom")).mask


@law
@example(
    {Site(0, "resid_post"): np.array([-1.7e308, -1.7e308, -2, -2, -2]), Site(0, "z"): np.array([1.7e308, 1.7e308, -2])},
    1,
    "middle",
)  # both ends of the sum overflow
@given(maps(), st.integers(1, 47), st.sampled_from(["top", "bottom", "both", "middle"]))
def test_a_larger_selection_holds_the_smaller(scores, count, side):
    alive = int((~np.isnan(row(scores))).sum())
    assume(alive > 1)
    count = 1 + (count - 1) % (alive - 1)
    small, large = (select(scores, Select(count=k, side=side)).mask for k in (count, count + 1))
    assert (small - large).count == 0


@law
@given(maps(), st.integers(1, 48))
def test_the_order_in_which_sites_are_given_does_not_matter(scores, count):
    assume(count <= (~np.isnan(row(scores))).sum())
    backwards = dict(reversed(scores.items()))
    assert select(scores, Select(count=count)).mask == select(backwards, Select(count=count)).mask


@law
@given(maps(), st.integers(1, 48))
def test_layers_share_a_count_within_one_of_their_part(scores, count):
    alive = ~np.isnan(row(scores))
    assume(count <= alive.sum())
    mask = select(scores, Select(count=count, within="layer")).mask
    for layer in {site.layer for site in scores}:
        here = [site for site in scores if site.layer == layer]
        living = sum(int((~np.isnan(scores[site])).sum()) for site in here)
        assert abs(sum(int(mask.at[site].sum()) for site in here) - count * living / alive.sum()) < 1


@law
@given(maps(st.floats(-5, 5)), st.integers(1, 100))
def test_within_layers_each_gives_its_percentage(scores, percent):
    widths = {layer: sum(v.size for s, v in scores.items() if s.layer == layer) for layer in {s.layer for s in scores}}
    assume(any(width * percent >= 100 for width in widths.values()))
    mask = select(scores, Select(percent=percent, within="layer")).mask
    for layer, width in widths.items():
        assert sum(flags.sum() for site, flags in mask.at.items() if site.layer == layer) == width * percent // 100


@law
@given(maps(st.sampled_from([0.0, 1.0, 2.0]) | st.floats(-3, 3)), st.integers(1, 20), SIDES)
def test_published_ties_only_ever_add(scores, count, side):
    assume(side != "middle")  # its published window may lose its edge to rounding
    assume(count <= row(scores).size)
    exact = select(scores, Select(count=count, side=side)).mask
    assert (exact - select(scores, Select(count=count, side=side, ties="threshold")).mask).count == 0


@law
@given(st.data())
def test_masks_are_an_algebra(data):
    sites = data.draw(SITES)
    a, b, c = (data.draw(masks(sites, 7)) for _ in range(3))
    assert a & b == b & a
    assert a | b == b | a
    assert (a & b) & c == a & (b & c)
    assert a & (b | c) == (a & b) | (a & c)
    assert ~(a & b) == ~a | ~b
    assert ~~a == a
    assert a - b == a & ~b
    assert (a | b).count == a.count + b.count - (a & b).count
    assert a.count + (~a).count == a.total
    assert (a == b) == (a.fingerprint == b.fingerprint)


@law
@given(st.data())
def test_overlap_is_symmetric_and_bounded(data):
    sites = data.draw(SITES)
    a, b = (data.draw(masks(sites, 7)) for _ in range(2))
    assume(a.count + b.count)
    assert a.overlap(b) == b.overlap(a)
    assert 0 <= a.overlap(b).jaccard <= a.overlap(b).dice <= 1
    if a.count:
        assert a.overlap(a).dice == a.overlap(a).jaccard == 1


@law
@given(masks())
def test_masks_survive_json_and_files(mask):
    assert UnitMask.from_json(json.loads(json.dumps(mask.to_json()))) == mask
    with tempfile.TemporaryDirectory() as folder:
        again = UnitMask.load(mask.save(Path(folder) / "mask"))
    assert again == mask
    assert again.fingerprint == mask.fingerprint


@law
@given(masks(), st.integers(0, 99), st.booleans())
def test_random_controls_have_the_counts_and_never_overlap(mask, seed, by_size):
    assume(all(2 * flags.sum() <= flags.size for flags in mask.at.values()))
    size = {site: np.arange(flags.size) % 5.0 for site, flags in mask.at.items()}
    match = ("layer", "size") if by_size else ("layer",)
    drawn = draw_like(mask, seed=seed, match=match, size=size)
    assert [f.sum() for f in drawn.mask.at.values()] == [f.sum() for f in mask.at.values()]
    assert (drawn.mask & mask).count == 0
    assert 0 <= drawn.n_neighbour <= mask.count
    assert drawn.mask == random_like(mask, seed=seed, match=match, size=size)


@law
@given(masks(), st.integers(0, 99), st.integers(1, 12))
def test_among_all_the_size_bins_are_kept_to_the_unit(mask, seed, n_bins):
    size = {site: np.linspace(0, 1, flags.size) for site, flags in mask.at.items()}
    drawn = draw_like(mask, seed=seed, among="all", match=("layer", "size"), size=size, n_bins=n_bins)
    assert drawn.n_neighbour == 0
    for site, values in size.items():
        limits = np.quantile(values, np.arange(1, n_bins) / n_bins)
        wanted, got = (sorted(np.digitize(values[m.at[site]], limits)) for m in (mask, drawn.mask))
        assert wanted == got
