"""A process that decodes Parquet files, which are data of strangers: it may take so much memory, and is killed when it takes too long.

Run as ``python -m broca.storage.parquet_child``; one line of JSON in, one out.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

_ROOM = 1 << 29
"""Bytes that a table may fill as plain rows, whatever its file's size."""
_PER_BYTE = 16
"""And beside them for each byte of its file."""
_CELL = 64
"""Bytes that a cell fills, beside its text."""
_MEMORY = 1 << 30
"""Bytes beside what the interpreter and polars take, for decoding; and twice `_PER_BYTE` for each byte of the file."""


def main() -> None:
    """Answer until the input ends."""
    os.environ.setdefault("POLARS_MAX_THREADS", "2")  # each takes room of its own
    import polars as pl

    pl.DataFrame({"a": [1]}).lazy().collect()  # its threads are there before what is held is counted
    base = _address_space()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        try:
            asked = json.loads(line)
            size = Path(asked["from"]).stat().st_size
            _limit(base, size)
            frame = pl.read_parquet(asked["from"], use_pyarrow=False, use_statistics=False)
            if asked["plain"]:
                _check(frame, size)
            frame.write_ipc(asked["to"], compression="uncompressed")
            answer = {
                "header": pl.read_parquet_metadata(asked["from"]).get(asked["header"]) if asked["header"] else None
            }
        except MemoryError:
            answer = {"error": "it takes more memory than a file of its size may"}
        except (Exception, pl.exceptions.PanicException) as error:  # noqa: BLE001 - damage is of any kind
            answer = {"error": next(iter(str(error).splitlines()), type(error).__name__)[:200].rstrip(".")}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _check(frame: Any, size: int) -> None:
    """Refuse a table that would fill more room than its file may.

    Raises:
        ValueError: if it would.
    """
    room = _ROOM + _PER_BYTE * size
    if (claimed := frame.height * max(frame.width, 1) * _CELL) > room:
        raise ValueError(
            f"its {frame.height:,} rows would fill {claimed:,} bytes, {size:,} of a file may fill {room:,}"
        )
    if (filled := sum(_plain_size(column) for column in frame.iter_columns())) > room:
        raise ValueError(f"its cells would fill {filled:,} bytes, {size:,} of a file may fill {room:,}")


def _plain_size(column: Any) -> int:
    """Bytes that a column fills as plain values."""
    import polars as pl

    more = 0
    match column.dtype:
        case pl.List() | pl.Array():
            more = _plain_size(column.drop_nulls().explode())
        case pl.Struct():
            more = sum(_plain_size(part) for part in column.struct.unnest().iter_columns())
        case pl.Binary():
            more = int(column.bin.size().cast(pl.UInt64).sum())
        case pl.String() | pl.Categorical() | pl.Enum():
            more = int(column.cast(pl.String).str.len_bytes().cast(pl.UInt64).sum())
    return _CELL * len(column) + more


def _address_space() -> int:
    """Bytes of address space that this process has; 0 where the platform does not tell."""
    try:
        import resource

        with open("/proc/self/statm", encoding="ascii") as pages:  # noqa: PTH123
            return int(pages.read().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):
        return 0


def _limit(base: int, size: int) -> None:
    """Bound the memory, where the platform can."""
    if base:
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_AS)
        wanted = base + _MEMORY + 2 * _PER_BYTE * size
        resource.setrlimit(resource.RLIMIT_AS, (wanted if most < 0 else min(wanted, most), most))


if __name__ == "__main__":
    main()
