"""Old ``.pt`` files, which are pickles, read without running what a pickle may hold."""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
import warnings
import zipfile
from pathlib import Path
from typing import IO, Any

import torch

from broca.errors import BrocaError

# What torch.load raises on files that are cut short, changed, or no pickles of tensors.
_DAMAGED = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    OverflowError,
    AssertionError,
    struct.error,
    MemoryError,
    RecursionError,
    zipfile.BadZipFile,
)


_LONGEST = 8_000
"""Characters of a text without white space."""


def _not_blown_up(path: Path) -> None:
    """Refuse an archive that says it is larger than its file: torch stores, it does not compress.

    Raises:
        ValueError: if it does.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            claimed, size = sum(entry.file_size for entry in archive.infolist()), path.stat().st_size
        if claimed > size:
            raise ValueError(f"its parts claim {claimed:,} bytes of {size:,}")


def _without_long_words(path: Path) -> None:
    """Refuse a pickle with a text that has no white space for very long: torch looks through what it refuses in quadratic time.

    Raises:
        ValueError: if it has one.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            parts = [io.BytesIO(archive.read(name)) for name in archive.namelist() if name.endswith(".pkl")]
        for part in parts:
            _look(part, pickles=1)
    else:
        with path.open("rb") as file:
            _look(file, pickles=4)  # of the old format: three about the file, then what it holds


def _look(file: IO[bytes], *, pickles: int) -> None:
    for _ in range(pickles):
        for _, argument, _ in pickletools.genops(file):
            text = (
                argument
                if isinstance(argument, str)
                else argument.decode("latin-1")
                if isinstance(argument, bytes)
                else ""
            )
            if len(text) > _LONGEST and max(map(len, text.split()), default=0) > _LONGEST:
                raise ValueError(f"it has a text of more than {_LONGEST:,} characters without white space")


def load_torch(path: Path, *, holds: str, again: str, error: type[BrocaError]) -> Any:
    """What a file holds, by `torch.load` with ``weights_only``.

    Args:
        path: of the file.
        holds: what it should hold, in words: "tensors".
        again: what to do about a damaged one: "Make it again."
        error: what to raise.

    Raises:
        error: if the file cannot be read, is damaged, or holds anything that could be code.
    """
    try:
        _not_blown_up(path)
        _without_long_words(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that are refused in words below
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as raised:
        raise error(f"{path} cannot be read: {raised.strerror or raised}.") from raised
    except _DAMAGED as raised:
        raise error(
            f"{path} is damaged, or holds more than {holds}, which could be code and is not loaded ({type(raised).__name__}). {again}"
        ) from raised
