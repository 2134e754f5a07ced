"""A summary fits on a screen, whatever a run holds; with all of it, nothing is left out."""

from __future__ import annotations

import pytest

from broca.cli import printing, terminal
from broca.page.blocks import (
    Cell,
    Chart,
    Column,
    Commands,
    Details,
    Facts,
    Image,
    Ladder,
    Line,
    Matrix,
    Note,
    Quote,
    Quotes,
    Section,
    Step,
    Table,
    Text,
    Title,
    Token,
    Tokens,
    Tree,
)

WORDS = "a text that is longer than any line of a terminal could ever be, and goes on and on. " * 3
RUNGS = Ladder(
    "No: not causal.", tuple(Step(f"rung{i}", "failed", WORDS + f"last {i}") for i in range(5)), summary=True
)
ROWS = Table("Kinds", (Column("kind"), Column("n"), Column("hidden", brief=False)), tuple((f"row {i}", i, f"far {i}") for i in range(40)), summary=True)  # fmt: skip
MANY = [
    Title("Probe", "of things"),
    Facts((("model", "m"), ("heads", "1.2, 3.4")), summary=True),
    Section("a", "A", (RUNGS, Text("only in full"), Details("folded", (ROWS,)))),
    Section("b", "B", tuple(Note(f"warning {i}. {WORDS}", summary=True) for i in range(9))),
]
EACH = {
    "words": Text("words"),
    "broca run x": Commands("here", ("broca run x",)),
    "chart c: a curve": Chart("c", "a curve", lambda: None),
    "0.5 *": Matrix("m", "layer", ("0", "1"), (("3", (Cell("0.5", framed=True), None)),)),
    "map at z": Image("z", {}, {}),
    "lost it-1": Quotes((Quote("what?", "it-1", "lost"),)),
    "clean: a b  yes": Tokens("t", "lost 1", (Line("clean", (Token("a "), Token("b", "edited")), "yes"),)),
    "1  premise": Tree("t", ({"height": 1, "said": "premise"},)),
    "hidden": ROWS,
    "last 4": RUNGS,
}


@pytest.fixture(params=[60, 80, 200])
def lines(request, capsys, monkeypatch):
    def shown(show, *given):
        monkeypatch.setattr(terminal.out, "_width", request.param, raising=False)
        show(*given)
        return capsys.readouterr().out.splitlines()

    return shown


def test_a_summary_is_claim_sentence_a_line_a_rung_and_what_fits(lines):
    out = lines(printing.summary, "A claim. No: not causal.", MANY)
    assert len(out) <= printing.LINES - printing.FOLLOWING + 1
    assert out[1] == "A claim."
    rungs = [line for line in out if line.startswith("rung")]
    assert [line.split()[:2] for line in rungs] == [[f"rung{i}", "no"] for i in range(5)]
    text = "\n".join(out)
    assert text.count("No: not causal.") == 1
    assert any(line.startswith("heads  1.2, 3.4") for line in out)
    assert "row 0" in text
    assert "rows more: they are in the report" in text
    assert "warnings more" in text or "more: they are in the report." in out[-1]
    assert "hidden" not in text
    assert "only in full" not in text


@pytest.mark.parametrize("words", EACH)
def test_everything_holds_every_kind_of_block(lines, words):
    text = " ".join(lines(printing.everything, "A claim.", [Section("s", "S", (Details("d", (EACH[words],)),))]))
    assert words in " ".join(text.split()) or words in text
    assert "A claim." in text


def test_what_a_run_says_is_no_markup_and_acts_on_nothing(lines):
    text = "\n".join(
        lines(printing.everything, "[red]x[/]", [Text("\x1b[31m[bold]y"), Table("[t]", (Column("[a]"),), (("[b]",),))])
    )
    for words in ("[red]x[/]", "⟨U+001B⟩[31m[bold]y", "[t]", "[a]", "[b]"):
        assert words in text
    assert "\x1b" not in text
