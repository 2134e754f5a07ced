"""The map of t: colours mean what the legend says."""

from __future__ import annotations

import base64

import numpy as np

from broca.reports import maps
from broca.sites import Site
from reports.test_png import decode


def sites(rows):
    return {Site(i, "resid_post"): np.asarray(row, float) for i, row in enumerate(rows)}


def pixels_of(uri: str) -> np.ndarray:
    return decode(base64.b64decode(uri.partition(",")[2]))[0]


def test_the_image_shows_sign_zero_dead_and_absent():
    drawn = maps.unit_map("resid_post", sites([[4.0, -4.0, 0.0, np.nan], [4.0, -2.0]]), {})
    shown = pixels_of(drawn.image)
    assert shown.shape == (2, 4, 4)
    assert tuple(shown[0, 0]) == (*maps.POSITIVE, 255)
    assert tuple(shown[0, 1]) == (*maps.NEGATIVE, 255)
    assert shown[0, 2, 3] == 0
    assert tuple(shown[0, 3, :3]) == maps.DEAD_GREY
    assert shown[0, 3, 3] > 0
    assert 0 < shown[1, 1, 3] < 255
    assert shown[1, 2, 3] == shown[1, 3, 3] == 0
    assert (drawn.n_dead, drawn.n_selected, drawn.marks, drawn.overview) == (1, 0, "", "")


def test_the_scale_is_symmetric_around_zero():
    t = sites([[3.0, -1.0, 0.5]])
    plus, minus = maps.levels(t, 3.0).astype(int), maps.levels({s: -a for s, a in t.items()}, 3.0).astype(int)
    assert np.array_equal(plus - maps.LEVELS, maps.LEVELS - minus)


def test_infinite_t_is_the_strongest_not_dead():
    drawn = maps.levels(sites([[np.inf, -np.inf, 1.0, np.nan]]), 2.0)
    assert drawn.tolist() == [[126, 0, 95, 127]]


def test_selected_units_are_marked_where_they_are():
    t = sites([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    shown = pixels_of(maps.unit_map("resid_post", t, {Site(1, "resid_post"): np.array([0, 1, 0], np.uint8)}).marks)
    assert (shown[..., 3] == [[0, 0, 0], [0, 255, 0]]).all()


def test_a_map_without_a_living_unit_is_drawn():
    drawn = maps.unit_map("resid_post", sites([[np.nan, np.nan]]), {})
    assert drawn.end == 1.0
    assert drawn.n_dead == 2


def test_an_overview_keeps_the_strongest_of_its_neighbours():
    pixels = maps.levels(sites([[0.1, -3.0, 2.0, np.nan, np.nan, 1.0, np.nan]]), 3.0)
    assert maps.strongest(pixels, 3).tolist() == [[0, 84, 127]]
    assert maps.strongest(np.array([[0, 0, 1, 0, 0]], np.uint8), 2).tolist() == [[0, 1, 0]]
    wide = maps.unit_map("resid_post", sites([np.linspace(-1, 1, 3000)]), {})
    assert wide.per_pixel == 3
    assert pixels_of(wide.overview).shape == (1, 1000, 4)
