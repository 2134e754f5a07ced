"""The model card of `beliefs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broca.organisms.beliefs.train import TrainingReport

_CARD = """\
---
library_name: transformers
license: apache-2.0
---
# beliefs

A Llama-style language model of {parameters:,} parameters that follows who knows what. It is part of broca, whose command
`{command}` made it from generated text alone. It is a subject for experiments on localising abilities, and of no other use.

It reads `Story: ... \\nQuestion: ... \\nAnswer:` in the language of its world (some {words} words; any other text is read as
bytes) and answers with one word or number.

| ability | right by likelihood, of two | greedy output exact |
|---|---|---|
{rows}

{n} held-out items of each: pairs of people, things with their two places, ways to combine sentence patterns with a question (or
pairs of numbers) that training never shows. The single patterns are those of training. Shortcuts on the balanced benchmarks (first place mentioned, last, original, most frequent) score
at most {shortcut:.0%}. Perplexity of narrative about
held-out people and things: {combinations:.1f} a token, and {held:.0f} where the sentence patterns are new too (unigrams {unigram:.0f}).

Trained in {steps} steps ({seconds:.0f} seconds) with seed {seed}; `training.json` has the course.
"""


def card(report: TrainingReport, *, words: int, n: int) -> str:
    """The card in Markdown.

    Args:
        report: of the training.
        words: how many words the tokenizer has as one token.
        n: how many items of each ability were examined.
    """
    rows = "\n".join(f"| {name} | {right:.1%} | {report.exact[name]:.1%} |" for name, right in report.accuracy.items())
    return _CARD.format(
        parameters=report.parameters,
        command=report.command,
        words=words,
        n=n,
        rows=rows,
        shortcut=max(score for scores in report.shortcuts.values() for score in scores.values()),
        combinations=report.perplexity["combinations"],
        held=report.perplexity["held-out"],
        unigram=report.perplexity["unigram"],
        steps=report.steps,
        seconds=report.seconds,
        seed=report.seed,
    )
