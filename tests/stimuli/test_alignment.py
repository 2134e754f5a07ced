"""Alignment: laws on any edits and any tokenisation, and what comes of the published pairs."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from broca.errors import StimulusError
from broca.items import Edit, Pair, apply_edits
from broca.stimuli.alignment import Characters, align
from broca.stimuli.edits import edited_words, edits_between
from broca.stimuli.perturb import pairs, perturb

_PIECE = r" ?\w+|\S"
CLEAN = "Solve this task: 4 + 93 ="


def pair(clean, perturbed, edits=None):
    return Pair("p", clean, perturbed, edits_between(clean, perturbed) if edits is None else edits, "kind")


def offsets(text, pieces):
    """Where pieces stand in a text, one after the other; an empty one is a special token."""
    found, at = [], 0
    for piece in pieces:
        if piece:
            start = text.index(piece, at)
            at = start + len(piece)
            found.append((start, at))
        else:
            found.append((0, 0))
    return found


def aligned(clean, perturbed, pieces, other, **options):
    return align(pair(clean, perturbed), offsets(clean, pieces), offsets(perturbed, other), **options)


def test_a_letter_missing_in_a_word_that_falls_to_pieces():
    found = aligned(
        CLEAN,
        "Solve this tsk: 4 + 93 =",
        ["", "Solve", " this", " task", ":", " 4", " +", " 93", " ="],
        ["", "Solve", " this", " t", "sk", ":", " 4", " +", " ", "93", " ="],
        operands=[(17, 18), (21, 23)],
    )
    assert found.matched == ((0, 0), (1, 1), (2, 2), (4, 5), (5, 6), (6, 7), (8, 10))
    assert found.covers == ((0,), (1,), (2,), (3, 4), (5,), (6,), (7,), (8, 9), (10,))
    assert found.clean == (
        "special",
        "prefix",
        "prefix",
        "edited",
        "suffix",
        "operands",
        "suffix",
        "operands",
        "answer",
    )
    assert found.perturbed[3:5] == ("edited", "edited")
    assert found.perturbed[8:] == ("suffix", "operands", "answer")
    assert found.points == {"edited": (3, 4), "suffix": (4, 5), "operands": (5, 6), "answer": (8, 10)}
    assert found.coverage == 7 / 9
    assert found.positions("edited") == ((3,), (3, 4))


def test_a_word_said_twice():
    made = perturb(CLEAN, "repeat-word", seed=1)
    twice = Pair("p", CLEAN, made.text, made.edits, "repeat-word")
    before, after = re.findall(_PIECE, CLEAN), re.findall(_PIECE, made.text)
    found = align(twice, offsets(CLEAN, before), offsets(made.text, after))
    assert len(found.matched) == len(before)
    assert found.perturbed.count("edited") == 2
    assert found.clean.count("edited") == 1


def test_words_joined_parted_and_between_two_edits():
    joined = pair("one big cat", "one bigcat")
    assert [joined.clean[a:b] for a, b in edited_words(joined)] == ["big cat"]
    parted = pair("one big cat", "one bi g cat")
    assert [parted.clean[a:b] for a, b in edited_words(parted)] == ["big"]
    found = aligned("aa bb cc dd", "ax bb cx dd", ["aa", "bb", "cc", "dd"], ["ax", "bb", "c", "x", "dd"])
    assert found.clean == ("edited", "between", "edited", "answer")
    assert found.points["edited"] == (2, 3)


def test_a_mark_put_into_a_word_takes_the_whole_word():
    marked = Pair("p", "go alone", "go a.lone", (Edit(4, 4, "", "."),), "kind")
    assert edited_words(marked) == ((3, 8),)
    after = Pair("p", "go alone", "go, alone", (Edit(2, 2, "", ","),), "kind")
    assert edited_words(after) == ((2, 2),)
    assert edited_words(replace(after, edits=(Edit(2, 2, "", ",", word=0),))) == ((0, 2),)


def test_what_is_put_in_beside_a_token_of_the_edited_word_belongs_to_it():
    found = aligned("task a", "tasxk a", ["tas", "k", " a"], ["ta", "s", "x", "k", " a"])
    assert found.covers == ((0, 1, 2), (3,), (4,))


def test_a_sentence_in_front_and_nothing_edited():
    found = aligned("go now", "Please hurry. go now", ["", "go", "now"], ["", "Please", "hurry.", "go", "now"])
    assert found.matched == ((0, 0), (1, 3), (2, 4))
    assert found.perturbed == ("special", "edited", "edited", "suffix", "answer")
    assert found.points == {"suffix": (1, 3), "answer": (2, 4)}


def test_several_tokens_over_one_character_match_in_order():
    bytes_of = [(0, 1), (0, 1), (0, 1), (1, 3), (3, 4)]
    found = align(pair("é go", "é gx"), bytes_of, bytes_of)
    assert found.matched == ((0, 0), (1, 1), (2, 2), (3, 3))
    other = align(pair("é go", "é gx"), bytes_of, bytes_of[1:])
    assert not [i for i, _ in other.matched if i < 3]


words = st.lists(st.text("abé ,.\n1", min_size=1, max_size=6), min_size=1, max_size=8).map("".join)


@st.composite
def edited_pairs(draw):
    """Any text, any edits that lie apart or touch, and the pair that they make."""
    clean = draw(words.filter(str.strip))
    cuts = (
        sorted(
            draw(st.lists(st.integers(0, len(clean)), min_size=2, max_size=6, unique=True).filter(lambda c: len(c) > 1))
        )
        if len(clean)
        else []
    )
    edits = []
    for start, end in zip(cuts[::2], cuts[1::2], strict=False):
        before = clean[start:end]
        after = draw(st.text("abx ", max_size=4).filter(lambda text, before=before: text != before))
        edits.append(Edit(start, end, before, after))
    perturbed = apply_edits(clean, edits)
    if not perturbed.strip() or perturbed == clean:
        return draw(st.nothing())
    return Pair("p", clean, perturbed, tuple(edits), "kind")


@st.composite
def tokenised(draw, text):
    """Offsets of tokens over a text: cut anywhere, blanks sometimes covered by none, special tokens around."""
    cuts = [0, *sorted(draw(st.sets(st.integers(1, max(1, len(text) - 1)), max_size=8))), len(text)]
    spans = [(a, b) for a, b in itertools.pairwise(cuts) if a < b]
    if draw(st.booleans()):
        kept = [(a, b) for a, b in spans if text[a:b].strip()]
        spans = kept or spans
    return [(0, 0)] * draw(st.integers(0, 2)) + spans + [(0, 0)] * draw(st.integers(0, 1))


@st.composite
def cases(draw):
    made = draw(edited_pairs())
    return made, draw(tokenised(made.clean)), draw(tokenised(made.perturbed))


def inverse(made):
    """The pair back again."""
    edits, shift = [], 0
    for edit in made.edits:
        start = edit.start + shift
        edits.append(Edit(start, start + len(edit.after), edit.after, edit.before))
        shift += len(edit.after) - len(edit.before)
    return Pair("p", made.perturbed, made.clean, tuple(edits), "kind")


@given(cases())
def test_matched_tokens_are_the_same_text_in_the_same_order_once(case):
    made, clean, perturbed = case
    found = align(made, clean, perturbed)
    for i, j in found.matched:
        assert made.clean[slice(*clean[i])] == made.perturbed[slice(*perturbed[j])]
    for one, other in zip(found.matched, found.matched[1:], strict=False):
        assert one[0] < other[0]
        assert one[1] < other[1]


@given(cases())
def test_there_and_back_again(case):
    made, clean, perturbed = case
    there, back = align(made, clean, perturbed), align(inverse(made), perturbed, clean)
    assert back.matched == tuple((j, i) for i, j in there.matched)


@given(cases())
def test_every_token_has_one_class_and_the_classes_fit(case):
    made, clean, perturbed = case
    found = align(made, clean, perturbed)
    assert (len(found.clean), len(found.perturbed), len(found.covers)) == (len(clean), len(perturbed), len(clean))
    for classes, spans in ((found.clean, clean), (found.perturbed, perturbed)):
        assert all((one == "special") == (a == b) for one, (a, b) in zip(classes, spans, strict=True))
        assert classes.count("answer") <= 1
    touched = {
        i
        for i, span in enumerate(clean)
        for e in made.edits
        if e.start < span[1] and span[0] < e.end and span[0] < span[1]
    }
    assert all(found.clean[i] == "edited" for i in touched)
    assert not touched & {i for i, _ in found.matched}
    for i, j in found.matched:
        assert found.covers[i] == (j,)
    for name, (i, j) in found.points.items():
        assert name in ("edited", "suffix", "operands", "answer")
        assert found.clean[i] != "special" != found.perturbed[j]


@given(edited_pairs())
def test_characters_that_no_edit_touches_stay_the_same(made):
    through = Characters(made.edits)
    for place, letter in enumerate(made.clean):
        if not through.touches((place, place + 1)):
            assert made.perturbed[through.right(place)] == letter
            assert through.left(place + 1) == through.right(place) + 1
    places = range(len(made.clean) + 1)
    for one in (through.left, through.right):
        moved = [one(place) for place in places]
        assert moved == sorted(moved)
    assert all(through.left(place) <= through.right(place) for place in places)
    assert (through.left(0), through.right(len(made.clean))) == (0, len(made.perturbed))


@given(words.filter(str.strip), words.filter(str.strip))
def test_edits_between_any_two_texts_lead_from_one_to_the_other(clean, perturbed):
    edits = edits_between(clean, perturbed)
    assert apply_edits(clean, edits) == perturbed
    assert (not edits) == (clean == perturbed)
    assert all(one.end < other.start for one, other in itertools.pairwise(edits))


def test_offsets_of_another_text_are_refused():
    made = pair("one two", "one twos")
    with pytest.raises(StimulusError, match=r"\(3, 9\) is no span of a text of 7 characters"):
        align(made, [(0, 3), (3, 9)], [(0, 3)])
    with pytest.raises(StimulusError, match="after character 3"):
        align(made, [(3, 7), (0, 3)], [(0, 3)])
    with pytest.raises(StimulusError, match="no token covers a character"):
        align(made, [(0, 0)], [(0, 3)])


@pytest.fixture(scope="module")
def published(shared):
    return pairs(shared / "data/typos/maths_first500.json")


@pytest.fixture(scope="module")
def tokenizer(published):
    """A byte-level BPE that knows the words of the clean requests whole, as a large model's does."""
    made = Tokenizer(BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=2000, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator({one.clean for one in published.pairs}, trainer)
    return made


def coverage(published, tokenizer, kind):
    """Mean shares of clean tokens that are matched: by alignment, and by position from the left."""
    ours, cropped, n = 0, 0, 0
    for one in published.of(kind):
        clean, perturbed = tokenizer.encode(one.clean), tokenizer.encode(one.perturbed)
        ours += len(align(one, clean.offsets, perturbed.offsets).matched)
        cropped += sum(a == b for a, b in zip(clean.ids, perturbed.ids, strict=False))
        n += len(clean.ids)
    return ours / n, cropped / n


@pytest.mark.parametrize("kind", ["main", "swap", "missing", "repeated", "punctuation", "grammar", "homonym"])
def test_nine_tokens_in_ten_are_matched_where_positions_match_less_than_half(published, tokenizer, kind):
    ours, cropped = coverage(published, tokenizer, kind)
    assert ours >= 0.9
    assert cropped < 0.5
