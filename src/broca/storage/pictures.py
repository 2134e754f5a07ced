"""Pictures of anybody, opened with Pillow: one error for whatever is wrong with them."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from broca.errors import ModelError

if TYPE_CHECKING:
    from PIL.Image import Image


@contextmanager
def opening(content: bytes) -> Iterator[Image]:
    """The picture that a file holds, decoded; what its headers break later, within the block, is its damage too.

    From memory, where no more is read than there is: of a file Pillow reads as many bytes as a header says, 4 GiB of 77 bytes.

    Raises:
        ModelError: if Pillow is not installed.
        ValueError: if it is damaged, no picture, or larger than fits; says which.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise ModelError("Pictures need Pillow: pip install 'broca-interp[vision]'.") from error
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            yield image
    except MemoryError as error:
        raise ValueError("damaged, or takes more memory than there is") from error
    except (
        *(OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, struct.error),
        Image.DecompressionBombError,
    ) as error:
        raise ValueError(f"damaged, or no picture ({error})") from error
