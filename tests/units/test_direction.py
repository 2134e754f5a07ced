"""Directions as values: what they refuse, what they say of themselves, and files that come back bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

import broca
from broca.errors import SelectionError
from broca.sites import Site


def direction(**more):
    draw = np.random.default_rng(0)
    vectors = {f"{layer}.resid_post": draw.normal(size=8) for layer in (0, 2)}
    return broca.Direction(vectors, rho={"0.resid_post": 4.0, "2.resid_post": 9.0}, about={"name": "tone"}, **more)


def test_a_file_comes_back_bit_for_bit(tmp_path):
    given = direction(centres={"2.resid_post": np.ones(8)}, readers={"0.resid_post": np.eye(8)[0]}, model="abc")
    found = broca.Direction.load(given.save(tmp_path / "d.safetensors"))
    assert found.fingerprint == given.fingerprint
    assert found.model == "abc"
    assert found.rho == given.rho
    assert found.about == {"name": "tone"}
    assert all(np.array_equal(found.vectors[site], given.vectors[site]) for site in given.sites)


def test_a_file_that_was_changed_is_refused(tmp_path):
    path = direction().save(tmp_path / "d.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(SelectionError, match="damaged"):
        broca.Direction.load(path)


def test_another_safetensors_file_is_told_from_a_direction(tmp_path):
    mask = broca.UnitMask.of({"0.z": [1]}, n=4)
    mask.save(tmp_path / "m.safetensors")
    with pytest.raises(SelectionError, match="not a direction"):
        broca.Direction.load(tmp_path / "m.safetensors")
    with pytest.raises(SelectionError, match="no direction at"):
        broca.Direction.load(tmp_path / "absent.safetensors")


@pytest.mark.parametrize("vector", [np.zeros(4), np.full(4, np.nan), np.ones((2, 2)), np.zeros(0)])
def test_what_is_no_vector_is_refused(vector):
    with pytest.raises(SelectionError, match="Give finite numbers"):
        broca.Direction({"1.resid_post": vector})


def test_no_vector_at_all_and_a_site_without_one_are_refused():
    with pytest.raises(SelectionError, match="points nowhere"):
        broca.Direction({})
    with pytest.raises(SelectionError, match="no vector there"):
        direction().at("1.resid_post")


def test_random_directions_have_the_norms_and_differ_by_seed():
    given = direction()
    first, second = given.random(0), given.random(1)
    assert first.norm == pytest.approx(given.norm)
    assert first.fingerprint == given.random(0).fingerprint != second.fingerprint
    assert first.rho == given.rho


def test_random_directions_of_the_complement_have_no_part_in_the_direction():
    own = broca.Direction({"1.resid_post": [3.0, 4.0, 0.0], "2.resid_post": [0.0, 1.0, 1.0]})
    drawn = own.random(3, orthogonal=True)
    for site in own.sites:
        assert abs(float(drawn.vectors[site] @ own.vectors[site])) < 1e-5
        assert drawn.norm[site] == pytest.approx(own.norm[site], rel=1e-6)
    with pytest.raises(SelectionError, match="nothing is orthogonal"):
        broca.Direction({"1.resid_post": [3.0]}).random(0, orthogonal=True)


def test_what_it_says_of_itself():
    given = direction()
    assert given.at("2.resid_post").sites == (Site(2, "resid_post"),)
    assert given.frame()["share"].to_list() == pytest.approx([given.norm[s] / given.rho[s] for s in given.sites])
    assert "tone" in repr(given)
    assert "resid_post" in given._repr_html_()
    assert given.reader(given.sites[0]) @ given.vectors[given.sites[0]] == pytest.approx(1)
