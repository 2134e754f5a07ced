"""Texts of a sensitivity study: which are scored by, which are predicted, and the published draws from all of them."""

from __future__ import annotations

import json
import random

import polars as pl
import pytest

import zoo
from broca.errors import SpecError, StimulusError
from broca.instruments.sensitivity.samples import of_texts
from broca.instruments.sensitivity.spec import Sensitivity
from broca.scoring.windows import Windows

WORDS = [f"text {i} of {'many words ' * (i % 7)}here." for i in range(60)]


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "c4.jsonl"
    path.write_text("\n".join(json.dumps({"text": text, "url": "x"}) for text in WORDS))
    return str(path)


def published_windows(tokenizer, n, window, seed):
    """From all documents: one at random until one is long enough, and a window of it at a random place, both ends included."""
    random.seed(seed)
    found = []
    for _ in range(n):
        while True:
            ids = tokenizer(WORDS[random.randint(0, len(WORDS) - 1)], add_special_tokens=False)["input_ids"]
            if len(ids) >= window:
                break
        start = 0 if len(ids) == window else random.randint(0, len(ids) - window)
        found.append(tuple(ids[start : start + window]))
    return found


@pytest.mark.parametrize("window", [16, 19, 40])
def test_random_windows_are_drawn_from_the_whole_file(texts, window):
    lm = zoo.lm("llama")
    spec = Sensitivity(preset="wu2025", general=texts, n_general=20, window=window, perplexity_source="plain", n_read=3)
    own, read = spec.texts
    assert (len(own), len(read)) == (60, 3)
    found = [asked.question.shared.ids for asked in of_texts(spec, lm, own).asked]
    assert found == published_windows(lm.tokenizer, 20, window, 0)


def test_texts_that_are_predicted_are_never_scored_by(texts):
    for how, scored in (({}, 20), ({"windows": "random"}, 50), ({"windows": "random", "n_read": 60}, 30)):
        own, read = Sensitivity(general=texts, **{"n_general": 20, "n_read": 10} | how).texts
        assert len(own) == scored
        assert not {text.id for text in own} & {text.id for text in read}


def test_perplexities_are_of_another_source_where_one_is_named(texts, tmp_path):
    lines = ["", " = A head = \n", "", "One line.\n", "Two.\n", ""]
    pl.DataFrame({"text": lines}).write_parquet(tmp_path / "test.parquet")
    path = str(tmp_path / "test.parquet")
    apart = Sensitivity(general=texts, perplexity_source=path, n_general=20, n_read=2).texts
    assert [text.text for text in apart[1]] == [" = A head = \n", "One line.\n"]
    assert len(apart[0]) == 20
    joined = Sensitivity(general=texts, perplexity_source=path, reading={"length": 4, "texts": "joined"}, n_read=2)
    assert [text.text for text in joined.texts[1]] == lines  # blank ones too: they belong to the text that is joined
    lm = zoo.lm("llama")
    whole = lm.tokenizer("\n\n".join(lines))["input_ids"]
    cut = Windows(4, "joined").cut(lm, joined.texts[1])
    assert [list(tokens.ids) for _, tokens in cut] == [whole[i : i + 4] for i in range(0, len(whole) - 3, 4)]
    prints = Sensitivity(general=texts).data_fingerprints(), joined.data_fingerprints()
    assert prints[0].keys() == prints[1].keys()
    assert prints[0] != prints[1]
    pl.DataFrame({"text": ["", " "]}).write_parquet(tmp_path / "blank.parquet")
    blank = {"general": texts, "perplexity_source": str(tmp_path / "blank.parquet")}
    for how, said in (({}, "has no texts"), ({"reading": {"texts": "joined"}}, "no text with a word in it")):
        with pytest.raises(StimulusError, match=said):
            _ = Sensitivity(**blank, **how).texts


def test_the_preset_takes_wikitext_from_the_hub(texts, tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    spec = Sensitivity(preset="wu2025", general=texts)
    with pytest.raises(StimulusError, match="The data set Salesforce/wikitext cannot be had from the hub"):
        _ = spec.texts
    commit = "0123456789abcdef0123456789abcdef01234567"
    home = tmp_path / "datasets--Salesforce--wikitext"
    folder = home / "snapshots" / commit / "wikitext-2-raw-v1"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(commit)
    folder.mkdir(parents=True)
    with pytest.raises(StimulusError, match=r"has no file 'wikitext-2-raw-v1/test-\*.parquet' here"):
        _ = Sensitivity(preset="wu2025", general=texts).texts
    pl.DataFrame({"text": ["", " = A = \n"]}).write_parquet(folder / "test-00000-of-00001.parquet")
    assert [text.text for text in Sensitivity(preset="wu2025", general=texts).texts[1]] == ["", " = A = \n"]


def test_the_preset_fixes_the_dtype(texts):
    spec = Sensitivity(preset="wu2025", general=texts, perplexity_source="plain")
    assert (spec.dtype, spec.halves) == ("float16", False)
    said = (
        r"done in float16, as wu2025 was, and the model was loaded in float32. Load it in float16 \(--dtype float16\)"
    )
    with pytest.raises(SpecError, match=said):
        spec.run(zoo.lm("llama"))
    assert Sensitivity(general=texts).dtype is None
