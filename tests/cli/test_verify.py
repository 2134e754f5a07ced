"""`broca verify` says of each thing whether it is as it was written, and its exit code says so too."""

from __future__ import annotations

import shutil
from pathlib import Path

GOLDEN = Path(__file__).parents[1] / "parity" / "golden" / "language-ll"


def test_what_is_as_written_and_what_is_not(typed, tmp_path):
    good, bad = tmp_path / "good", tmp_path / "bad"
    for place in (good, bad):
        shutil.copytree(next(GOLDEN.iterdir()), place)
    code, out, _ = typed("verify", good)
    assert (code, "as written" in out) == (0, True)
    table = bad / "tables" / "layers.parquet"
    table.write_bytes(table.read_bytes()[:-1] + b"\0")
    code, out, _ = typed("verify", good, bad)
    assert code == 1
    assert "layers.parquet" in out
    assert f"{good}  run  as written" in out
