"""The features of `routed` whose truth is known: those that belong to the head that carries beliefs, and others that fire."""

from __future__ import annotations

from functools import cache

import broca
from broca.instruments.lesion.spec import CausalTest
from broca.models.lm import LM
from broca.sites import Site
from broca.units import UnitMask
from certificate.parts import NOMINAL, Kept, generator
from certificate.rows import Row, share
from certificate.studies import Outcome

SITE, HEAD = Site(0, "feature"), 4
"""Head 0.4 carries beliefs, as ablation shows."""
TRUE, LOTS, ITEMS = 3, 5, 40
"""Studies of the true features, and of as many that were chosen by lot; and items of each ability: five of each of eight groups."""


@cache
def routed() -> LM:
    """With its dictionary."""
    return LM.load("routed").with_features(broca.read_dictionary("routed"))


@cache
def truth() -> tuple[int, ...]:
    """The features whose decoder row lies in that head by more than half."""
    lm = routed()
    decoder = lm.anatomy.dictionary(0).decoder
    rows = decoder.reshape(len(decoder), lm.anatomy.n_heads, -1)
    share_of = (rows**2).sum(2)[:, HEAD] / (rows**2).sum((1, 2))
    return tuple(int(i) for i in (share_of > 0.5).nonzero()[0])


def place(features: tuple[int, ...], seed: int) -> str:
    """Both rungs of the place in one word, on items of their own."""
    mask = UnitMask.of({str(SITE): list(features)}, n=routed().anatomy.width(SITE))
    spec = CausalTest(
        selection=mask, items="beliefs/false-belief", others=("beliefs/photograph",),
        options={"detail": 0.0, "seed": 200 + seed}, n_items=ITEMS, n_bootstrap=200, seed=seed,
    )  # fmt: skip
    states = {rung.name: rung.state for rung in spec.run(routed()).verdict.rungs}
    return Outcome(states["causal"], states["specific"], 0).place


def by_lot(k: int) -> str:
    """As many features as belong to the head, from all that there are."""
    drawn = generator("features by lot", k).choice(routed().anatomy.width(SITE), len(truth()), replace=False)
    return place(tuple(int(i) for i in drawn), k)


def rows(kept: Kept, n: int) -> list[Row]:
    """What is found of true features, and claimed of others."""
    found = kept(f"planted features, {ITEMS} items", TRUE * n, lambda k: place(truth(), k))
    lots = kept(f"features by lot, {ITEMS} items", LOTS * n, by_lot)
    both, what = "causal and specific", f"features of the head that carries beliefs in `routed`, {ITEMS} items"
    return [
        share("planted", what, found, claim=both, bound=0.8, side="at least"),
        share("planted", what, found, of="undecided", bound=0.15),
        share("planted", f"as many features by lot, {ITEMS} items", lots, claim=both, bound=NOMINAL),
    ]
