from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broca.errors import StimulusError
from broca.stimuli.contrasts import contrast, length_match
from broca.stimuli.language import CODAS, LAST_NUCLEI, NUCLEI, ONSETS, language, lexicon, non_word

SYLLABLE = f"(?:{'|'.join(ONSETS)})(?:{'|'.join(NUCLEI)})"
PRONOUNCEABLE = re.compile(f"(?:{'|'.join(NUCLEI)})?(?:{SYLLABLE})*(?:{'|'.join(CODAS)})?")


def test_as_many_as_the_paradigm_has():
    found = contrast("language")
    assert len(found.positive) == len(found.negative) == 240
    assert "Fedorenko" in found.source


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1), words=st.integers(9, 15), n=st.integers(2, 25))
def test_each_list_matches_its_sentence_word_by_word(seed, words, n):
    found = language(n=n, words=words, seed=seed)
    texts = [s.text for s in (*found.positive, *found.negative)]
    assert found.paired
    assert len(set(texts)) == 2 * n
    for sentence, made in zip(found.positive, found.negative, strict=True):
        assert sentence.group == made.group
        lengths = [[len(word) for word in s.text.split(" ")] for s in (sentence, made)]
        assert lengths[0] == lengths[1]
        assert len(lengths[0]) == words
        assert set(sentence.text.split()) <= lexicon()
        assert not set(made.text.split()) & lexicon()
        assert len(set(made.text.split())) == words
    match = length_match(found)
    assert match["characters"].t == match["words"].t == 0


def test_the_seed_decides_and_n_only_cuts():
    assert language(n=30, seed=5) == language(n=30, seed=5)
    assert language(n=30, seed=5).positive[:4] == language(n=4, seed=5).positive
    assert language(n=30, seed=0).fingerprint != language(n=30, seed=1).fingerprint


def test_no_sentence_comes_twice_among_many():
    found = language(n=800)
    assert len({s.text for s in found.positive}) == 800


def test_sentences_are_varied():
    found = language()
    assert len({word for s in found.positive for word in s.text.split()}) > 400
    assert len({" ".join(s.text.split()[:4]) for s in found.positive}) > 150


@given(letters=st.integers(2, 16), seed=st.integers(0, 1000))
def test_non_words_are_pronounceable_and_no_words(letters, seed):
    word = non_word(letters, np.random.default_rng(seed))
    assert len(word) == letters
    assert PRONOUNCEABLE.fullmatch(word)
    assert word.endswith((*CODAS, *LAST_NUCLEI))
    assert word not in lexicon()


def test_one_letter_is_refused():
    with pytest.raises(StimulusError, match=r"1 letters cannot be pronounced"):
        non_word(1, np.random.default_rng(0))
