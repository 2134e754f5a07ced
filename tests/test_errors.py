"""Each kind of error explains itself: a short name, its causes and what to do, on the page and in the terminal."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from broca import cli, errors
from broca.errors import BrocaError, first_line, kinds

DOCS = Path(__file__).resolve().parents[1] / "docs"
CLASSES = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, BrocaError)]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_kind_has_words_of_its_own(kind):
    assert {"short", "cause", "remedy"} <= vars(kind).keys()
    assert kinds()[kind.short] is kind
    assert re.fullmatch("[a-z]+", kind.short)


def test_the_page_is_what_would_be_written_and_has_an_anchor_for_each():
    page = (DOCS / "errors.md").read_text(encoding="utf-8")
    assert page == runpy.run_path(str(DOCS / "errors.py"))["page"](), "make tables"
    assert set(re.findall(r"^## (\w+)$", page, re.MULTILINE)) == kinds().keys()


def test_what_a_remedy_points_to_is_there():
    for kind in kinds().values():
        for name in re.findall(r"docs/[\w-]+\.md", kind.cause + kind.remedy):
            assert (DOCS.parent / name).is_file(), name
        for command in re.findall(r"`broca ([a-z]+)", kind.cause + kind.remedy):
            assert command in cli.app or command == "COMMAND", command


def test_a_message_ends_with_the_name_that_is_explained(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["broca", "verify"])
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    assert capsys.readouterr().err.rstrip().endswith("[spec]")
    monkeypatch.setattr("sys.argv", ["broca", "explain", "[spec]"])
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    assert " ".join(errors.SpecError.remedy.split()[:4]) in " ".join(capsys.readouterr().out.split())
    monkeypatch.setattr("sys.argv", ["broca", "explain", "spek"])
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    assert "'spec'" in capsys.readouterr().err


def test_an_error_of_another_package_keeps_the_name_of_its_kind():
    class Theirs(errors.ServerError):
        """Of somebody else."""

    assert Theirs.short == "server"
    assert kinds()["server"] is errors.ServerError


@pytest.mark.parametrize(
    ("error", "words"),
    [(ValueError("\n  so it is \nmore"), "so it is"), (ValueError(" \n "), "ValueError"), (KeyError(), "KeyError")],
)
def test_what_an_error_says_first(error, words):
    assert first_line(error) == words
