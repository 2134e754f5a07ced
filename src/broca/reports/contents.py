"""What a run's page holds, from the top down: what its instrument says, framed by what every run has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from broca.evidence.blocks import checks, ladder, ledger, second_wording
from broca.evidence.prompt_blocks import first_prompt
from broca.instruments.parts import blocks_by_name
from broca.page.blocks import Block, Column, Commands, Details, Facts, Heading, Section, Table, Text, Title, section
from broca.page.record import Record
from broca.page.shell import command
from broca.page.words import as_text, leaves
from broca.reports.downloads import downloads
from broca.reports.method import fields_without_words, method_text
from broca.reports.works import references


def contents(record: Record) -> list[Block]:
    """Title and facts, the ladder, the instrument's sections, checks, method, how to do it again, provenance."""
    own = list(blocks_by_name(record.instrument)(record))
    top: list[Block] = [block for block in own if isinstance(block, Title | Facts)]
    if not any(isinstance(block, Title) for block in top):
        top.insert(0, Title(record.instrument.capitalize() or "Study"))
    rest = [block for block in own if not isinstance(block, Title | Facts)]
    return [
        *top, *ladder(record), *second_wording(record), *rest, *first_prompt(record), *ledger(record), *checks(record), *_method(record), *_again(record), *downloads(record), *_provenance(record),
    ]  # fmt: skip


def _method(record: Record) -> list[Block]:
    spec = dict(record.study)
    # Where no field writes any, the result does; results of version 0.1 hold words that fields write now.
    paragraphs = method_text(spec, record.result) or [str(record.result.get("method") or "")]
    fields, works = fields_without_words(spec, record.result), works_of(record)
    folded = (
        [Details("Every other choice of the spec", (_pairs("Fields of the spec", "field", fields),))] if fields else []
    )
    cited = [Heading("References"), *(Text(work) for work in works)] if works else []
    texts = [Text(text) for text in paragraphs if text]
    return [Section("method", "Method", (*texts, *folded, *cited))]


def works_of(record: Record) -> list[str]:
    """The works that the run's method rests on, a line each."""
    return references(" ".join(method_text(dict(record.study), record.result)), record.entries("citations"))


def _again(record: Record) -> list[Block]:
    """The command that does the run again, and in which folder it is typed."""
    place, where = record.place
    model = {} if record.model.get("name") else {"model": record.model_name}
    return section("repeat", "Do it again", Commands(where, (command("run", place, options=model),)))


def _provenance(record: Record) -> list[Block]:
    stored = {k: v for k, v in record.manifest.items() if k not in {"files", "guards", "warnings", "prompt"}}
    manifest, files = _leaves(stored), _leaves(record.manifest.get("files"))
    folds = [Details("Versions, hashes, seeds and machine", (_pairs("Manifest", "entry", manifest),))]
    folds += [Details("Files of the run", (_pairs("Files", "file", files),))] if files else []
    return section("provenance", "Provenance", *folds)


def _leaves(values: Any) -> list[tuple[str, str]]:
    return [(name, as_text(value)) for name, value in leaves(values)] if isinstance(values, Mapping) else []


def _pairs(title: str, name: str, rows: list[tuple[str, str]]) -> Table:
    return Table(title, (Column(name), Column("value")), tuple(rows), texts=True)
