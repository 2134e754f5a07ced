from __future__ import annotations

import itertools
from contextlib import suppress

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broca.compat.wu2025.results import CELL_SCHEMA, COLUMNS, published_cells, read_tree, summary, write_tree
from broca.errors import StimulusError
from broca.stimuli.benchmarks import benchmark
from broca.stimuli.blind_rules import reports_reality, says_yes
from broca.stimuli.cell_items import cells

SCENES = {
    "contents": ("false belief", "correct label", "informed protagonist", "open container"),
    "transfer": ("false belief", "no transfer", "informed protagonist", "present protagonist"),
}
SIZES = {"contents": 20, "transfer": 20, "irony": 12}


def whole(right, m=0.0, repetition=1):
    """Every published cell; `right` says of a task and scene whether it is right."""
    rows = [
        (repetition, m, task, number, f"{scene} ({order})", int(right(task, scene)))
        for task, scenes in SCENES.items()
        for number, scene, order in itertools.product(range(20), scenes, "FT")
    ]
    rows += [
        (repetition, m, "irony", n, scene, int(right("irony", scene)))
        for n in range(12)
        for scene in ("Irony", "Irony reversed")
    ]
    return pl.DataFrame(rows, schema=CELL_SCHEMA, orient="row")


def test_the_golden_rows():
    perfect = summary(whole(lambda *_: True))
    assert perfect.columns == list(COLUMNS)
    assert len(COLUMNS) == 14
    assert perfect.row(0) == (0.0, 160.0, 0.0, 100.0, 0.0, 160.0, 0.0, 100.0, 0.0, 24.0, 0.0, 100.0, 0.0, 100.0)
    reporter = summary(whole(lambda _, scene: scene not in ("false belief", "Irony")))
    assert reporter.row(0) == (0.0, 120.0, 0.0, 75.0, 0.0, 120.0, 0.0, 75.0, 0.0, 12.0, 0.0, 50.0, 0.0, 75.0)


def test_a_reporter_on_the_real_file_fills_the_golden_row(shared):
    path = shared / "data/tom_cells/tom_tasks.json"
    if not path.is_file():
        pytest.skip("no sample of the task file")
    items = benchmark(path)
    said = [(i.id, (says_yes(i) if i.tags["task"] == "irony" else reports_reality(i)) == i.answer) for i in items]
    rows = pl.concat(
        [pl.DataFrame(said, schema=["id", "correct"], orient="row").with_columns(repetition=r, m=1e-5) for r in (1, 2)]
    )
    found = published_cells(cells(items, rows, by=["repetition", "m"]))
    assert found.schema == CELL_SCHEMA
    assert found.group_by("repetition", "task", maintain_order=True).len()["len"].to_list() == [160, 160, 24] * 2
    assert summary(found).row(0) == (1e-5, 120.0, 0.0, 75.0, 0.0, 120.0, 0.0, 75.0, 0.0, 12.0, 0.0, 50.0, 0.0, 75.0)
    assert set(found["cell"]) == {
        *(f"{scene} ({order})" for scenes in SCENES.values() for scene in scenes for order in "FT"),
        "Irony",
        "Irony reversed",
    }


def test_means_and_variances_are_over_repetitions():
    ends = [whole(lambda task, _, r=r: r == 1 or task == "transfer", repetition=r) for r in (1, 2, 3)]
    row = summary(pl.concat(ends)).row(0, named=True)
    assert (row["unexpected_total_mean"], row["unexpected_total_var"]) == pytest.approx(
        (160 / 3, np.var([160, 0, 0], ddof=1))
    )
    assert (row["transfer_percent_mean"], row["transfer_percent_var"]) == (100.0, 0.0)
    assert row["avg_percent_unexpected_transfer"] == pytest.approx((100 + 50 + 50) / 3)


def test_a_tree_is_read_back_as_it_was_written(tmp_path):
    grid = (0.0, 9.999999999999999e-06, 5.2e-05)
    table = pl.concat([whole(lambda _, s, m=m: m < 1e-5 or "false" in s, m, r) for r in (1, 2) for m in grid])
    files = write_tree(table, tmp_path / "tom")
    assert len(files) == 18
    assert (tmp_path / "tom/2/9.999999999999999e-06/unexpected/results.csv") in files
    lines = (tmp_path / "tom/1/5.2e-05/transfer/results.csv").read_text().splitlines()
    assert lines[0].startswith(",false belief (F),false belief (T),no transfer (F)")
    assert lines[1] == "0,1,1,0,0,0,0,0,0"
    assert len(lines) == 21
    (tmp_path / "tom/notes/x/irony").mkdir(parents=True)
    (tmp_path / "tom/notes/x/irony/results.csv").write_text("not ours")
    back = read_tree(tmp_path / "tom")
    order = ["repetition", "m", "task", "number", "cell"]
    assert back.sort(order).equals(table.sort(order))
    assert summary(back).equals(summary(table))
    assert summary(back)["m"].to_list() == sorted(grid)


def test_a_task_that_was_not_run_is_null():
    row = summary(whole(lambda *_: True).filter(pl.col("task") != "transfer")).row(0, named=True)
    assert row["transfer_total_mean"] is row["avg_percent_unexpected_transfer"] is None
    assert row["unexpected_total_mean"] == 160


@given(
    right=st.lists(st.tuples(st.integers(1, 3), st.sampled_from([0.0, 1e-5]), st.booleans()), min_size=1, max_size=40)
)
def test_the_summary_against_a_loop(right):
    rows = [(r, m, "transfer", i, "c", int(ok)) for i, (r, m, ok) in enumerate(right)]
    found = summary(pl.DataFrame(rows, schema=CELL_SCHEMA, orient="row"))
    for row in found.rows(named=True):
        own = {}
        for r, m, ok in right:
            if m == row["m"]:
                own.setdefault(r, []).append(ok)
        percents = [100 * sum(v) / len(v) for v in own.values()]
        assert row["transfer_percent_mean"] == pytest.approx(np.mean(percents))
        assert row["transfer_total_var"] == pytest.approx(
            np.var([sum(v) for v in own.values()], ddof=1) if len(own) > 1 else 0
        )


BAD = {
    "a word": ",a\n0,yes\n",
    "two": ",a\n0,2\n",
    "a short line": ",a,b\n0,1\n",
    "no item": ",a\n,1\n",
    "one column": "a\n1\n",
    "NaN": ",a\n0,nan\n",
    "quotes": ',a\n0,"1\n',
    "no UTF-8": b",\xff\n0,1\n",
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_malformed_results(tmp_path, content):
    path = tmp_path / "1/1e-05/irony/results.csv"
    path.parent.mkdir(parents=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(StimulusError, match=r"results.csv"):
        read_tree(tmp_path)


def test_a_folder_without_results(tmp_path):
    with pytest.raises(StimulusError, match=r"has no results\. Give the folder tom"):
        read_tree(tmp_path)


@given(content=st.text(st.sampled_from('01,.e-\n"na '), max_size=60))
def test_any_results(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any/1/1e-05/irony/results.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    with suppress(StimulusError):
        assert set(read_tree(path.parents[3])["correct"]) <= {0, 1}
