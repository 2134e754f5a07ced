"""Abilities planted in random models of several architectures: is the place found at the size that a plan recommends?

Units of the last block answer items, by a table of their texts: some the own ability's, some the other one's, and some carry noise and a
little of either, so that a lesion takes most of an ability and its answers do not become all the same. The place is claimed as units, as
the head that holds them, or as the weights by which they write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any, Literal

import numpy as np
from ground import tokenizer
from scipy.special import ndtri

from broca.cache.cache import no_cache
from broca.capture import Moments, capture
from broca.evidence.conditions import LesionScorer
from broca.evidence.holding import hold, rungs, trial_of
from broca.evidence.trial import Conduct
from broca.instruments.lesion.spec import CausalTest
from broca.instruments.localize.spec import Localize
from broca.interventions.plant import Plant, Planting, text_key
from broca.items import Item
from broca.models.build import fresh
from broca.models.lm import LM
from broca.models.questions import split
from broca.models.weight_matrices import matrices
from broca.scoring import Likelihood, chat_of
from broca.sites import Site
from broca.stats.ladder_needs import ladder_needs
from broca.stats.ladder_power import Study
from broca.units import UnitMask, WeightSet
from certificate.parts import NOMINAL, Kept, generator
from certificate.random_models import sentence
from certificate.rows import Row, share
from certificate.studies import DRAWS, Outcome

Grain = Literal["unit", "head", "weight"]
IDS: Mapping[str, Any] = {
    "vocab_size": 1024,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
    "initializer_range": 0.1,
}
DECODER: Mapping[str, Any] = {
    **IDS,
    "hidden_size": 64,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 16,
    "intermediate_size": 128,
    "max_position_embeddings": 128,
}
FIVE = {"num_hidden_layers": 4, "num_attention_heads": 5, "num_key_value_heads": 5, "hidden_size": 80}
ARCHITECTURES: Mapping[str, Mapping[str, Any]] = {
    "GPT-2": {"model_type": "gpt2", **IDS, "n_embd": 64, "n_layer": 5, "n_head": 4, "n_positions": 128},
    "Llama, 5 heads a layer": {"model_type": "llama", **DECODER, **FIVE},
    "Qwen 3": {"model_type": "qwen3", **DECODER},
    "Gemma 2, 5 heads a layer": {"model_type": "gemma2", **DECODER, **FIVE},
    "GPT-NeoX": {"model_type": "gpt_neox", **DECODER},
    "Phi": {"model_type": "phi", **DECODER},
    "OPT, 5 heads a layer": {"model_type": "opt", **IDS, "hidden_size": 80, "num_hidden_layers": 4, "num_attention_heads": 5, "ffn_dim": 128, "word_embed_proj_dim": 80, "max_position_embeddings": 128},
    "OLMo 2": {"model_type": "olmo2", **DECODER},
}  # fmt: skip
"""Each with 20 heads: with fewer no rank among them is at .05."""
WORDS = (" river", " stone")
K = 6
PLAN = Study(loss=0.35, intact=0.95, others=1)
GROUPS = ladder_needs(PLAN).study.groups
"""What `broca plan --loss 0.35` recommends."""
N_ROUTED = 64
GAINS = (0.15, 0.3, 0.6, 1.2, 2.4)
"""What a set adds to the residual stream, in its norm: the first at which the intact model answers, which is where margins spread by about
two nats, as a plan has it. Behind norms that follow a block's parts more is needed."""
ABLE = 0.9
"""Accuracy at which it does; 95 % of answers are right if the planted sets alone decide."""
LEFT = 0.6
"""Accuracy without the place."""


@dataclass(frozen=True, slots=True)
class World:
    """A model with two planted abilities."""

    lm: LM
    abilities: Mapping[str, Sequence[Item]]
    plants: tuple[Plant, ...]
    place: UnitMask | WeightSet


def _items(rng: np.random.Generator, name: str, groups: int, each: int) -> list[Item]:
    made = []
    for i in range(groups * each):
        answer, turned = i % 2, int(rng.integers(2))
        choices = WORDS[:: -1 if turned else 1]
        made.append(
            Item(f"{name}{i}", f"{name} {i} {sentence(rng)} is", choices, answer ^ turned, name, f"{name} {i // each}")
        )
    return made


def build(architecture: str, grain: Grain, groups: int, rng: np.random.Generator) -> World:
    """Plant both abilities in a new random model."""
    seed = int(rng.integers(1 << 31))
    lm = LM.wrap(fresh(ARCHITECTURES[architecture], seed), tokenizer(), name=architecture)
    abilities = {name: _items(rng, name, groups, PLAN.items) for name in ("own", "other")}
    every = [item for items in abilities.values() for item in items]
    asked = split(lm, [item.prompt for item in every], [list(item.choices) for item in every])
    sides = {
        text_key(q.shared.ids): 1 if item.choices[item.answer] == WORDS[0] else -1
        for q, item in zip(asked, every, strict=True)
    }
    n, keys = len(abilities["own"]), list(sides)
    first, second = (q.options[item.choices.index(word)][0] for word in WORDS for q, item in [(asked[0], every[0])])
    kind = "z" if grain == "head" or not lm.anatomy.has(Site(0, "mlp_act")) else "mlp_act"
    last = lm.anatomy.sites(kind)[-1]  # type: ignore[arg-type]
    size = capture(lm, [q.shared for q in asked], [Site(last.layer, "resid_post")], Moments)[
        Site(last.layer, "resid_post")
    ]
    norm = float(np.sqrt((size.mean**2 + size.m2 / size.count).sum()))
    unembedding = lm.model.get_output_embeddings().weight.detach().double().numpy()
    towards = unembedding[first] - unembedding[second]
    width = lm.anatomy.width(last)
    per = lm.anatomy.head_width(last) if grain == "head" else 0
    if grain == "head":
        own, other, rest = rng.permutation(lm.anatomy.n_heads)[:3]
        sets = [np.arange(h * per, h * per + K) for h in (own, other, rest)]
        mask = UnitMask.of({str(last): [int(own)]}, n=lm.anatomy.n_heads, grain="head")
    else:
        sets = list(rng.permutation(width)[: 3 * K].reshape(3, K))
        mask = UnitMask.of({str(last): sets[0].tolist()}, n=width)
    # Each set adds noise of one unit of size to a margin; three sets together have the square root of three.
    little = float(ndtri(LEFT)) * 2**0.5
    signal = float(ndtri(PLAN.intact)) * 3**0.5 - little
    shifts = (signal, signal, little)
    tables = ({k: sides[k] for k in keys[:n]}, {k: sides[k] for k in keys[n:]}, sides)
    axis, signs = towards / np.linalg.norm(towards), list(zip(sets, shifts, tables, strict=True))
    plants: tuple[Plant, ...] = ()
    for gain in GAINS:
        plants = _plants(last, signs, gain * norm * axis, seed)
        if _able(lm, abilities, plants):
            break
    place = mask if grain != "weight" else _rows(lm, last, sets[0])
    return World(lm, abilities, plants, place)


def _plants(
    site: Site, sets: Sequence[tuple[np.ndarray, float, Mapping[str, int]]], write: np.ndarray, seed: int
) -> tuple[Plant, ...]:
    """Each set of units, by how much it is shifted towards the sides of its table; together they write `write`."""
    return tuple(
        Plant(
            {site: Planting(units, np.ones(K), np.full(K, 2 * shift / K**0.5), np.tile(write / K**0.5, (K, 1)), rest=0.0)},
            table, seed=seed + i,
        )
        for i, (units, shift, table) in enumerate(sets)
    )  # fmt: skip


def _able(lm: LM, abilities: Mapping[str, Sequence[Item]], plants: Sequence[Plant]) -> bool:
    """Whether the model has both abilities."""
    with lm.under(*plants):
        return all(Likelihood()(lm, list(items))["correct"].mean() >= ABLE for items in abilities.values())  # type: ignore[operator]


def _rows(lm: LM, site: Site, units: np.ndarray) -> WeightSet:
    """The weights by which units write."""
    every = matrices(lm.model, lm.anatomy)
    tap = lm.anatomy.tap(site).module
    (matrix,) = [m for m in every if m.module == tap]
    index = (np.arange(matrix.address.rows)[:, None] * matrix.address.columns + units).ravel()
    return WeightSet({matrix.name: index}, {m.name: m.address for m in every})


def climb(world: World, seed: int) -> tuple[str, str, str]:
    """State of causal and of specific, and the caveat of causal."""
    lm, how = world.lm, Conduct(seed=seed, gate="mark", n_bootstrap=200)
    items = tuple(item for group in world.abilities.values() for item in group)
    units = isinstance(world.place, UnitMask)
    with lm.under(*world.plants):
        bench = LesionScorer(lm, items, Likelihood(), chat_of(Likelihood()), no_cache)
        trial = trial_of(bench, world.place, how, draws=DRAWS, match=("layer", "size") if units else ())
        causal, specific = rungs(*hold(bench, trial, world.abilities, how))
    return causal.state, specific.state, causal.caveat


def massive(rng: np.random.Generator) -> World:
    """One unit of a thousand times the size answers every item of both abilities; it is claimed among five that do nothing."""
    world = build("Llama, 5 heads a layer", "unit", GROUPS, rng)
    (site,) = world.place.at  # type: ignore[union-attr]
    one, *_, rest = world.plants
    planted, every = one.at[site], rest.sides
    unit, size = planted.units[:1], 1e3
    writes = planted.weights[:1] * K**0.5 / size
    giant = Planting(unit, np.full(1, size), np.full(1, 2 * float(ndtri(PLAN.intact))), writes, rest=0.0)
    free = np.setdiff1d(
        np.arange(world.lm.anatomy.width(site)), np.concatenate([p.at[site].units for p in world.plants])
    )
    place = UnitMask.of({str(site): [int(unit[0]), *free[:5].tolist()]}, n=world.lm.anatomy.width(site))
    return World(world.lm, world.abilities, (Plant({site: giant}, every, seed=one.seed),), place)


def in_routed(k: int) -> str:
    """The place of beliefs in `routed`, of the contrast that tells outdated beliefs, on new items: both rungs in one word."""
    spec = CausalTest(
        localizer=Localize(contrast="beliefs/outdated", options={"detail": 0.0}, grain="head", permutations=0), percent=5, items="beliefs/false-belief",
        others=("beliefs/photograph", "beliefs/memory"), options={"detail": 0.0, "seed": 100 + k}, n_items=N_ROUTED, n_bootstrap=200,
    )  # fmt: skip
    states = {rung.name: rung.state for rung in spec.run(_routed()).verdict.rungs}
    return Outcome(states["causal"], states["specific"], 0).place


@cache
def _routed() -> LM:
    return LM.load("routed")


GRAINS: Mapping[Grain, tuple[str, int]] = {
    "unit": (f"{K} units", 1),
    "head": ("a head", 2),
    "weight": (f"the weights by which {K} units write", 1),
}
"""In words, and studies of each for one architecture: of heads 19 others are drawn at most, which is cheap."""


def rows(kept: Kept, n: int) -> list[Row]:
    """What is found of planted places, by what is claimed and by architecture; and what is claimed of a massive unit."""
    found: dict[tuple[str, Grain], list[str]] = {}
    for architecture, (grain, (_, times)) in product(ARCHITECTURES, GRAINS.items()):
        name = f"planted {architecture} {grain}"

        def study(k: int, architecture: str = architecture, grain: Grain = grain, name: str = name) -> list[str]:
            return [*climb(build(architecture, grain, GROUPS, generator(name, k)), k)]

        found[architecture, grain] = [Outcome(*each[:2], 0).place for each in kept(name, times * n, study)]
    size, both = f"{GROUPS} groups of {PLAN.items}", "causal and specific"
    at_least: dict[str, Any] = {"bound": 0.8, "side": "at least"}
    made = []
    for grain, (told, _) in GRAINS.items():
        states = [state for (_, own), some in found.items() if own == grain for state in some]
        made.append(
            share("planted", f"{told}, {len(ARCHITECTURES)} architectures, {size}", states, claim=both, **at_least)
        )
    for heads in (4, 5):
        states = [
            s
            for (a, grain), some in found.items()
            if grain == "head" and ("5 heads" in a) is (heads == 5)
            for s in some
        ]
        made.append(share("planted", f"a head in layers of {heads}, {size}", states, claim=both, **at_least))
    for architecture in ARCHITECTURES:
        states = [state for (own, _), some in found.items() if own == architecture for state in some]
        made.append(share("planted", f"{architecture}, units, heads and weights", states, claim=both, **at_least))
    every = [state for some in found.values() for state in some]
    made.append(share("planted", "all of these", every, of="undecided", bound=0.15))
    states = kept(f"planted in routed, {N_ROUTED} items", 3 * n, in_routed)
    made.append(share("planted", f"the place of beliefs in `routed`, {N_ROUTED} items", states, claim=both, **at_least))
    giants = kept("planted massive", 5 * n, lambda k: [*climb(massive(generator("massive", k)), k)])
    places = [Outcome(*each[:2], 0).place for each in giants]
    made.append(
        share("planted", "a massive unit that everything needs, among others", places, claim=both, bound=NOMINAL)
    )
    unsaid = ["passed" if each[0] == "passed" and not each[2] else "said" if each[2] else each[0] for each in giants]
    made.append(
        share(
            "planted",
            "a massive unit that everything needs, among others",
            unsaid,
            claim="causal, the massive unit unsaid",
            bound=NOMINAL,
        )
    )
    return made
