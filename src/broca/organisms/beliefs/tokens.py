"""The tokenizer of `beliefs`: byte-level BPE in which each word of the world is one token.

All 256 bytes are in the vocabulary, so that any text can be read; digits stand alone; a text begins with exactly one <bos>.
"""

from __future__ import annotations

import re

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from broca.organisms.beliefs.lexicon import COLOURS, COUNTED, MEDIA, NAMES, SCENES
from broca.organisms.beliefs.phrases import expand, patterns

SPECIAL = ("<pad>", "<bos>", "<eos>")
PAD, BOS, EOS = 0, 1, 2
VOCABULARY = 2560
_PIECES = r" ?\p{N}| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def vocabulary() -> list[str]:
    """Every word that the world can say, as it stands in a text: with its space, or without where it can begin one."""
    starts: set[str] = {"Story", "Question", "Answer", *NAMES}
    inside: set[str] = set(NAMES)
    for bank in patterns().values():
        for phrase in {phrase for pattern in bank for phrase in expand(pattern.removeprefix("*"))}:
            words = re.findall(r"(?<!\{)\b[A-Za-z]+\b(?!\})", re.sub(r"\{\w+\}", " ", phrase))
            inside |= set(words)
            if phrase[0] != "{" or not words:
                starts |= {word.capitalize() for word in words[:1]}
    for scene in SCENES:
        inside |= {scene.name, *scene.at.split(), *scene.outside, *scene.things}
        inside |= {word for value in scene.places for word in f"{value.at} {value.to} {value.away}".split()}
    inside |= {
        *MEDIA,
        *COLOURS,
        *(word for words in MEDIA.values() for word in " ".join(words).split()),
        *COUNTED,
        "he",
        "she",
        "his",
        "her",
        "a",
        "an",
    }
    return sorted({f" {word}" for word in inside | starts} | {f" {w.capitalize()}" for w in ("he", "she")} | starts)


def build() -> Tokenizer:
    """The tokenizer; the same one every time, since it is made from the lexicon and the phrases alone."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    signs = [f" {digit}" for digit in range(10)] + [" +", "\n"]
    tokenizer.train_from_iterator([*vocabulary(), *signs], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A $B", special_tokens=[("<bos>", BOS)]
    )  # type: ignore[assignment]
    return tokenizer
