"""The belief localizer stimuli: stories about what somebody believes, each beside one about what a picture shows.

The two of a pair are told in the same world with the same kinds of sentences, and have as many words in the story and in the
question. Over 64 pairs it is crossed: whether the answer is the
old or the new place, and whether it stands first among the choices.
``python -m broca.organisms.beliefs.stories FILE`` writes them. All are held out: their people, things and places, and the
ways in which their sentences are combined, never occur in training.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from broca.errors import StimulusError
from broca.items import Contrast, Stimulus
from broca.organisms.beliefs.courses import Story, fits, misleads, tell
from broca.organisms.beliefs.story import DETAIL
from broca.organisms.beliefs.world import items, prompt
from broca.stimuli.options import Count, Seed, Share
from broca.stimuli.paradigms import BELIEF
from broca.tries import tries

PAIRS, POOL = 64, 600
Row = dict[str, Any]


def contrast(*, n: int = PAIRS, seed: Seed = 0, detail: Share = DETAIL) -> Contrast:
    """Stories of the same making as the contrast `belief`, for models that know another part of the world.

    Args:
        n: pairs, the first ones of those that the seed gives.
        seed: another seed gives other stories.
        detail: how much detail makes the stories hard, from 0 to 1.

    Raises:
        StimulusError: if `n` is below 2 or above 64.
    """
    if not 2 <= n <= PAIRS:
        raise StimulusError(f"n is {n}. There are {PAIRS} pairs of stories for each seed: give 2 to {PAIRS}.")
    made = rows(seed, detail)[: 2 * n]
    positive, negative = (
        tuple(Stimulus(r["id"], prompt(r["story"], r["question"]), r["group"]) for r in made if r["label"] == label)
        for label in ("positive", "negative")
    )
    return Contrast(
        "beliefs/stories",
        positive,
        negative,
        paired=True,
        source=f"Generated held-out stories of the world of `beliefs` (seed {seed}, detail {detail:g}): what somebody believes "
        f"against what a picture shows. Paradigm: {BELIEF}.",
    )


def outdated_contrast(*, n: Annotated[Count, Field(ge=2)] = 100, seed: Seed = 0, detail: Share = DETAIL) -> Contrast:
    """Questions about beliefs that are out of date (positive) against those about beliefs that are not.

    Both sides ask the same questions, so the words of a question tell nothing: only who saw what does.

    Args:
        n: stories on each side.
        seed: another seed gives other stories.
        detail: how much detail makes the stories hard, from 0 to 1.

    Raises:
        StimulusError: if `n` is below 2.
    """
    positive, negative = (
        tuple(
            Stimulus(item.id, item.prompt, item.group)
            for item in items(f"{kind}-belief", n, seed + 1000, detail=detail)
        )
        for kind in ("false", "true")
    )
    return Contrast(
        "beliefs/outdated",
        positive,
        negative,
        source=f"Generated held-out stories of the world of `beliefs` (seed {seed}, detail {detail:g}): beliefs that are out of date "
        f"against beliefs that are not. Paradigm: {BELIEF}.",
    )


def rows(seed: int = 0, detail: float = DETAIL) -> tuple[Row, ...]:
    """The stimuli, positive (belief) and negative (picture) in turn; the two of a pair share their ``group``."""
    rng = np.random.default_rng(seed)
    paired = {new: _story_pairs(rng, detail, new=new) for new in (False, True)}
    found: list[Row] = []
    for number in range(PAIRS):
        new, second = bool(number & 1), bool(number & 2)
        for label, kind, story in zip(
            ("positive", "negative"), ("belief", "picture"), paired[new][number // 2], strict=True
        ):
            choices = [story.answer, story.foil]
            found.append(
                {
                    "id": f"{kind}-{number:02d}",
                    "label": label,
                    "group": f"pair-{number:02d}",
                    "story": story.text,
                    "question": story.question,
                    "choices": choices[::-1] if second else choices,
                    "answer": int(second),
                    "kind": f"{'true' if new else 'false'}-{kind}",
                }
            )
    return tuple(found)


def text(seed: int = 0) -> str:
    """The stimuli as the lines of the data file."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows(seed))


def _story_pairs(rng: np.random.Generator, detail: float, *, new: bool) -> list[tuple[Story, Story]]:
    """Pairs of a belief and a picture story of equal lengths, whose answers are both the new place or both the old one."""
    beliefs = _pool("true-belief" if new else "false-belief", rng, detail, new=new)
    pictures: dict[tuple[int, ...], list[Story]] = {}
    for story in _pool(f"photograph-{'after' if new else 'before'}", rng, detail, new=new):
        pictures.setdefault(_lengths(story), []).append(story)
    pairs = [(story, pictures[_lengths(story)].pop()) for story in beliefs if pictures.get(_lengths(story))]
    if len(pairs) < PAIRS // 2:
        raise StimulusError(
            f"At detail {detail:g} {len(pairs)} pairs of stories have the same lengths, and {PAIRS // 2} are needed. Give more detail "
            "(1 is the most), or another seed."
        )
    return pairs


def _pool(kind: str, rng: np.random.Generator, detail: float, *, new: bool) -> list[Story]:
    """Different held-out stories of a kind."""
    found: dict[str, Story] = {}
    few = f"At detail {detail:g} there are too few different stories of the kind {kind!r}. Give more detail (1 is the most)."
    for _ in tries(few, most=100 * POOL):
        if len(found) == POOL:
            break
        story = tell(kind, rng, "held-out", detail=detail)
        if (story.answer == story.now) == new and fits(story, "held-out") and not misleads(story):
            found.setdefault(story.text, story)
    return list(found.values())


def _lengths(story: Story) -> tuple[int, ...]:
    """Words of the story, and of the question."""
    return len(story.text.split()), len(story.question.split())


def main() -> None:
    """Write the file that the command line names."""
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
