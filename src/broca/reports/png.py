"""A PNG writer for maps of numbers: one byte per pixel and a palette with transparency, nothing else.

A dense map of units is an image, not marks: 32 x 4,096 units are 100 kB here and megabytes as a chart.
"""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

from broca.errors import StatisticsError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def indexed_png(pixels: np.ndarray, palette: np.ndarray) -> bytes:
    """Pixels as an indexed PNG (ISO/IEC 15948, colour type 3, bit depth 8).

    Args:
        pixels: (height, width) uint8, each an index into `palette`; at least one pixel.
        palette: (n, 4) uint8, red, green, blue and alpha; at most 256 colours.

    Raises:
        StatisticsError: if the shapes are others, or a pixel has no colour.
    """
    if pixels.ndim != 2 or not pixels.size or palette.ndim != 2 or palette.shape[1] != 4 or len(palette) > 256:
        raise StatisticsError(
            f"No image can be drawn from pixels {pixels.shape} and a palette {palette.shape}. "
            "Give (height, width) pixels and (n, 4) colours, n at most 256."
        )
    if int(pixels.max()) >= len(palette):
        raise StatisticsError(f"Pixel value {int(pixels.max())} has no colour in a palette of {len(palette)}.")
    height, width = pixels.shape
    # Each row begins with its filter type: 0, none. Filters do not help indices.
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.astype(np.uint8)], axis=1)
    return b"".join(
        (
            _SIGNATURE,
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", palette[:, :3].astype(np.uint8).tobytes()),
            _chunk(b"tRNS", palette[:, 3].astype(np.uint8).tobytes()),
            _chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)),
            _chunk(b"IEND", b""),
        )
    )


def data_uri(png: bytes) -> str:
    """The image as an address that holds it."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
