"""The tokenizer of `beliefs`: any text comes back, offsets are right, words of the world are one token."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broca.organisms.beliefs.tokens import BOS, EOS, PAD, build, vocabulary
from broca.organisms.beliefs.world import ABILITIES, items, narrative

TOKENIZER = build()


@given(st.text())
def test_any_text_comes_back(text: str) -> None:
    encoding = TOKENIZER.encode(text, add_special_tokens=False)
    assert TOKENIZER.decode(encoding.ids, skip_special_tokens=False) == text


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=30), st.sampled_from(items("false-belief", 20)))
def test_offsets_cover_the_text_in_order(text: str, item) -> None:
    whole = text + str(item.prompt) + text
    encoding = TOKENIZER.encode(whole)
    assert encoding.offsets[0] == (0, 0)
    covered = 0
    for start, end in encoding.offsets[1:]:
        assert start <= covered <= end, "a token begins after a gap, or ends before the one in front of it"
        covered = end
    assert covered == len(whole)


def test_offsets_of_words_are_the_words() -> None:
    text = "Anna put the ball in the box.\nAnswer: 42"
    encoding = TOKENIZER.encode(text)
    assert [text[start:end] for start, end in encoding.offsets[1:]] == [
        "Anna", " put", " the", " ball", " in", " the", " box", ".", "\n", "Answer", ":", " 4", "2",
    ]  # fmt: skip


@given(st.text(max_size=20))
def test_a_text_begins_with_exactly_one_bos(text: str) -> None:
    ids = TOKENIZER.encode(text).ids
    assert ids[0] == BOS
    if not any(special in text for special in ("<bos>", "<pad>", "<eos>")):
        assert not {BOS, EOS, PAD} & set(ids[1:])


def test_every_word_of_the_world_is_one_token() -> None:
    split = [word for word in vocabulary() if len(TOKENIZER.encode(word, add_special_tokens=False).ids) != 1]
    assert split == []
    assert TOKENIZER.get_vocab_size() <= 2048


@pytest.mark.parametrize("split", ["train", "held-out"])
def test_the_texts_of_the_world_have_no_other_words(split) -> None:
    texts = [str(item.prompt) + item.choices[0] for ability in ABILITIES for item in items(ability, 60, 0, split)]
    pieces = {piece for text in (*texts, *narrative(100, 0, split)) for piece in TOKENIZER.encode(text).tokens[1:]}
    whole = {TOKENIZER.encode(word, add_special_tokens=False).tokens[0] for word in vocabulary()}
    rest = {piece for piece in pieces - whole if not piece.removeprefix("Ġ").isdigit()}
    assert rest <= {"Ċ", ".", ",", ":", "?", "'", "Ġ+", "s"}


def test_the_tokenizer_is_the_same_every_time() -> None:
    assert build().to_str() == TOKENIZER.to_str()
