"""What a reader sees of a causal test: what the lesion does, to which abilities, and where the selection lies."""

from __future__ import annotations

from broca.evidence.blocks import facts, stimuli
from broca.evidence.feature_blocks import features
from broca.evidence.lesion_blocks import baselines, doses, flipped_blocks, matrix
from broca.evidence.map_blocks import places, twins
from broca.evidence.token_blocks import shaded_items
from broca.page.blocks import Block, Commands, Text, Title, section
from broca.page.record import Record
from broca.page.shell import YOUR_CONTRAST, command
from broca.page.words import enumeration

_TOLD = {
    "layers": "where the selected units lie, layer by layer",
    "doses": "accuracy against the share lesioned, beside random draws",
    "matrix": "the effect on each ability, beside random draws",
    "baselines": "what shortcuts would score",
    "flipped": "the items whose answers changed",
}
"""What a page without each table does not show."""


def blocks(record: Record) -> list[Block]:
    """The page of a causal test."""
    own = next((row.get("ability") for row in record.rows("matrix") if row.get("own")), None)
    title = Title("Causal test", str(own or record.part("contrast").get("name") or ""))
    curves = doses(record, claimed=record.study.get("percent"), ranked=not _without_ranking(record))
    parts = (twins(record), curves, matrix(record), places(record), features(record), baselines(record), flipped_blocks(record),
             shaded_items(record), stimuli(record), _missing(record))  # fmt: skip
    return [title, facts(record), *(block for part in parts for block in part)]


def _without_ranking(record: Record) -> bool:
    """Whether units were given, so that there is no ranking to show: a localizer would make one."""
    return "localizer" not in record.study and not record.arrays.get("t")


def _missing(record: Record) -> list[Block]:
    absent = [what for name, what in _TOLD.items() if name not in record.tables]
    if not record.arrays.get("t"):
        absent.insert(0, "the map of t")
    if not absent:
        return []
    place, where = record.place
    if _without_ranking(record):
        typed = command("localize", record.model_name, options={"contrast": YOUR_CONTRAST, **record.loading})
    else:
        typed = command("run", place)
    words = Text(f"This run does not hold {enumeration(absent)}.")
    return section("missing", "Not in this run", words, Commands(f"{where}, this command produces it", (typed,)))
