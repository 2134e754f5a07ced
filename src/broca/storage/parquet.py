"""Parquet files of anybody, decoded at arm's length: a process of its own reads them, within bounds of time and memory.

A few bytes of a footer may claim a milliard rows, and polars ends its process on some of what is damaged. What comes back is Arrow
that our own process wrote.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from broca.errors import BrocaError
from broca.storage.child import Child, ChildError

if TYPE_CHECKING:
    import polars as pl

SECONDS = 120.0
"""That one file may take."""

_CHILD = Child("broca.storage.parquet_child", SECONDS)


def read_parquet(
    content: bytes, *, name: str, error: type[BrocaError], plain: bool = False, header: str = ""
) -> tuple[pl.DataFrame, str | None]:
    """The table in the content of a Parquet file, and one text of its metadata.

    Args:
        content: of the file.
        name: what it is, for the error: a path.
        error: the class of the error.
        plain: whether it is to become plain rows, which take so much more room that there may be fewer of them.
        header: the key of the metadata that is wanted.

    Raises:
        BrocaError: of the class `error`, if it is damaged, or holds more than its size gives it room for.
    """
    import polars as pl

    # The magic number at both ends, looked at first: no process is needed to tell a text from a table.
    if len(content) < 12 or content[:4] != b"PAR1" or content[-4:] != b"PAR1":
        raise error(f"{name} is not a Parquet file (no PAR1 at its ends). Write it with polars or pandas.")
    with tempfile.TemporaryDirectory(prefix="broca-") as folder:
        source, made = Path(folder, "in.parquet"), Path(folder, "out.arrow")
        try:
            source.write_bytes(content)
            answer = _CHILD.ask({"from": str(source), "to": str(made), "plain": plain, "header": header})
        except ChildError as reason:
            answer = {"error": str(reason)}
        except OSError as reason:
            answer = {"error": f"there is no room to unpack it ({reason.strerror or reason})"}
        if "error" in answer:
            raise error(f"{name} is a damaged Parquet file: {answer['error']}.")
        return pl.read_ipc(made.read_bytes(), use_pyarrow=False), answer["header"]
