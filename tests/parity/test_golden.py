"""Every shipped example measures what version 0.1 measured, read through the one door.

What is measured (maps, scores, tables of the intact and of the lesioned model) is the same; what is concluded (verdicts, matched draws,
twins, the rungs' own permutations) follows rules that version 0.1 did not have.
"""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import broca

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"
GOLDEN = {folder.name: next(folder.iterdir()) for folder in sorted((HERE / "golden").iterdir())}
"""The run of each example, made by version 0.1."""

CONCLUDED = {"verdict", "claim", "guards", "warnings", "citations", "method", "twins", "nulls", "reliability", "spec"}
"""Parts of a result and tables that rules of today write."""
OF_DRAWS = {"random_median", "random_low", "random_high", "p_random", "p_learned", "f1_random", "f1_random_all", "score", "score_low",
            "score_high", "score_random_all"}  # fmt: skip
"""Columns that hold what matched draws, or untrained networks, did."""

OF_RULES = {"matrix": {"p", "p_holm"}, "edges": {"p"}, "kinds": {"p", "p_holm"}, "units": {"chosen"}}
"""Columns of a table that rules of today write: p of signs that are flipped, and heads that are chosen by what they restore."""
RELATIVE, ABSOLUTE = 1e-4, 2e-5
"""How far a number may be off: the single precision of another processor sums in another order, and a loss is a difference of near numbers."""
LOOSER = {
    r"\.estimate\.\w+|scores\.score_rows": 2e-3,
    r"head_scores\.f1|probe_baselines\.\w+": 6e-3,
    r"head_scores\.p": 0.03,
    r"head_scores\.q": 0.05,
    r"units\.t": 3e-4,
}
"""How far numbers of these names may be off. A classified row whose two nearest classes are as far may fall either way: one of some 768
rows, more in the F1 of a class that has few, and so may one of 40 permutations. A t is a mean by its own error, of differences of near
numbers."""
_NUMBER = re.compile(r"[-−]?\d+(?:\.\d+)?(?:e-?\d+)?")


@pytest.mark.parametrize("name", GOLDEN)
def test_a_run_of_version_0_1_opens(name):
    run = broca.open_run(GOLDEN[name])
    assert run.result["claim"]
    assert list(run.tables)
    assert all(run.tables[table].width for table in run.tables)
    assert run.spec["study"]["kind"] == run.manifest["kind"]


def test_what_version_0_1_called_m_is_read_by_its_name_of_today():
    run = broca.open_run(GOLDEN["routed-weights"])
    assert run.result["selection"]["mask_fraction"] in run.tables["sweep"]["mask_fraction"].to_list()
    assert "m" not in run.tables["sweep"].columns
    assert run.tables["sweep"].columns != pl.read_parquet(run.path / "tables" / "sweep.parquet").columns


@pytest.mark.slow
@pytest.mark.parametrize("name", GOLDEN)
def test_an_example_gives_the_same_numbers(name, tmp_path):
    command = ["run", str(EXAMPLES / f"{name}.toml"), "--out", str(tmp_path), "--threads", "1"]
    code = f"import sys; from broca.cli import main; sys.argv = ['broca', *{command!r}]; main()"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    (path,) = (each for each in tmp_path.iterdir() if each.is_dir() and not each.name.startswith("."))
    now, then = broca.open_run(path), broca.open_run(GOLDEN[name])
    measured = {name for name, value in then.result.items() if value is not None} - CONCLUDED
    assert measured <= now.result.keys()
    assert list(differences({name: then.result[name] for name in measured}, now.result)) == []
    assert set(then.tables) <= set(now.tables)
    for table in then.tables.keys() - CONCLUDED:
        assert list(differ(*(lesioned(each.tables[table]) for each in (then, now)), table)) == []
    assert set(then.tensors) <= set(now.tensors)
    for tensor, values in then.tensors.items():
        if now.manifest["kind"] == "perturb" and tensor.startswith("selected/"):
            continue
        np.testing.assert_allclose(now.tensors[tensor], values, rtol=RELATIVE, atol=ABSOLUTE, err_msg=tensor)


def differences(then: Any, now: Any, where: str = "") -> Iterator[str]:
    """What of a result is otherwise: numbers, and the numbers in texts, whose words may change."""
    if isinstance(then, dict):
        for key, value in then.items():
            if not isinstance(now, dict) or key not in now:
                yield f"{where}.{key} is gone"
            else:
                yield from differences(value, now[key], f"{where}.{key}")
    elif isinstance(then, list):
        if not isinstance(now, list) or len(now) != len(then):
            yield f"{where}: {then} then, {now} now"
        else:
            for i, (a, b) in enumerate(zip(then, now, strict=True)):
                yield from differences(a, b, f"{where}[{i}]")
    elif not same(then, now, next((most for names, most in LOOSER.items() if re.fullmatch(names, where)), ABSOLUTE)):
        yield f"{where}: {then} then, {now} now"


def same(then: Any, now: Any, absolute: float) -> bool:
    if isinstance(then, str) and isinstance(now, str):
        return then == now or numbers_in(then) == numbers_in(now)
    if isinstance(then, float) and isinstance(now, float):
        return math.isclose(then, now, rel_tol=RELATIVE, abs_tol=absolute) or (math.isnan(then) and math.isnan(now))
    return then == now


def numbers_in(text: str) -> list[str]:
    """The numbers of a text, whichever minus it writes."""
    return [each.replace("−", "-") for each in _NUMBER.findall(text)]


def lesioned(table: pl.DataFrame) -> pl.DataFrame:
    """A table without what random draws did, and without components of differences that are rounding."""
    table = table.filter(pl.col("relative_distance") > ABSOLUTE) if "relative_distance" in table.columns else table
    kept = table.drop(OF_DRAWS & set(table.columns)) if "condition" not in table.columns else table
    return kept.filter(pl.col("condition") != "random") if "condition" in kept.columns else kept


def differ(then: pl.DataFrame, now: pl.DataFrame, name: str) -> Iterator[str]:
    """The columns of a table that are otherwise."""
    if missing := [column for column in then.columns if column not in now.columns]:
        yield f"{name} has no {missing}"
    if then.height != now.height:
        yield f"{name} has {then.height} rows then, {now.height} now"
        return
    for column in set(then.columns) - OF_RULES.get(name, set()):
        pairs = zip(then[column].to_list(), now[column].to_list(), strict=True)
        where = f"{name}.{column}"
        wrong = [(i, a, b) for i, (a, b) in enumerate(pairs) if next(differences(a, b, where), None)]
        if wrong:
            yield f"{where}: {len(wrong)} rows, such as {wrong[0]}"


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        ({"a": 1.0}, {"a": 1.0 + 1e-9}, []),
        ({"a": 1.0}, {"a": 1.001}, [".a: 1.0 then, 1.001 now"]),
        ({"a": "5 of 10 units"}, {"a": "5 of 10 heads"}, []),
        ({"a": "5 of 10 units"}, {"a": "6 of 10 units"}, [".a: 5 of 10 units then, 6 of 10 units now"]),
        ({"a": "-0.3 %"}, {"a": "−0.3 %"}, []),
        ({"a": "-0.3 %"}, {"a": "+0.3 %"}, [".a: -0.3 % then, +0.3 % now"]),
        ({"estimate": {"value": 0.866}}, {"estimate": {"value": 0.8655}}, []),
        ({"estimate": {"value": 0.866}}, {"estimate": {"value": 0.86}}, [".estimate.value: 0.866 then, 0.86 now"]),
        ({"a": 1}, {}, [".a is gone"]),
        ({"a": [1, 2]}, {"a": [1]}, [".a: [1, 2] then, [1] now"]),
    ],
)
def test_differences_are_seen(then, now, expected):
    assert list(differences(then, now)) == expected
