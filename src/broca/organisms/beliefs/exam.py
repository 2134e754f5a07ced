"""How well a model knows the world of `beliefs`: accuracies on held-out items, shortcuts beside them, perplexity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from broca.items import Item
from broca.organisms.beliefs.tokens import EOS, PAD
from broca.organisms.beliefs.world import ABILITIES, items, narrative

BATCH = 64


def accuracies(model: torch.nn.Module, tokenizer: Tokenizer, *, n: int, seed: int = 1) -> dict[str, dict[str, float]]:
    """For each ability, how `grade_items` finds `n` held-out items of it."""
    return {ability: grade_items(model, tokenizer, items(ability, n, seed)) for ability in ABILITIES}


def grade_items(model: torch.nn.Module, tokenizer: Tokenizer, asked: Sequence[Item]) -> dict[str, float]:
    """The part of `asked` that is right by likelihood ("choice"), and word for word in greedy output ("exact")."""
    marks = mark_items(model, tokenizer, asked)
    return {"choice": float(marks[:, 0].mean()), "exact": float(marks[:, 1].mean())}


def mark_items(model: torch.nn.Module, tokenizer: Tokenizer, asked: Sequence[Item]) -> np.ndarray:
    """Booleans (item, 2): right by likelihood, right by greedy output."""
    prompts = tokenizer.encode_batch([str(item.prompt) for item in asked])
    rows = []
    for number, (item, head) in enumerate(zip(asked, prompts, strict=True)):
        for choice, text in enumerate(item.choices):
            tail = tokenizer.encode(text, add_special_tokens=False).ids
            rows.append((number, choice, [*head.ids, *tail, EOS], len(head.ids)))
    scores = np.full((len(asked), max(len(item.choices) for item in asked)), -np.inf)
    greedy = np.zeros_like(scores, dtype=bool)
    for batch in _batches(sorted(rows, key=lambda row: len(row[2])), BATCH):
        ids = _pad_rows([row[2] for row in batch])
        logp = _log_probabilities(model, ids)
        for at, (number, choice, row, start) in enumerate(batch):
            said = logp[at, start - 1 : len(row) - 1]
            target = ids[at, start : len(row)]
            scores[number, choice] = float(said.gather(1, target[:, None])[:-1].sum())
            greedy[number, choice] = bool((said.argmax(1) == target).all())
    answers = np.array([item.answer for item in asked])
    return np.stack([scores.argmax(1) == answers, greedy[np.arange(len(asked)), answers]], 1)


def perplexity(model: torch.nn.Module, tokenizer: Tokenizer, texts: Sequence[str]) -> float:
    """Perplexity a token of `texts` (with their <eos>)."""
    total, count = 0.0, 0
    for batch in _batches([[*e.ids, EOS] for e in tokenizer.encode_batch(list(texts))], BATCH):
        ids = _pad_rows(batch)
        logp = _log_probabilities(model, ids)[:, :-1]
        real = ids[:, 1:] != PAD
        total -= float(logp.gather(2, ids[:, 1:, None])[..., 0][real].sum())
        count += int(real.sum())
    return float(np.exp(total / count))


def unigram_perplexity(tokenizer: Tokenizer, texts: Sequence[str], seen: Sequence[str]) -> float:
    """Perplexity of `texts` under the token frequencies of the texts `seen`, one added to each count."""
    counts = np.ones(tokenizer.get_vocab_size())
    for encoding in tokenizer.encode_batch(list(seen)):
        np.add.at(counts, [*encoding.ids[1:], EOS], 1)
    logp = np.log(counts / counts.sum())
    said = [token for encoding in tokenizer.encode_batch(list(texts)) for token in (*encoding.ids[1:], EOS)]
    return float(np.exp(-logp[said].mean()))


def narrative_perplexity(model: torch.nn.Module, tokenizer: Tokenizer, *, n: int, seed: int = 1) -> dict[str, float]:
    """Perplexity on `n` plain stories each.

    "train": fresh ones of the training part; "combinations": held-out people and things in patterns that training shows;
    "held-out": in patterns that it never shows; "unigram": the same under the frequencies of tokens.
    """
    held = narrative(n, seed)
    return {
        "train": perplexity(model, tokenizer, narrative(n, seed, "train")),
        "combinations": perplexity(model, tokenizer, narrative(n, seed, "held-out", "train")),
        "held-out": perplexity(model, tokenizer, held),
        "unigram": unigram_perplexity(tokenizer, held, narrative(5 * n, seed + 1, "train")),
    }


def shortcuts(asked: Sequence[Item]) -> dict[str, float]:
    """What part of `asked` each shortcut would answer; a shortcut that has no opinion on an item counts half."""
    found = {}
    for name, tag in (("first-mentioned", "first"), ("last-mentioned", "last"), ("original", "origin")):
        found[name] = float(np.mean([_guess(item, tag) for item in asked]))
    answers = np.array([item.answer for item in asked])
    found["majority"] = float(max(np.mean(answers == choice) for choice in set(answers.tolist())))
    return found


def _guess(item: Item, tag: str) -> float:
    words = [choice.strip() for choice in item.choices]
    return float(item.tags[tag] == words[item.answer]) if item.tags[tag] in words else 0.5


def _batches(rows: list, size: int) -> Iterator[list]:
    source = iter(rows)
    while batch := list(islice(source, size)):
        yield batch


def _pad_rows(rows: Sequence[Sequence[int]]) -> torch.Tensor:
    width = max(map(len, rows))
    return torch.tensor([[*row, *[PAD] * (width - len(row))] for row in rows])


def _log_probabilities(model: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Log-probabilities (text, position, token); padding stands on the right, where it cannot be seen."""
    with torch.inference_mode():
        return F.log_softmax(model(input_ids=ids).logits.float(), dim=-1)
