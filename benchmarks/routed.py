"""Known truth: which ranking finds the heads that carry the belief ability of `routed`, and what the ladder says of each part.

For each training seed of the organism (the shipped one, and the directories given), the truth is what ablation shows
(``truth.json``: each head alone, 100 held-out items of each ability):

* *carrying*: costs false beliefs more than `COST`, and no other ability more than `SPARED` (true beliefs are asked by the same question);
* *general*: costs false beliefs and something else; where no single head does so, the pair of heads that costs all most.

Heads and MLP units are ranked by every method; the ladder is climbed by the carrying heads (through a localizer), the general
ones (given), and by the MLP units that contrasts select.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ground import Row, arguments, settle, write
from sklearn.metrics import roc_auc_score

from broca.cache.cache import no_cache
from broca.capture import Moments, capture
from broca.cli.demo import ROUTED
from broca.evidence.agreement import first_order_effects
from broca.instruments.lesion.spec import CausalTest
from broca.instruments.localize.spec import Localize
from broca.interventions import Lesion
from broca.items import Item
from broca.models.lm import LM
from broca.organisms import organism_path
from broca.organisms.routed.train import HEAD, UNITS
from broca.scoring import Likelihood
from broca.sites import Site
from broca.stimuli.benchmarks import benchmark
from broca.units import Select, UnitMask

COST, SPARED = 0.2, 0.05
OWN, TWIN = "false-belief", "true-belief"
OTHERS = ("photograph", "reality", "memory", "arithmetic-easy", "arithmetic-hard")
BARE = {"detail": 0.0}
CONTRASTS = ("belief", "beliefs/stories", "beliefs/outdated")
Scores = Mapping[Site, Any]
Head = tuple[int, int]


def costs(path: Path) -> dict[tuple[Head, ...], dict[str, float]]:
    """What ablating each head or pair of heads costs each ability."""
    intact, *rows = json.loads((path / "truth.json").read_text(encoding="utf-8"))
    found = {}
    for row in rows:
        kind, *names = row["ablated"].split()
        if kind == "heads" and not any("*" in name or "(" in name for name in names):
            heads = tuple((int(layer), int(head)) for layer, head in (name.split(".") for name in names))
            found[heads] = {a: intact["accuracy"][a] - row["accuracy"][a] for a in intact["accuracy"]}
    return found


def parted(cost: Mapping[tuple[Head, ...], Mapping[str, float]]) -> tuple[list[Head], tuple[Head, ...]]:
    """The heads that carry false beliefs alone, and one set of heads that several abilities need."""

    def spoilt(loss: Mapping[str, float]) -> list[str]:
        return [a for a in OTHERS if loss[a] > SPARED]

    carrying = [heads[0] for heads, loss in cost.items() if len(heads) == 1 and loss[OWN] > COST and not spoilt(loss)]
    broad = {heads: loss for heads, loss in cost.items() if loss[OWN] > COST and spoilt(loss)}
    single = {heads: loss for heads, loss in broad.items() if len(heads) == 1}
    some = single or broad
    return carrying, max(some, key=lambda heads: sum(some[heads].values())) if some else ()


def mask_of(lm: LM, heads: Sequence[Head]) -> UnitMask:
    by_site: dict[str, list[int]] = {}
    for layer, head in heads:
        by_site.setdefault(f"{layer}.z", []).append(head)
    return UnitMask.of(by_site, n=lm.anatomy.n_heads, grain="head")


def rankings(lm: LM, kind: str) -> dict[str, Scores]:
    """The score of every head (of z) or MLP unit by every method, the highest first."""
    sites, grain = lm.anatomy.sites(kind), "head" if kind == "z" else "unit"  # type: ignore[arg-type]
    own, other = (list(benchmark(f"beliefs/{name}", n=100, seed=7, **BARE)) for name in (OWN, TWIN))
    found: dict[str, Scores] = {}
    for name in CONTRASTS:
        options = BARE if name.startswith("beliefs/") else {}
        for pool in ("last", "mean"):
            spec = Localize(contrast=name, options=options, sites=f"*.{kind}", grain=grain, pool=pool)  # type: ignore[arg-type]
            found[f"t, {name}, {pool} token{'s' if pool == 'mean' else ''}"] = _absolute(spec.run(lm).t)
    for name, items in ((OWN, own), (TWIN, other)):
        scores = first_order_effects(lm, items, sites, grain, chat="auto", cache=no_cache)  # type: ignore[arg-type]
        assert scores is not None
        found[f"attribution, {name}"] = {site: -row for site, row in scores.items()}
    rest = [
        first_order_effects(
            lm, benchmark(f"beliefs/{a}", n=100, seed=7, **BARE), sites, grain, chat="auto", cache=no_cache
        )
        for a in OTHERS
    ]  # type: ignore[arg-type]
    found["attribution, false beliefs minus the worst other ability"] = {
        site: found[f"attribution, {OWN}"][site] - np.max([np.abs(r[site]) for r in rest if r is not None], axis=0)
        for site in sites
    }
    moments = capture(lm, lm.tokenize([item.prompt for item in own]), sites, Moments)
    size = {site: np.sqrt(m.mean**2 + m.m2 / m.count) for site, m in moments.items()}
    found["size of activation"] = (
        {s: v.reshape(lm.anatomy.n_heads, -1).mean(1) for s, v in size.items()} if kind == "z" else size
    )
    if kind == "z":
        found["ablation of each head, 50 other items"] = ablated(lm, sites)
    rng = np.random.default_rng(0)
    found["random"] = {site: rng.random(len(found["size of activation"][site])) for site in sites}
    return found


def ablated(lm: LM, sites: Sequence[Site]) -> Scores:
    """What ablating each head alone costs the margin of false-belief items that the truth does not know."""
    items = benchmark(f"beliefs/{OWN}", n=50, seed=7, **BARE)

    def margin() -> float:
        return float(Likelihood()(lm, items)["score"].mean())  # type: ignore[arg-type]

    intact, rows = margin(), {}
    for site in sites:
        rows[site] = np.empty(lm.anatomy.n_heads)
        for head in range(lm.anatomy.n_heads):
            with lm.under(Lesion(mask_of(lm, [(site.layer, head)]))):
                rows[site][head] = intact - margin()
    return rows


def _absolute(t: Scores) -> Scores:
    return {site: np.nan_to_num(np.abs(row)) for site, row in t.items()}


def of_heads(
    lm: LM, carrying: Sequence[Head], cost: Mapping[tuple[Head, ...], Mapping[str, float]]
) -> list[dict[str, Any]]:
    """Each method against the heads' truth: rank of the first carrying head, AUROC, correlation with what ablation costs."""
    rows = []
    for method, scores in rankings(lm, "z").items():
        heads = [(site.layer, head) for site in scores for head in range(lm.anatomy.n_heads)]
        values = np.concatenate(list(scores.values()))
        truth = np.array([head in carrying for head in heads])
        loss = np.array([cost[(head,)][OWN] for head in heads])
        order = [heads[i] for i in np.argsort(-values, kind="stable")]
        rows.append(
            {
                "method": method,
                "first": "{}.{}".format(*order[0]),
                "rank of the first carrying head": min(order.index(head) for head in carrying) + 1,
                "auroc": float(roc_auc_score(truth, values)),
                "ablation cost of as many heads ranked first": float(
                    np.mean([cost[(h,)][OWN] for h in order[: len(carrying)]])
                ),
                "r with ablation cost": float(np.corrcoef(values, loss)[0, 1]),
            }
        )
    return rows


def of_units(lm: LM, items: Sequence[Item]) -> list[dict[str, Any]]:
    """Each method against the MLP units' truth: no unit matters, so the first 1 % must cost nothing, whoever ranks."""
    rows, width = [], lm.anatomy.width(lm.anatomy.sites("mlp_act")[0])
    intact = float(Likelihood()(lm, items)["correct"].mean())  # type: ignore[arg-type]
    region = np.tile(np.arange(width) >= width - UNITS, lm.anatomy.n_layers)
    for method, scores in rankings(lm, "mlp_act").items():
        values = np.concatenate(list(scores.values()))
        top = np.zeros(len(values), dtype=bool)
        top[np.argsort(-values, kind="stable")[: len(values) // 100]] = True
        mask = UnitMask(dict(zip(scores, np.split(top, lm.anatomy.n_layers), strict=True)))
        with lm.under(Lesion(mask)):
            lesion = float(Likelihood()(lm, items)["correct"].mean())  # type: ignore[arg-type]
        rows.append(
            {
                "method": method,
                "auroc on region membership": float(roc_auc_score(region, values)),
                "cost of the first 1 %": intact - lesion,
            }
        )
    return rows


def climbed(lm: LM, **how: Any) -> dict[str, Any]:
    """What the ladder says."""
    beside = tuple(f"beliefs/{a}" for a in OTHERS)
    fixed = {"items": f"beliefs/{OWN}", "others": beside, "options": BARE, "n_items": 64, "match": (), "sizes": ()}
    found = CausalTest(**(fixed | how)).run(lm)
    return {
        "sentence": found.verdict.sentence,
        "states": {rung.name: rung.state for rung in found.verdict.rungs},
        "effects": dict(
            found.matrix.filter(found.matrix["localizer"] == found.matrix["localizer"][0])
            .select("ability", "effect")
            .iter_rows()
        ),
        "selected": [f"{site}:{i}" for site, on in found.selected.at.items() for i in np.flatnonzero(on)][:8],
    }


def ladders(lm: LM, carrying: Sequence[Head], general: Sequence[Head]) -> dict[str, dict[str, Any]]:
    n = lm.anatomy.n_layers * lm.anatomy.n_heads
    assert ROUTED.localizer is not None
    found = {
        "carrying heads, given": climbed(lm, selection=mask_of(lm, carrying), draws=60),
        "heads by the contrast beliefs/outdated": climbed(
            lm, localizer=ROUTED.localizer, percent=100 * len(carrying) / n, draws=60
        ),
    }
    if general:
        found["general heads, given"] = climbed(lm, selection=mask_of(lm, general), draws=60)
    for name in CONTRASTS:
        options = BARE if name.startswith("beliefs/") else {}
        spec = Localize(contrast=name, options=options, sites="*.mlp_act", select=Select(percent=1))
        found[f"MLP units by the contrast {name}"] = climbed(
            lm, localizer=spec, percent=1, draws=40, match=("layer", "size")
        )
    return found


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument(
        "--models", type=Path, nargs="*", default=[], help="directories of `broca organism train routed --seed N`"
    )
    given = parser.parse_args()
    load = settle(given.threads)
    seeds, rows = {}, []
    for path in (organism_path("routed"), *given.models):
        lm, cost = LM.load(str(path)), costs(path)
        seed = f"seed {json.loads((path / 'training.json').read_text(encoding='utf-8'))['seed']}"
        carrying, general = parted(cost)
        items = benchmark(f"beliefs/{OWN}", n=100, seed=9, **BARE)
        seeds[seed] = {
            "carrying": ["{}.{}".format(*head) for head in carrying],
            "of the region": [head[1] == HEAD for head in carrying],
            "general": ["{}.{}".format(*head) for head in general],
            "cost": {
                " ".join("{}.{}".format(*h) for h in heads): loss
                for heads, loss in cost.items()
                if max(loss.values()) > SPARED
            },
            "heads": of_heads(lm, carrying, cost) if carrying else [],
            "units": of_units(lm, items),
            "ladders": ladders(lm, carrying, general) if carrying else {},
        }
        rows += _rows(seed, seeds[seed])
    write("routed", rows, load=load, seeds=seeds)


def _rows(seed: str, found: Mapping[str, Any]) -> list[Row]:
    rows = [
        Row(
            "heads that carry false beliefs alone",
            seed,
            len(found["carrying"]),
            "heads",
            note=" ".join(found["carrying"]),
        )
    ]
    best = min((r["rank of the first carrying head"], r["method"]) for r in found["heads"]) if found["heads"] else None
    if best:
        rows.append(Row("rank of the first carrying head, best method", seed, best[0], "", 1, note=best[1]))
    rows += [
        Row(f"ladder: {name}", seed, float(of["states"]["specific"] == "passed"), "", note=of["sentence"])
        for name, of in found["ladders"].items()
    ]
    rows.append(
        Row(
            "cost of the first 1 % of MLP units, worst method",
            seed,
            max(r["cost of the first 1 %"] for r in found["units"]),
            "",
            0.05,
        )
    )
    return rows


if __name__ == "__main__":
    main()
