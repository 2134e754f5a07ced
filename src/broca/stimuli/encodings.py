"""The text that a file holds: UTF-8, or what says by its first bytes that it is UTF-16 or UTF-32. Nothing else is guessed."""

from __future__ import annotations

import codecs
from pathlib import Path

from broca.errors import StimulusError

_PACKED = (b"\x1f\x8b", b"PK\x03\x04")
"""How gzip and zip begin."""
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""How text that is not UTF-8 says so; the longer marks first, for they begin like the shorter ones."""


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        StimulusError: There is no such file, or it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise StimulusError(f"There is no file {str(path)!r}. Check the path.") from error
    except (OSError, ValueError) as error:
        raise StimulusError(f"{str(path)!r} cannot be read: {error}.") from error


def read_text(path: Path) -> str:
    """The content of a file in UTF-8, or in UTF-16 or UTF-32 that says so by its mark; without the mark, line ends as they are.

    Raises:
        StimulusError: There is no such file, or it is in another encoding; the message names the line and the byte.
    """
    data = read_bytes(path)
    if data.startswith(_PACKED):
        raise StimulusError(
            f"{path.name} is packed (gzip, or zip as Excel's files are), and no text. Unpack it, or save it as CSV."
        )
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8-sig")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        name = "UTF-8" if encoding == "utf-8-sig" else encoding.upper()
        raise StimulusError(
            f"{path.name}, line {line}: byte 0x{data[error.start]:02x} is not {name}. Save the file as UTF-8."
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise StimulusError(
            f"{path.name}, line {line}: there is a NUL character, so this is no text, or text in another encoding. Save the file as UTF-8."
        )
    return text
