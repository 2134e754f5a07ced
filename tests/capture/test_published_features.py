"""The published pipeline on a GPT-2 small that has learned nothing: the one table of it that needs no download.

The figures are those of the facts (1,024 lists of 16 numbers below 512, two initialisations): raw macro-F1. The published split
trains one of its two folds on 32 lists, so that single sets of lists stray by up to .065: only the mean over two sets is within .025.
"""

from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from broca.capture.head_features import PRESETS, features
from broca.instruments.probe.published_probe import of_numbers
from broca.instruments.probe.scores import TARGETS
from broca.instruments.probe.statements import Statements
from broca.models.build import fresh
from broca.models.lm import LM
from broca.stats.f1 import confusion, macro_f1
from broca.stats.probing import Classifier, predictions, waiting
from broca.stimuli.trees import trees

USEFUL = [0.484, 0.467, 0.468, 0.483, 0.488, 0.518, 0.522, 0.524]
STEP = [1.0, 0.746, 0.608, 0.563, 0.525, 0.525, 0.504, 0.510]
USEFUL_FIXED = [0.484, 0.471, 0.468, 0.472, 0.481, 0.494, 0.504, 0.505]
STEP_FIXED = [np.nan, 0.529, 0.469, 0.474, 0.472, 0.467, 0.463, 0.469]


def reader(seed):
    words = Tokenizer(WordLevel({str(n): n for n in range(512)} | {"<unk>": 512}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return LM.wrap(fresh({"model_type": "gpt2"}, seed=seed), PreTrainedTokenizerFast(tokenizer_object=words))


def lists(k, seed):
    return trees("kth", k=k, m=16, n=1024, seed=seed, paper_compat=True)


@pytest.fixture(scope="module")
def found():
    """Features of two sets of lists, each seen by an initialisation of its own."""
    made = []
    for weights, seed in ((1, 0), (3, 1)):
        some = lists(1, seed)
        spans, queries = [tree.statements for tree in some], [tree.query for tree in some]
        own = features(
            reader(weights), [tree.text for tree in some], spans, queries=queries, pooling=PRESETS["gpt2-paper"]
        )
        made.append((own.values[..., 0], own.text, seed))
    return made


def labels(k, seed):
    """Height of each statement, 0 where it is not useful; the numbers are the same for every k."""
    return np.concatenate([tree.heights for tree in lists(k, seed)])


@pytest.mark.slow
@pytest.mark.parametrize("k", range(1, 9))
def test_an_untrained_gpt2_small_scores_what_the_published_pipeline_gives(found, k):
    rows = [Statements.of(lists(k, seed)) for _, _, seed in found]
    f1 = [[of_numbers(target, own, x) for target in TARGETS] for own, (x, _, _) in zip(rows, found, strict=True)]
    assert np.mean(f1, 0) == pytest.approx((USEFUL[k - 1], STEP[k - 1]), abs=0.025)


def halves(x, y, first):
    """Macro-F1, each half of the lists trained on and tested in turn."""
    f1 = []
    for train, test in ((first, ~first), (~first, first)):
        votes = waiting(x, [(np.flatnonzero(train), np.flatnonzero(test))], Classifier())
        f1.append(macro_f1(confusion(y[test], predictions(votes(y[None], 2)[0])[test], 2)))
    return np.mean(f1)


@pytest.mark.slow
@pytest.mark.parametrize("k", range(1, 9))
def test_folds_that_are_cut_between_lists_give_the_mended_figures(found, k):
    useful, step = [], []
    for x, text, seed in found:
        heights = labels(k, seed)
        kept = heights > 0
        useful.append(halves(x, kept.astype(int), text < 512))
        step.append(halves(x[kept], (heights[kept] == heights.max()).astype(int), text[kept] < 512))
    assert np.mean(useful) == pytest.approx(USEFUL_FIXED[k - 1], abs=0.025)
    # A thousand rows train: of the facts' own draws this is the noisiest.
    assert np.mean(step) == pytest.approx(STEP_FIXED[k - 1], abs=0.035, nan_ok=True)
