"""What a reader sees of a self-test: how well each method finds what was planted."""

from __future__ import annotations

from functools import partial

from broca.evidence.blocks import facts, table
from broca.instruments.selftest.charts import areas
from broca.instruments.selftest.tables import METHODS, POWER
from broca.page.blocks import Block, Chart, Column, Table, Text, Title, section
from broca.page.record import Record
from broca.page.words import number


def blocks(record: Record) -> list[Block]:
    """The page of a self-test."""
    settings = (("truth", "truth"), ("method", "method"), ("auroc", "AUROC", "column"),
                ("average_precision", "AP", "column"), ("precision_at_k", "P@k", "column"),
                ("recall_at_1_percent", "R@1%", "column"), ("k", "k"))  # fmt: skip
    found = table(METHODS, record.rows("methods"), "Methods", *settings, strong=("auroc",))
    words = Text(
        "Units that respond to the stimuli, and units that move the answer, were planted; each method ranks all units."
    )
    surface = (("d", "d", "column"), ("n", "stimuli a side"), ("detected", "detected", "percent"),
               ("analytic", "power of the test", "percent"), ("planted", "planted"),
               ("auroc_t_selective", "AUROC of |t|, selective", "column"),
               ("auroc_attribution_causal", "AUROC of attribution, causal", "column"),
               ("auroc_t_causal", "AUROC of |t|, causal", "column"))  # fmt: skip
    power = table(POWER, record.rows("power"), "Power", *surface)
    return [
        *(Title("Self-test"), facts(record)),
        *section("methods", "What each method finds", words, _areas(record), *_picture(record), found),
        *section("power", "With other effects and numbers of stimuli", power),
    ]


def _picture(record: Record) -> list[Chart]:
    rows = record.tables.get("methods")
    if rows is None:
        return []
    best = rows.sort("auroc", descending=True, nulls_last=True).row(0, named=True)
    words = f"AUROC of each method; best: {best['method']} for {best['truth']} units ({number(best['auroc'])}). 0.5 is chance."
    return [Chart("areas", words, partial(areas, rows))]


def _areas(record: Record) -> Table | None:
    """The area under the ROC curve of each method, by what counts as true."""
    rows = record.rows("methods")
    truths = list(dict.fromkeys(row["truth"] for row in rows))
    found = {(row["method"], row["truth"]): row["auroc"] for row in rows}
    methods = dict.fromkeys(row["method"] for row in rows)
    cells = tuple((method, *(found.get((method, truth)) for truth in truths)) for method in methods)
    columns = (Column("method"), *(Column(truth, "column", METHODS.tip("auroc")) for truth in truths))
    caption = "AUROC of each method, by what counts as true"
    return Table("AUROC", columns, cells, caption, summary=True) if cells else None
