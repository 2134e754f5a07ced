"""How far the work is: lines where there is no terminal, bars with the remaining time where there is one."""

from __future__ import annotations

import json
from io import StringIO

import pytest

import broca
import zoo
from broca.cli import progress as telling
from broca.cli.console import _Console
from broca.cli.progress import progress
from broca.page.words import duration


class Clock:
    """A time that is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_phase_is_named_once_and_then_told_of_each_minute(clock, capsys):
    with progress(clock) as tell:
        for done in range(41):
            clock.now = 10.0 * done
            tell("scoring", done, 40)
        tell("attributing", 0, 1)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "scoring …",
        *(f"scoring: {done} of 40, about {left} left" for done, left in zip(range(6, 37, 6), _LEFT, strict=True)),
        "attributing …",
    ]


_LEFT = ("6 minutes", "5 minutes", "4 minutes", "3 minutes", "2 minutes", "40 s")
"""Of 10 s a step after 6, 12, ... of 40 steps; 5.67 minutes are 6."""


def test_what_was_done_before_does_not_count_as_pace(clock, capsys):
    with progress(clock) as tell:
        tell("scoring", 90, 100)
        clock.now = 60
        tell("scoring", 90, 100)
        clock.now = 120
        tell("scoring", 92, 100)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["scoring …", "scoring: 90 of 100", "scoring: 92 of 100, about 8 minutes left"]


def test_a_bar_says_the_remaining_time_of_steps_that_take_minutes(clock, monkeypatch):
    shown = StringIO()
    monkeypatch.setattr(telling, "err", _Console(file=shown, force_terminal=True, width=120))
    with progress(clock) as tell:
        for done in range(3):
            clock.now = 120.0 * done
            tell("scoring", done, 10)
    assert "0:16:00" in shown.getvalue()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (89, "89 s"), (95, "2 minutes"), (1800, "30 minutes"), (5400, "1.5 hours"), (36000, "10.0 hours")],
)
def test_durations_are_rounded(seconds, words):
    assert duration(seconds) == words


def test_every_step_of_a_lesion_is_named(tmp_path):
    """The intact model, the fills and the attribution too; each ends where it says."""
    rows = [
        {"prompt": f"where is {i}?", "choices": ["box", "bag"], "answer": i % 2, "group": str(i % 6)} for i in range(12)
    ]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    seen: dict[str, tuple[int, int]] = {}
    test = broca.CausalTest(
        localizer=broca.Localize(contrast="language", options={"n": 8}, sites="*.mlp_act", permutations=0),
        items=str(tmp_path / "q.jsonl"), percent=5, draws=2, gate="mark", n_bootstrap=50,
    )  # fmt: skip
    test.run(zoo.lm("llama"), progress=lambda what, done, total: seen.update({what: (done, total)}))
    assert [*seen] == [
        "scoring the intact model",
        "localizing",
        "measuring activations",
        "scoring lesions",
        "attributing",
        "reading tokens",
    ]
    assert {what: done for what, (done, total) in seen.items() if done != total} == {}, seen


def test_items_are_counted_while_they_are_scored(typed, here, monkeypatch):
    told: list[tuple[str, int, int]] = []
    monkeypatch.setattr(telling.Lines, "tell", lambda _, *step: told.append(step))
    rows = [
        {"prompt": f"where is {i}?", "choices": ["box", "bag"], "answer": i % 2, "group": str(i)} for i in range(150)
    ]
    (here / "many.jsonl").write_text("\n".join(map(json.dumps, rows)))
    code, _, err = typed("score", "tiny", "--items", "many.jsonl")
    assert code == 0, err
    assert told == [("scoring items", done, 150) for done in (0, 64, 128, 150)]
