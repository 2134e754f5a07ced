"""The PNG writer: what it writes, decoded by an independent reading of the format."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broca.errors import StatisticsError
from broca.reports.png import data_uri, indexed_png


def decode(png: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (height, width, 4) and indices of an indexed PNG; every checksum is verified."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(png):
        (size,) = struct.unpack(">I", png[at : at + 4])
        kind, content = png[at + 4 : at + 8], png[at + 8 : at + 8 + size]
        assert struct.unpack(">I", png[at + 8 + size : at + 12 + size])[0] == zlib.crc32(kind + content)
        chunks[kind] = content
        at += 12 + size
    width, height, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert rest == [8, 3, 0, 0, 0]
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any()
    colours = np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)
    alpha = np.frombuffer(chunks[b"tRNS"], np.uint8)
    indices = rows[:, 1:]
    return np.dstack([colours[indices], alpha[indices]]), indices


@given(st.integers(1, 9), st.integers(1, 40), st.integers(1, 256), st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_decodes_to_the_pixels_given(height, width, n_colours, seed):
    rng = np.random.default_rng(seed)
    palette = rng.integers(0, 256, (n_colours, 4)).astype(np.uint8)
    pixels = rng.integers(0, n_colours, (height, width)).astype(np.uint8)
    shown, indices = decode(indexed_png(pixels, palette))
    assert np.array_equal(indices, pixels)
    assert np.array_equal(shown, palette[pixels])


@pytest.mark.parametrize(
    ("pixels", "palette"),
    [
        (np.zeros((0, 3), np.uint8), np.zeros((2, 4), np.uint8)),
        (np.zeros(3, np.uint8), np.zeros((2, 4), np.uint8)),
        (np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8)),
        (np.zeros((2, 2), np.uint8), np.zeros((257, 4), np.uint8)),
        (np.full((2, 2), 2, np.uint8), np.zeros((2, 4), np.uint8)),
    ],
)
def test_refuses_what_it_cannot_draw(pixels, palette):
    with pytest.raises(StatisticsError):
        indexed_png(pixels, palette)


def test_an_address_holds_the_image():
    assert data_uri(b"\x00\x01").startswith("data:image/png;base64,AAE")
