"""Answers on disk: what is damaged is computed again, said once, and never given out."""

from __future__ import annotations

import contextlib
import sqlite3
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from broca.errors import RunError
from broca.scoring.answer_store import AnswerStore

ASKED = [SimpleNamespace(args=(f"q{i}", i)) for i in range(8)]


def truth(requests):
    return [[request.args[1] * 1.5, f"answer {request.args[0]} é"] for request in requests]


def filled(path):
    assert AnswerStore(path)(["m"], ASKED, truth) == truth(ASKED)
    return path


def test_what_is_kept_is_not_asked_again(tmp_path):
    path = filled(tmp_path / "a.sqlite")
    assert AnswerStore(path)(["m"], ASKED, lambda _: 1 / 0) == truth(ASKED)
    assert AnswerStore(path)(["other"], ASKED, lambda some: ["new"] * len(some)) == ["new"] * 8


@pytest.mark.parametrize(
    "change",
    ["value = replace(value, 'answer', 'Answer')", "value = '[1]'", "sum = 'x'", "value = x'00ff'", "value = ''"],
)
def test_a_changed_entry_is_computed_again_and_said_once(tmp_path, caplog, change):
    path = filled(tmp_path / "a.sqlite")
    with sqlite3.connect(path) as store:
        store.execute(f"UPDATE kept SET {change} WHERE rowid IN (2, 5)")
    asked = []
    found = AnswerStore(path)(["m"], ASKED, lambda some: asked.extend(some) or truth(some))
    assert found == truth(ASKED)
    assert len(asked) == 2
    assert [record.getMessage().partition(" kept")[0] for record in caplog.records] == ["2 of 8 answers"]
    assert AnswerStore(path)(["m"], ASKED, lambda _: 1 / 0) == truth(ASKED)


@given(at=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
@example(at=0.33203125, flip=128)
def test_no_damaged_byte_gives_a_wrong_answer(tmp_path_factory, at, flip):
    path = filled(tmp_path_factory.mktemp("kept") / "a.sqlite")
    content = bytearray(path.read_bytes())
    content[int(at * len(content))] ^= flip
    path.write_bytes(content)
    with contextlib.suppress(RunError):  # of a store that is no store any more
        assert AnswerStore(path)(["m"], ASKED, truth) == truth(ASKED)


@pytest.mark.parametrize("path", ["", "x" * 300, "a\0b", "/dev/full", "folder"])
def test_places_that_cannot_keep_anything(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(RunError, match="cannot be kept"):
        AnswerStore(path)(["m"], ASKED, truth)
