"""Figures that count tokens are marked: the published one, and not those that measure attention."""

from __future__ import annotations

import numpy as np
import pytest

import zoo
from broca.errors import StatisticsError
from broca.models.attention import attention_rows
from broca.stats.degenerate import degenerate

TEXTS = ("Add these: 3 + 4 =", "Please work out: 21 - 9 =", "Now: 5 * 6 =", "Say what you get for this one: 8 - 8 =")


def test_row_sums_of_attention_count_tokens():
    """Error Mech Analysis: rows are summed over keys, then those up to the colon are set against all: (c + 1) / S."""
    lm = zoo.lm("gemma2")
    published, real = [], []
    until = np.array([text.index(":") + 2 for text in TEXTS])
    tokens = lm.tokenize(TEXTS)
    for text, colon in zip(tokens, until, strict=True):
        maps = attention_rows(lm, next(lm.batches([text])), rows="all")
        given = np.stack([rows[0].sum(-1).numpy() for rows in maps.values()])
        published.append(given[..., :colon].sum(-1) / given.sum(-1))
        real.append(np.stack([rows[0, :, -1, :colon].sum(-1).numpy() for rows in maps.values()]))
    counts = {"up to the colon": until, "tokens": np.array([len(text) for text in tokens])}
    np.testing.assert_allclose(np.array(published)[:, 0, 0], until / counts["tokens"], rtol=1e-5)
    assert degenerate(published, counts) == ("the same in every layer", "equal to up to the colon / tokens")
    assert degenerate(published) == ("the same in every layer",)
    assert degenerate(real, counts) == ()


def test_counts_constants_and_gaps():
    draw = np.random.default_rng(0)
    counts = {"tokens": np.array([4.0, 7.0, 5.0])}
    assert degenerate(np.repeat(counts["tokens"][:, None], 3, 1), counts) == (
        "the same in every layer",
        "equal to tokens",
    )
    assert degenerate(draw.normal(size=(3, 4, 2)), counts) == ()
    holes = np.ones((3, 3)) * [[1.0], [2.0], [3.0]]
    holes[:, 1] = np.nan
    assert degenerate(holes) == ("the same in every layer",)
    holes[1:] = np.nan
    assert degenerate(holes, counts) == ("the same in every layer",)
    assert degenerate(np.full((2, 3), np.nan)) == ()
    assert degenerate(np.ones((3, 1)) * 2) == ()
    with pytest.raises(StatisticsError, match="a count a row"):
        degenerate(np.ones((3, 2)), {"tokens": [1, 2]})
