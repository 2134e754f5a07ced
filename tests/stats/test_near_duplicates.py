"""Near-duplicates against comparison of all pairs; and in time."""

from __future__ import annotations

from itertools import combinations
from time import process_time

import numpy as np
import pytest

from broca.errors import StatisticsError
from broca.stats.near_duplicates import near_duplicates

WORDS = [
    "the",
    "of",
    "a",
    "boy",
    "girl",
    "dog",
    "puts",
    "ball",
    "into",
    "basket",
    "box",
    "kitchen",
    "leaves",
    "returns",
    "looks",
    "first",
    "where",
    "was",
    "while",
    "she",
    "he",
    "it",
    "garden",
]


def sentence(rng: np.random.Generator, n: int) -> str:
    return " ".join(rng.choice(WORDS, n))


def grams(text: str, width: int) -> set[str]:
    text = f" {' '.join(text.lower().split())} ".ljust(width)
    return {text[i : i + width] for i in range(len(text) - width + 1)}


@pytest.mark.parametrize("similarity", [0.05, 0.3, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("width", [2, 5])
def test_no_pair_is_missed_and_none_is_invented(similarity, width):
    rng = np.random.default_rng(0)
    texts = [sentence(rng, n) for n in rng.integers(1, 12, 30)]
    texts += [f"{text} {rng.choice(WORDS)}" for text in texts[:15]] + ["a", "", "A ", texts[3].upper()]
    expected = {}
    for i, j in combinations(range(len(texts)), 2):
        a, b = grams(texts[i], width), grams(texts[j], width)
        if len(a & b) / len(a | b) >= similarity - 1e-9:
            expected[i, j] = len(a & b) / len(a | b)
    found = near_duplicates(texts, similarity=similarity, width=width)
    assert dict(zip(map(tuple, found.pairs.tolist()), found.similarity.tolist(), strict=True)) == pytest.approx(
        expected
    )
    assert list(map(tuple, found.pairs.tolist())) == sorted(expected)


def test_fillings_of_templates_are_found_and_make_groups():
    templates = [
        "When {} came back to the kitchen, the {} was no longer in the drawer where it had been left that morning.",
        "Nobody told {} that the train with the {} would leave an hour earlier because of the storm in the north.",
        "The museum bought a painting of {} holding a {}, although the director had never liked that kind of portrait.",
    ]
    texts = [
        template.format(name, thing)
        for template in templates
        for name in ("Anna", "Robert", "Maria")
        for thing in ("spoon", "letter", "hat")
    ]
    found = near_duplicates([*texts, "A text like no other, about whales and the deep sea."])
    assert found.groups.tolist() == [0] * 9 + [1] * 9 + [2] * 9 + [3]
    assert (found.alike, found.fraction) == (27, 27 / 28)
    assert len(found.pairs) == 3 * 36


def test_unlike_texts_have_none():
    found = near_duplicates(["The cat sat on the mat.", "Stocks fell sharply on Monday.", "Il pleut sur la ville."])
    assert (found.alike, found.fraction, found.groups.tolist()) == (0, 0.0, [0, 1, 2])
    assert near_duplicates(["alone"]).fraction == 0


def test_two_thousand_texts_take_no_two_seconds():
    """0.8 s of one core, and no more where all are fillings of one template."""
    rng = np.random.default_rng(1)
    vocabulary = ["".join(rng.choice(list("etaoinshrdlucm"), rng.integers(2, 9))) for _ in range(4000)]
    texts = [" ".join(rng.choice(vocabulary, 60)) for _ in range(1900)]
    texts += [text.replace(" ", " x", 1) for text in texts[:100]]
    start = process_time()
    found = near_duplicates(texts)
    assert process_time() - start < 2
    assert found.alike == 200


def test_impossible_numbers_are_named():
    with pytest.raises(StatisticsError, match="0 texts"):
        near_duplicates([])
    with pytest.raises(StatisticsError, match="similarity of 0"):
        near_duplicates(["a"], similarity=0)
