"""No pattern of the package takes a time that grows with the square of a text: a stranger's text may have 20,000 letters and no blank.

Each is tried on what repeats: signs, pairs of them, and pieces of what it matches itself, behind pieces of that.
"""

from __future__ import annotations

import ast
import importlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import regex
from hypothesis import HealthCheck, Phase, example, given, seed, settings
from hypothesis import strategies as st

import broca
from broca.scoring import answers, judge
from broca.stimuli.perturb import words
from broca.stimuli.perturb.control import _CLOSE, _OPEN_ENDED, _places
from broca.stimuli.published import listing, mmtom
from broca.stimuli.trees import proofs
from broca.storage import secrets
from broca.writing import CLUSTER, LETTERS, WORD_CHARACTER

SOURCE = Path(broca.__file__).parent
LIBRARIES = {"re": re, "regex": regex}
AT_ONE_PLACE = {"match", "fullmatch"}
ANYWHERE = {"search", "finditer", "findall", "sub", "subn", "split"}
BOUNDED = {"broca.spacing._FULL"}
"""Those that see the last 64 characters of a text alone."""

PIECES = (
    *"x1A_\"' ()[]{}<>,.;:!?-=*+/`$#%|\\\n\t\r\u0301漢½กิ🇦",
    *("e\u0301", "\r\n", "\n ", "x ", "x\n", "x+", "x.", "1,", "1.", "1 ", "(1", "a@", "[ [", "'' ", '" ', "x-", "x_", "=1", "Ab", "A) "),
    *("<x", "{x", "<|", "[{", "Options:", "Question:", "Hint:", "(a)", "\\boxed{", "not "),
)  # fmt: skip
STARTS = ("", "x", "[", "漢", "ก", "Hint:", "Question:", "\\boxed{")
SHORT = 1000


def patterns() -> Iterator[tuple[str, re.Pattern | regex.Pattern, set[str]]]:
    """Every pattern of the package that stands in a module or as a constant in a call, and how it is used."""
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text()
        if not re.search(r"^import (re|regex)$", text, re.MULTILINE):
            continue
        name = ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")
        uses: dict[str, set[str]] = {}
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            of, how = ast.unparse(node.func.value), node.func.attr
            uses.setdefault(of, set()).add(how)
            if of in LIBRARIES and how in AT_ONE_PLACE | ANYWHERE and isinstance(node.args[0], ast.Constant):
                flags = [each for each in ("IGNORECASE", "DOTALL", "MULTILINE") if f".{each}" in ast.unparse(node)]
                total = sum(getattr(LIBRARIES[of], each) for each in flags)
                yield f"{name}:{node.lineno}", LIBRARIES[of].compile(node.args[0].value, total), {how}
        for own, value in vars(importlib.import_module(name)).items():
            if isinstance(value, re.Pattern | regex.Pattern) and f"{own} = " in text:
                yield f"{name}.{own}", value, uses.get(own, {"search"})


def matches_of(pattern: re.Pattern | regex.Pattern) -> set[str]:
    """Some texts that a pattern of the standard library matches."""
    found: set[str] = set()
    if isinstance(pattern, re.Pattern):

        @seed(1)
        @settings(
            max_examples=6,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(st.from_regex(pattern))
        def collect(text: str) -> None:
            found.add(text[:30])

        collect()
    return found


def texts(pattern: re.Pattern | regex.Pattern) -> set[tuple[str, str]]:
    """How texts begin, and what repeats in them."""
    own = matches_of(pattern)
    behind = {(text[:at], text[at : at + width]) for text in own for at in range(len(text)) for width in (1, 2)}
    blanks = {(text[:at], blank) for text in own for at in range(1, len(text) + 1) for blank in " \n"}
    return behind | blanks | {(start, piece) for start in STARTS for piece in PIECES}


def seconds(pattern: re.Pattern | regex.Pattern, how: str, text: str, tries: int = 1) -> float:
    """Of this process's own time, that looking through a text takes; the least of some tries."""
    taken = []
    for _ in range(tries):
        begin = time.process_time()
        if how in AT_ONE_PLACE:
            getattr(pattern, how)(text)
        else:
            for _found in pattern.finditer(text):
                pass
        taken.append(time.process_time() - begin)
    return min(taken)


def is_square(pattern: re.Pattern | regex.Pattern, how: str, start: str, piece: str) -> bool:
    """Whether a text of eight times the length takes more than 22 times as long: 8 times would be fair, and 64 the square."""
    for end in ("", "\0"):

        def text(n: int, end: str = end) -> str:
            return start + (piece * n)[:n] + end

        if seconds(pattern, how, text(SHORT)) < 4e-4:
            continue
        one, eight = (seconds(pattern, how, text(n * SHORT), tries=3) for n in (1, 8))
        if eight > max(22 * one, 0.01):
            return True
    return False


EVERY = [
    pytest.param(pattern, how, id=f"{name}-{how}")
    for name, pattern, uses in patterns()
    for how in sorted({use if use in AT_ONE_PLACE else "finditer" for use in uses & (AT_ONE_PLACE | ANYWHERE)})
    if name not in BOUNDED
]


@pytest.mark.parametrize(("pattern", "how"), EVERY)
def test_no_pattern_takes_the_square_of_a_text(pattern, how):
    assert not [each for each in sorted(texts(pattern)) if is_square(pattern, how, *each)]


def test_the_patterns_are_there_and_a_square_is_seen():
    assert len(EVERY) > 80
    assert is_square(re.compile(r"\s*x"), "search", "", " ")
    assert is_square(regex.compile(r"[\w.]+[@#]"), "finditer", "", "x")


# -- those that were quick to write and slow to run, and what took their place -----------------------------------------


def occurring(pattern: str, text: str, library=regex, flags: int = 0) -> list[tuple[int, int]]:
    return [found.span() for found in library.compile(pattern, flags).finditer(text)]


@settings(max_examples=200)
@given(st.text(st.sampled_from("ab1½²_.,+-@= \n(`é\u0301ก{}$"), max_size=24))
@example("½foo+a@b.c½d")
@example("a@b.c+d@e.f-1")
def test_what_is_protected_is_as_it_was(text):
    slow = words._PROTECTED.pattern.replace("{1,64}@", "+@").replace(rf"(?:\G|(?<!{WORD_CHARACTER}))", "")
    assert r"\G" not in slow
    assert "{1,64}" not in slow
    assert occurring(slow, text, flags=regex.DOTALL) == [found.span() for found in words._PROTECTED.finditer(text)]


@settings(max_examples=200)
@given(st.text(st.sampled_from("🇦🇧a\u0301\u200d\u0600\r\n👩🏽ก\u0e34\u103f\u1038 "), max_size=14))
def test_flags_are_letters_as_they_were(text):
    assert occurring(r"\X(?:(?=\p{M})\X)*", text) == occurring(CLUSTER, text)


@settings(max_examples=200)
@given(st.lists(st.sampled_from(["->", "-", "(", ")", "[", "]", "a", "triple1", " ", "\n"]), max_size=14).map("".join))
def test_proofs_are_parted_as_they_were(text):
    slow = r"\s*(->|[()\[\]]|[^\s()\[\]]+?(?=->|[\s()\[\]]|$))"
    assert re.findall(slow, text) == proofs._split(text)


REQUEST = st.sampled_from(
    [
        "Question:",
        "(a)",
        "(b)",
        "Please respond with either a or b",
        ".",
        "x",
        "I am",
        " ",
        "\n",
        "Question: x (a) y (b) z",
    ]
)


@settings(max_examples=200)
@given(st.lists(REQUEST, max_size=12).map("".join))
def test_a_request_is_parted_as_it_was(text):
    slow = re.compile(
        r"(?P<story>.*?)\s*Question:\s*(?P<question>.*?)\s*\(a\)\s*(?P<a>.*?)\(b\)\s*(?P<b>.*?)"
        r"(?:\s*Please respond with either a or b\.?)?\s*",
        re.DOTALL,
    )
    before, now = slow.fullmatch(text), mmtom._divide(text)
    if before is not None and all(part.strip() for part in before.groups()):
        assert (before["story"].strip(), *before.groups()[1:]) == now
    else:
        assert not all(part.strip() for part in now)


HINT = st.sampled_from(["Hint:", "Question:", "Options:", "(a)", "A:", "b:", "x", " ", "\n", "\t", "Choices: "])


@settings(max_examples=200)
@given(st.lists(HINT, max_size=12).map("".join))
def test_hints_and_labels_are_found_as_they_were(text):
    slow = re.compile(r"\s*(?:Hint:.*?\n\s*(?=Question:))?(?:Question:|Hint:)?\s*", re.DOTALL)
    found = listing._HINT.match(text)
    assert found
    assert slow.sub("", text, count=1).strip() == text[found.end() :].strip()
    label = re.search(rf"\s*(?:Options|Choices):(?=\s*{listing._FIRST})", text, re.IGNORECASE)
    now = listing._LABEL.search(text)
    assert (label and label.end()) == (now and now.end())


LINE = st.lists(st.sampled_from(["A_KEY", "export ", "=", "#", " ", "'", '"', "x", "\t"]), max_size=12).map("".join)


@settings(max_examples=200)
@given(LINE)
def test_assignments_are_read_as_they_were(tmp_path_factory, text):
    place = tmp_path_factory.mktemp("env")
    (place / ".env").write_text(text)
    before = {}
    if match := re.fullmatch(r"\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*", text):
        quoted = re.fullmatch(r"(['\"])(.*)\1(?:\s+#.*)?", match[2])
        before[match[1]] = quoted[2] if quoted else re.split(r"\s+#", match[2])[0].strip()
    assert secrets.dotenv(place) == before


@settings(max_examples=200)
@given(
    st.text(st.sampled_from("score rating:=-17/ .\n"), max_size=16), st.text(st.sampled_from("= $*\\([i s"), max_size=8)
)
def test_scores_and_signs_are_read_as_they_were(text, sign):
    slow = re.compile(r"(?:(?:score|rating|grade)\s*[:=]?\s*)?(-?\d+)(?:\s*/\s*(\d+))?\.?", re.IGNORECASE)
    before, now = slow.fullmatch(text), judge._SCORE.fullmatch(text)
    assert (before and before.groups()) == (now and now.groups())
    equals = answers._EQUALS.pattern.replace("*+", "*")
    assert bool(re.fullmatch(equals, sign)) == bool(answers._EQUALS.fullmatch(sign))


@settings(max_examples=200)
@given(st.text(st.sampled_from("aé\u0301 .:1{}A"), max_size=20))
def test_clauses_end_where_they_did(text):
    kept = words.protected_spans(text)
    places = [found.start() for found in _CLOSE.finditer(text)]
    last = {at: regex.search(rf"{LETTERS}$", text[:at]) for at in places}
    before = [
        at
        for at in places
        if (word := last[at]) and word[0].lower() not in _OPEN_ENDED and not any(a < at <= b for a, b in kept)
    ]
    assert _places(text, kept) == before
