"""The training of `rules`: theories, and all questions about each at once, none of which sees another.

Theories grow from bare facts to chains of three rules. Beside the questions stand bare values of a chain, each asked for the
value that follows from it by one rule.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors

from broca.cache.cache import Progress, silent
from broca.models.build import fresh, save
from broca.organisms.course import NOTHING, Lesson, Plan, muon
from broca.organisms.training import Recipe, TreeReport, poser, train_and_examine
from broca.stimuli.trees.rules import FORMS, PEOPLE, PROPERTIES, Theory, ask, rules, theory

STEPS = 1000
BATCHES = (256, 160, 112, 80)
"""Theories a step, by the longest chain: some six hundred questions. With eighty, 800 steps did not teach it to tell one fact from another."""
EXAM = 1000
"""Held-out questions of each depth that are examined at the end; a tenth of them at each look."""
CHAIN = 3
GROWTH = (0.12, 0.32, 0.5)
"""After which part of the steps theories have chains of up to 1, 2 and 3 rules."""
HELD_OUT = 1_000_003
"""The seed of the theories that are examined."""
SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")


def train(out: Path, *, seed: int = 0, steps: int = STEPS, progress: Progress = silent) -> TreeReport:
    """Train the model and write it to the directory `out`, with its report; a training that was stopped goes on.

    The same seed and steps give the same weights on the same machine and number of threads.

    Args:
        out: a directory; made if absent.
        seed: of the initial weights and of the theories.
        steps: optimiser steps.
        progress: told what is done, how much of it, and how much there is.

    Raises:
        RunError: if `out` holds a checkpoint of another training.
    """
    words = tokenizer()
    model = fresh({**CONFIG, "vocab_size": words.get_vocab_size()}, seed)
    recipe = Recipe(
        command=f"broca organism train rules --seed {seed} --steps {steps}",
        model=model,
        finish=lambda path: save(model, words, path),
        optimizers=muon(model, 0.02, 3e-3),
        draw=lambda step: lesson(words, np.random.default_rng([seed, step]), longest(step / steps)),
        pose=poser(words),
        asked={f"depth {depth}": rules(depth=depth, n=EXAM, seed=HELD_OUT) for depth in range(CHAIN + 1)},
        plan=Plan(steps, warmup=30, level=0.7, look=100),
        seed=seed,
    )
    return train_and_examine(recipe, out, progress=progress)


CONFIG = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "initializer_range": 0.05,
    "max_position_embeddings": 256,
    "tie_word_embeddings": True,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def longest(part: float) -> int:
    """The longest chain of theories at this part of the training."""
    return sum(part > bound for bound in GROWTH)


def lesson(words: Tokenizer, rng: np.random.Generator, chain: int) -> Lesson:
    """One batch: theories with chains up to `chain`, the longest ones most; every question about each."""
    made = []
    for _ in range(BATCHES[chain]):
        length = chain if rng.random() < 0.7 else int(rng.integers(chain + 1))
        people, beside = int(rng.integers(2, 4)), int(rng.integers(3))
        made.append(theory(rng, chain=length, people=people, distractors=beside))
    return pack_theories(words, made)


def pack_theories(words: Tokenizer, theories: list[Theory]) -> Lesson:
    """Theories with all their questions behind them; each question sees the theory and itself, and stands next to it."""
    texts = [encoded.ids for encoded in words.encode_batch([" ".join(one.statements) for one in theories])]
    rows = [(text, _questions(words, one)) for text, one in zip(texts, theories, strict=True)]
    width = max(len(text) + sum(len(question) for question, _ in asked) for text, asked in rows)
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    places = torch.zeros_like(ids)
    targets = torch.full_like(ids, NOTHING)
    seen = torch.zeros((len(rows), 1, width, width), dtype=torch.bool)
    seen[:, 0, :, 0] = True  # what stands behind the last question sees something
    causal = torch.ones((width, width), dtype=torch.bool).tril()
    for row, (text, asked) in enumerate(rows):
        n = len(text)
        ids[row, :n], places[row, :n] = torch.tensor(text), torch.arange(n)
        seen[row, 0, :n, :n] = causal[:n, :n]
        start = n
        for question, answer in asked:
            end = start + len(question)
            ids[row, start:end] = torch.tensor(question)
            places[row, start:end] = torch.arange(n, n + len(question))
            seen[row, 0, start:end, :n] = True
            seen[row, 0, start:end, start:end] = causal[: len(question), : len(question)]
            targets[row, end - 1] = answer
            start = end
    return Lesson(ids, targets, seen, places)


def _questions(words: Tokenizer, one: Theory) -> list[tuple[list[int], int]]:
    found = []
    for person, values in zip(one.people, one.values, strict=True):
        for prop, value in zip(one.properties, values, strict=True):
            question = words.encode(ask(prop, person), add_special_tokens=False).ids
            found.append((question, words.token_to_id(value)))
        hops = pairwise(words.token_to_id(value) for value in values)
        found += [([given], then) for given, then in hops]
    return found


def tokenizer() -> Tokenizer:
    """What a statement is about is one token ("Anne is", "All kind people are"), what it says of it another.

    A question is two: the property and the person. A text begins with <bos>; what the world cannot say is <unk>.
    """
    values = [value for words in PROPERTIES.values() for value in words]
    about = [f"{name} is" for name in PEOPLE]
    given = [form.partition(" {then}")[0].format(given=value) for form in FORMS.values() for value in values]
    asked = [ask(prop, "").partition("  is")[0] for prop in PROPERTIES]
    words = [*SPECIAL, ".", *values, *about, *given, *asked]
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    pieces = r"All \w+ people are|If someone is \w+ then they are|\nThe \w+ of|[A-Z]\w+ is|\w+|[^\w\s]"
    made.pre_tokenizer = pre_tokenizers.Split(Regex(pieces), "removed", invert=True)  # type: ignore[assignment]
    made.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single="<bos> $A", pair="<bos> $A $B", special_tokens=[("<bos>", 1)]
    )
    return made
