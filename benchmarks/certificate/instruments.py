"""The rungs that instruments bring of their own, on simulated data: nulls of maps of weights, probes, patched heads and twins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np

from broca.evidence.matched_draws import MatchedDraws
from broca.evidence.rungs import causal, learned, reliable, selective, selective_weights, specific
from broca.instruments.perturb.grid import share_of
from broca.instruments.probe.head_maps import halves_agree
from broca.instruments.probe.scores import How, Target, score_target
from broca.instruments.probe.statements import Statements
from broca.instruments.sensitivity.ranking import _within
from broca.items import Tree
from broca.stats.answer_lots import answer_test
from broca.stats.permutation import permutation_test
from broca.stats.probing import Classifier
from broca.stats.reliability import halves as half_of
from broca.stats.stopping import decide, stopping_rule
from broca.units.weights import Address, WeightSet
from certificate.maps import WORDS
from certificate.parts import NOMINAL, Kept, generator
from certificate.rows import Row, share
from certificate.studies import ALPHA, DRAWS, Floats

Rng = np.random.Generator
BOOT = {"n": 500, "seed": 0}
HEADS, CASES, LOST = 24, 48, 3.0
"""Heads that can be patched, cases of which half choose, and logits that each lost."""


@dataclass(frozen=True, slots=True)
class RungCase:
    """Studies of a kind, seen by one rung of one instrument."""

    instrument: str
    name: str
    rung: str
    state: Callable[[Rng], str]
    true: bool = False


# -- weights -----------------------------------------------------------------------------------------------------------


def weights(*, told: float = 0.0) -> Callable[[Rng], str]:
    """A mask of the weights that other items' gradients rank first; `told` is how far gradients towards right answers agree.

    Items of any kind use the same format, to which some weights are more sensitive than to plain text.
    """

    def state(rng: Rng) -> str:
        n, width = 80, 200
        scale = np.exp(rng.normal(size=width))
        shared = rng.normal(size=width) * (rng.random(width) < 0.1)
        towards = scale * (rng.normal(size=(n, width)) + told * shared)
        texts = 0.5 * np.exp(rng.normal(size=width)) * rng.normal(size=(40, width))
        chosen = np.argsort(-(towards[: n // 2] ** 2).mean(0))[: width // 10]
        held = towards[n // 2 :]
        shares = [rows[:, chosen] ** 2 / (rows**2).mean(1, keepdims=True) for rows in (held, texts)]
        whole = [np.stack([row, -row]) for row in held]
        groups = [f"{i}" for i in range(len(held))]
        tested = answer_test(whole, [pair[:, chosen] for pair in whole], [0] * len(held), groups, n=199, seed=0)
        return selective_weights.weight_mask(*shares, tested, groups=groups, alpha=ALPHA).state

    return state


def weight_halves(alike: float) -> Callable[[Rng], str]:
    """Two halves of the samples score the weights of matrices of unlike scale; `alike` of the log scores' variance is shared."""

    def state(rng: Rng) -> str:
        n, k, per = 6, 400, 8
        shared = rng.normal(size=(n, k))
        halves = [alike**0.5 * shared + (1 - alike) ** 0.5 * rng.normal(size=(n, k)) for _ in range(2)]
        level = 3 * rng.normal(size=(n, 1))
        x, y = (half + level for half in halves)
        moments = np.stack([np.full(n, k), x.sum(1), y.sum(1), (x * x).sum(1), (y * y).sum(1), (x * y).sum(1)], axis=1)
        addresses = {f"m{i}": Address(i, "up", 20, k // 20) for i in range(n)}
        masks = [
            WeightSet({f"m{i}": np.argsort(-row)[:per] for i, row in enumerate(half)}, addresses) for half in halves
        ]
        return reliable.weight_mask(masks, _within(moments), float(np.corrcoef(x.ravel(), y.ravel())[0, 1])).state

    return state


# -- twins -------------------------------------------------------------------------------------------------------------


def twins(n: int, *, above: float = 0.0) -> Callable[[Rng], str]:
    """A figure that is like those of untrained twins, skewed; or lies above them."""

    def state(rng: Rng) -> str:
        own, *others = np.exp(0.8 * rng.normal(size=n + 1)).tolist()
        return learned.decide(own + above, others, most=n, alpha=ALPHA)[0]

    return state


# -- probes ------------------------------------------------------------------------------------------------------------


def _statements(rng: Rng, n: int) -> Statements:
    """Trees of eight words of which two are useful, by lot."""
    made = []
    for i in range(n):
        words = [str(word) for word in rng.choice(WORDS, 8, replace=False)]
        ends = np.cumsum([len(word) + 1 for word in words])
        spans = tuple((int(end) - 1 - len(word), int(end) - 1) for word, end in zip(words, ends, strict=True))
        first, last = (int(each) for each in rng.permutation(8)[:2])
        text = f"{' '.join(words)} ?"
        made.append(Tree(f"{i}", text, spans, (len(text) - 1, len(text)), ((first, last), (last, -1)), tuple(words), 0))
    return Statements.of(made)


def _attention(rng: Rng, statements: Statements, d: float) -> Floats:
    """(row, layer, head): some heads look at places, whatever stands there; half of them at useful statements, by d standard deviations."""
    rows, shape = len(statements.text), (2, 4)
    places = rng.normal(size=(8, *shape))[statements.place]
    looks = (np.arange(8).reshape(shape) % 2) * d
    return places + rng.normal(size=(rows, *shape)) + statements.height[:, None, None] * looks


def probes(rung: str, d: float = 0.0, n_twins: int = 0) -> Callable[[Rng], str]:
    """Attention that knows nothing of which statements are useful, or does."""

    def state(rng: Rng) -> str:
        seen = _statements(rng, 40)
        own = _attention(rng, seen, d)
        if rung == "reliable":
            halves = halves_agree(own, seen, seed=0)
            assert halves is not None
            return reliable.map_agreement(halves, "which heads look", "theories").state
        how = How(Classifier(), "all", 5, 39 if rung == "selective" else 0, 200, 0)
        others = tuple(_attention(rng, seen, 0.0) for _ in range(n_twins))
        found = [score_target(Target(name, seen, own, others, how)) for name in ("useful", "step")]
        if rung == "learned":
            return learned.probe_scores(found, ALPHA).state
        return selective.probe_scores(found, {"useful": "use", "step": "steps"}, shuffles=39, alpha=ALPHA).state

    return state


# -- patches -----------------------------------------------------------------------------------------------------------


def _restored(rng: Rng, effects: Floats, n: int = CASES) -> tuple[Floats, np.ndarray]:
    """(case, head) logits that each head restores, cases of a group alike; and the groups, of two cases each."""
    groups = np.arange(n) // 2
    shared = rng.normal(size=(n // 2, len(effects)))[groups]
    return effects + 0.5 * shared + 0.7 * rng.normal(size=(n, len(effects))), groups


def patches(rung: str, strong: float = 0.0, k: int = 2) -> Callable[[Rng], str]:
    """Heads of which none restores anything, or `k` restore `strong` logits each; chosen in one half, tested in the other."""

    def state(rng: Rng) -> str:
        effects = np.where(np.arange(HEADS) < k, strong, 0.0)
        values, groups = _restored(rng, effects)
        first, second = half_of(len(values), seed=0, groups=groups)
        mean = values[first].mean(0)
        chosen = np.argsort(-mean, kind="stable")[:k]
        if rung == "selective":
            a, labels = values[first], groups[first]
            test = permutation_test(a, np.zeros_like(a), groups=(labels, labels), paired=True, alpha=ALPHA)
            return selective.family_wise(test.p_max[chosen], "heads", "cases", ALPHA).state
        if rung == "reliable":
            return reliable.ranking(mean, values[second].mean(0), k, "heads", "cases").state
        return _place(values[second], groups[second], chosen, rng)

    return state


@cache
def _pairs() -> np.ndarray:
    return np.array(list(combinations(range(HEADS), 2)))


def _place(values: Floats, groups: np.ndarray, chosen: np.ndarray, rng: Rng) -> str:
    """*Causal* of a pair against all others, in an order by lot."""
    pairs = rng.permutation([pair for pair in _pairs() if set(pair) != set(chosen)])[:DRAWS]
    own, lost = values[:, chosen].sum(1), np.full(len(values), LOST)
    low, share, high = share_of(own, lost, groups, BOOT)
    drawn = np.array([values[:, pair].sum() for pair in pairs]) / lost.sum()
    decision = decide(drawn >= share - 1e-9, stopping_rule(ALPHA, draws=DRAWS))
    draws = MatchedDraws(decision, "of as many", DRAWS)
    return causal.patch_choice((low, share, high), drawn, draws, cases=len(values), what="heads", alpha=ALPHA).state


def pair_by_lot(strong: float, carriers: int = 1) -> Callable[[Rng], str]:
    """A pair of heads by lot, where one head carries everything."""

    def state(rng: Rng) -> str:
        effects = np.where(np.arange(HEADS) < carriers, strong, 0.1 * rng.normal(size=HEADS))
        values, groups = _restored(rng, effects)
        return _place(values, groups, rng.permutation(HEADS)[:2], rng)

    return state


def lent(own: float) -> Callable[[Rng], str]:
    """The clean run of another text restores as much as the text's own, or less by `own` logits."""

    def state(rng: Rng) -> str:
        foreign, groups = (each for each in _restored(rng, np.ones(1)))
        mine = foreign[:, 0] + own + rng.normal(size=len(foreign))
        return specific.patch_choice(mine, foreign[:, 0], np.full(len(mine), LOST), groups, BOOT).state

    return state


CASES_OF_RUNGS = (
    RungCase("sensitivity", "a mask by gradients, right answers by lot", "selective", weights()),
    RungCase("sensitivity", "halves that score weights by lot, matrices of unlike scale", "reliable", weight_halves(0.0)),
    RungCase("sensitivity", "gradients agree towards right answers", "selective", weights(told=4.0), true=True),
    RungCase("sensitivity", "halves that share four fifths", "reliable", weight_halves(0.8), true=True),
    RungCase("every", "a figure like its 19 twins', skewed", "learned", twins(19)),
    RungCase("every", "a figure like its 5 twins', skewed", "learned", twins(5)),
    RungCase("every", "a figure above its 19 twins'", "learned", twins(19, above=20.0), true=True),
    RungCase("probe", "labels by lot", "selective", probes("selective")),
    RungCase("probe", "labels by lot, heads that look at places", "reliable", probes("reliable")),
    RungCase("probe", "labels by lot, 19 twins like it", "learned", probes("learned", n_twins=19)),
    RungCase("probe", "half of the heads look at useful statements", "selective", probes("selective", 2.0), true=True),
    RungCase("probe", "half of the heads look at useful statements", "reliable", probes("reliable", 0.7), true=True),
    RungCase("perturb", "no head restores anything", "selective", patches("selective")),
    RungCase("perturb", "no head restores anything", "reliable", patches("reliable")),
    RungCase("perturb", "no head restores anything", "causal", patches("causal")),
    RungCase("perturb", "one head carries everything, a pair by lot", "causal", pair_by_lot(2.0)),
    RungCase("perturb", "another text's run restores as much", "specific", lent(0.0)),
    RungCase("perturb", "two heads restore a logit of three", "selective", patches("selective", 1.0), true=True),
    RungCase("perturb", "two heads restore a logit of three", "causal", patches("causal", 1.0), true=True),
)  # fmt: skip


def rows(kept: Kept, n: int) -> list[Row]:
    """What each rung claims, of nulls and of truths; and nulls by instrument."""
    found: list[Row] = []
    pooled: dict[str, list[str]] = {}
    for case in CASES_OF_RUNGS:
        name = f"{case.instrument}: {case.name}"
        states = kept(f"rung {name}, {case.rung}", n, lambda k, case=case, name=name: case.state(generator(name, k)))
        bound = {"bound": 0.8, "side": "at least"} if case.true else {"bound": NOMINAL}
        found.append(share("rung", name, states, claim=case.rung, **bound))
        if not case.true and case.instrument != "every":
            pooled.setdefault(case.instrument, []).extend(states)
    for instrument, states in pooled.items():
        found.append(share("rung", f"{instrument}: all nulls", states, claim="a rung", bound=NOMINAL, strict=True))
    return found
