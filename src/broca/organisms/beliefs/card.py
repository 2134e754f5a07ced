"""What a training of `beliefs` reports, and the model card made of it."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What came of a training: how it was run, how the loss fell, and what the result can do on held-out items."""

    command: str
    seed: int
    steps: int
    seconds: float
    parameters: int
    curve: tuple[dict[str, float], ...]
    """Means since the point before: losses of stories (answers), sums (answers) and text."""
    looks: tuple[dict[str, float], ...]
    """Held-out accuracies during training: step and the part right by likelihood for each ability."""
    accuracy: dict[str, float]
    """By ability: the part of held-out items whose right choice is the likelier one."""
    exact: dict[str, float]
    """By ability: the part whose greedy output is the answer, word for word, and then ends."""
    shortcuts: dict[str, dict[str, float]]
    """What shortcuts would score on the same kinds of items: `exam.shortcuts` of each benchmark."""
    perplexity: dict[str, float]
    """A token of narrative: see `exam.narrative_perplexity`."""


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
