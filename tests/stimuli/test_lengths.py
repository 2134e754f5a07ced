from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from broca.items import Contrast, Message, Stimulus
from broca.stimuli.contrasts import length_match


def made(positive, negative):
    sides = [tuple(Stimulus(str(i), "x" * n) for i, n in enumerate(side)) for side in (positive, negative)]
    return Contrast("c", *sides)


lengths = st.lists(st.integers(1, 60), min_size=2, max_size=12).filter(lambda side: len(set(side)) > 1)


@given(lengths, lengths)
def test_welch_as_scipy_has_it(positive, negative):
    found = length_match(made(positive, negative))["characters"]
    wanted = stats.ttest_ind(positive, negative, equal_var=False)
    assert found.t == pytest.approx(wanted.statistic, abs=1e-12)
    assert found.p == pytest.approx(wanted.pvalue, rel=1e-9)
    spread = math.sqrt((np.var(positive, ddof=1) + np.var(negative, ddof=1)) / 2)
    assert found.d == pytest.approx((np.mean(positive) - np.mean(negative)) / spread, abs=1e-12)
    assert found.percent == pytest.approx(100 * (np.mean(positive) / np.mean(negative) - 1), abs=1e-9)


@pytest.mark.parametrize(("negative", "t", "p"), [(3, 0.0, 1.0), (2, math.inf, 0.0), (5, -math.inf, 0.0)])
def test_lengths_that_do_not_vary(negative, t, p):
    found = length_match(made([3, 3], [negative] * 3))["characters"]
    assert (found.t, found.p, found.d) == (t, p, t)


def test_tokens_and_words_and_chats():
    chat = Stimulus("c", (Message("system", "be kind"), Message("user", "a b c")))
    found = length_match(
        Contrast("c", (chat, chat), (Stimulus("a", "a b"), Stimulus("b", "c d e"))), tokens=lambda text: 2 * len(text)
    )
    assert [m.measure for m in found.measures] == ["characters", "words", "tokens"]
    assert found["words"].positive == 5
    assert found["tokens"].positive == 2 * len("be kind\na b c")
    assert found.frame.columns == ["measure", "positive", "negative", "percent", "t", "p", "d"]
    assert "5.0 against 2.5 words (+100.0 %" in found.sentence
