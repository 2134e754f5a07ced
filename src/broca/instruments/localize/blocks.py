"""What a reader sees of a localizer: the map, its layers, what learned nothing, and the stimuli."""

from __future__ import annotations

from broca.evidence.blocks import facts, stimuli, table
from broca.evidence.feature_blocks import features
from broca.evidence.map_blocks import places, twins
from broca.instruments.localize.after import lesion_options
from broca.instruments.localize.tables import ACROSS
from broca.page.blocks import Block, Commands, Text, Title, section
from broca.page.record import Record
from broca.page.shell import command
from broca.page.words import enumeration
from broca.specs.fields import template_options


def blocks(record: Record) -> list[Block]:
    """The page of a localizer."""
    title = Title("Localizer", str(record.part("contrast").get("name") or ""))
    return [
        *(title, facts(record)),
        *(twins(record) + places(record) + features(record) + _across(record) + stimuli(record) + _missing(record)),
    ]


def _across(record: Record) -> list[Block]:
    settings = (("contrast", "contrast"), ("r", "r", "column"), ("shared", "shared"), ("dice", "Dice", "column"),
                ("chance_dice", "by chance", "column"), ("p", "p", "p"))  # fmt: skip
    return section("across", "Other stimuli", table(ACROSS, record.rows("across"), "Further contrasts", *settings))


def _missing(record: Record) -> list[Block]:
    """What only a lesion tells, and the command that makes one."""
    absent = [] if record.arrays.get("t") else ["the map of t"]
    absent += [] if "layers" in record.tables else ["where the selected units lie, layer by layer"]
    absent += [
        "what a lesion costs, beside random draws",
        "what shortcuts would score",
        "the items whose answers change",
    ]
    place, where = record.place
    chat = template_options(record.study.get("chat", "auto"))
    shown = lesion_options(str(record.study.get("contrast")), record.study.get("options", {}), record.model_name)
    typed = command("lesion", record.model_name, options={"localizer": place, **shown, **chat, **record.loading})
    words = Text(f"This run does not hold {enumeration(absent)}.")
    return section("missing", "Not in this run", words, Commands(f"{where}, this command produces it", (typed,)))
