"""The weights that come with the package: what they are, and that they can do what their report says."""

from __future__ import annotations

import json
from functools import cache

import pytest
import torch
from tokenizers import Tokenizer

from broca.errors import ModelError, UnknownName
from broca.items import Item
from broca.organisms import NAMES, organism_path, trainer
from broca.organisms.beliefs.exam import grade_items, narrative_perplexity
from broca.organisms.beliefs.stories import rows
from broca.organisms.beliefs.tokens import build
from broca.organisms.beliefs.world import ABILITIES, items, prompt

BARS = dict.fromkeys(ABILITIES, 0.97) | dict.fromkeys(("reality", "arithmetic-easy", "arithmetic-hard"), 0.9)
BARS["rival-belief"] = 0.6  # this model mixes people up; the ability is asked apart so that this shows
SLACK = 0.03
"""A hundred items of an ability at its bar miss it by chance; the report's 400 may not."""


@cache
def loaded():
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(organism_path("beliefs"))
    return model.eval(), Tokenizer.from_file(str(organism_path("beliefs") / "tokenizer.json"))


def test_the_directory_is_complete_and_small() -> None:
    path = organism_path("beliefs")
    names = {file.name for file in path.iterdir()}
    assert names >= {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert names >= {"generation_config.json", "training.json", "MODEL_CARD.md"}
    assert sum(file.stat().st_size for file in path.iterdir()) <= 10 * 2**20


def test_the_tokenizer_is_the_one_that_is_built() -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(organism_path("beliefs"))
    text = str(items("false-belief", 1)[0].prompt) + " Ünïcode 漢字"
    assert tokenizer(text)["input_ids"] == build().encode(text).ids
    assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text
    assert (tokenizer.pad_token, tokenizer.bos_token, tokenizer.eos_token) == ("<pad>", "<bos>", "<eos>")


@pytest.mark.parametrize("ability", ABILITIES)
def test_it_still_knows_what_its_report_says(ability: str) -> None:
    report = json.loads((organism_path("beliefs") / "training.json").read_text(encoding="utf-8"))
    assert report["accuracy"][ability] >= BARS[ability]
    marks = grade_items(*loaded(), items(ability, 100, seed=7))
    assert marks["choice"] >= BARS[ability] - SLACK
    assert abs(marks["exact"] - report["exact"][ability]) < 0.08


def test_it_reads_narrative_better_than_unigrams_do() -> None:
    found = narrative_perplexity(*loaded(), n=40)
    assert found["combinations"] < 1.2 * found["train"]
    assert found["train"] < found["held-out"] < found["unigram"] / 2


@pytest.mark.parametrize("label", ["positive", "negative"])
def test_it_answers_the_localizer_stories(label: str) -> None:
    asked = [
        Item(
            row["id"],
            prompt(row["story"], row["question"]),
            (f" {row['choices'][0]}", f" {row['choices'][1]}"),
            row["answer"],
        )
        for row in rows()
        if row["label"] == label
    ]
    assert grade_items(*loaded(), asked)["choice"] >= 0.9


def test_unknown_organisms_are_answered_with_near_ones() -> None:
    assert {"beliefs", "routed", "shortcut"} <= set(NAMES)
    with pytest.raises(UnknownName, match="Did you mean 'beliefs'"):
        organism_path("belief")
    with pytest.raises(UnknownName, match="Did you mean 'beliefs'"):
        trainer("belief")


def test_missing_weights_say_how_to_make_them(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr("broca.organisms.files", lambda _: tmp_path)
    with pytest.raises(ModelError, match="broca organism train beliefs"):
        organism_path("beliefs")
