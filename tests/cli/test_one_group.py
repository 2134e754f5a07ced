"""Data of one group, or of one item: what cannot be known is said in words, in the result, on the page and in the terminal."""

from __future__ import annotations

import json
import re

import pytest

import broca
import zoo
from broca.cli import terminal
from broca.errors import BrocaError
from broca.items import Contrast, Stimulus
from broca.units import UnitMask

NAN = re.compile(r"(?<![a-z])[+-]?nan(?![a-z])|(?<![a-z])inf(?![a-z])", re.IGNORECASE)

COLOURS = ("red", "grey", "blue", "dark")


def items(path, n, groups=1):
    rows = [
        {
            "prompt": f"where is the {COLOURS[i % 4]} thing {i}?",
            "choices": ["box", "bag"],
            "answer": i % 2,
            "group": f"g{i % groups}",
        }
        for i in range(n)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def sides(n, groups=0):
    """Two sides of n stimuli, in groups that hold both sides, or each a group of its own."""
    made = [
        tuple(Stimulus(f"{side}{i}", f"the {side} {i}", f"g{i % groups}" if groups else "") for i in range(n))
        for side in ("x", "y")
    ]
    return Contrast("sides", *made)


def trees(path, n, groups=1):
    rows = [
        {"statements": [f"a {i}.", f"b {i}."], "edges": [[str(1 + i % 2), "conclusion"]], "question": " who?", "choices": ["x", "y"],
         "answer": i % 2, "group": f"g{i % groups}"}
        for i in range(n)
    ]  # fmt: skip
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


IMPOSSIBLE = ("localize, one group", "heads, two groups", "sensitivity, one group")

LOCAL = {"sites": "*.mlp_act", "select": {"count": 4}}
FEW = {"draws": 2, "n_bootstrap": 20}

INSTRUMENTS = {
    "localize, four a side": lambda _: broca.Localize(contrast=sides(4), **LOCAL),
    "localize, two groups": lambda _: broca.Localize(
        contrast=sides(12, 2), twins=1, resamples=10, lengths=True, also=("pain",), **LOCAL
    ),
    "localize, one group": lambda _: broca.Localize(contrast=sides(12, 1), **LOCAL),
    "heads, two groups": lambda _: broca.Localize(contrast=sides(12, 2), sites="*.z", grain="head"),
    "causal, one item": lambda to: broca.CausalTest(
        localizer=broca.Localize(contrast=sides(12), **LOCAL),
        items=items(to / "q.jsonl", 1),
        others=(items(to / "other.jsonl", 1),),
        percent=10,
        doses=(20,),
        dose_draws=2,
        gate="mark",
        **FEW,
    ),
    "causal, one group": lambda to: broca.CausalTest(
        selection=UnitMask.heads("0.1,1.2", n_heads=4),
        items=items(to / "q.jsonl", 8),
        others=(items(to / "other.jsonl", 8),),
        gate="mark",
        **FEW,
    ),
    "perturb, one item": lambda to: broca.Perturb(items=items(to / "q.jsonl", 1), kinds=("delete",), twins=0, **FEW),
    "perturb, one group": lambda to: broca.Perturb(
        items=items(to / "q.jsonl", 24),
        kinds=("delete", "swap"),
        twins=0,
        probes=4,
        patterns="layers",
        threshold=0.0,
        **FEW,
    ),
    "sensitivity, one group": lambda to: broca.Sensitivity(task=items(to / "q.jsonl", 12), **FEW),
    "sensitivity, three groups": lambda to: broca.Sensitivity(
        task=items(to / "q.jsonl", 12, 3),
        others=(items(to / "other.jsonl", 1),),
        sweep_draws=1,
        sweep="0.01,0.05",
        gate="mark",
        n_general=4,
        n_read=2,
        **FEW,
    ),
    "probe, one group": lambda to: broca.Probe(
        task=trees(to / "t.jsonl", 9), twins=1, permutations=2, folds=2, n_bootstrap=20
    ),
    "probe, four groups": lambda to: broca.Probe(
        task=trees(to / "t.jsonl", 12, 4),
        twins=1,
        permutations=2,
        folds=2,
        edges=True,
        n_items=3,
        corruptions=("shuffle",),
        **FEW,
    ),
    "selftest": lambda _: broca.Selftest(contrast=sides(20), n=5, pairs=1, rivals=4, reference=4),
}


@pytest.fixture(scope="module")
def lm():
    return zoo.lm("llama", positions=1024)


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_too_little_to_run_at_all_is_said_in_words(name, lm, tmp_path):
    with pytest.raises(BrocaError, match=r"Give|at least") as error:
        broca.run(INSTRUMENTS[name](tmp_path), lm, tmp_path / "run")
    assert not NAN.search(str(error.value))


@pytest.mark.parametrize("name", [name for name in INSTRUMENTS if name not in IMPOSSIBLE])
def test_what_is_not_known_is_said_in_words(name, lm, tmp_path, capsys):
    run = broca.run(INSTRUMENTS[name](tmp_path), lm, tmp_path / "run")
    told = [(run.path / file).read_text(encoding="utf-8") for file in ("result.json", "manifest.json")]
    page = broca.report(run).read_text(encoding="utf-8")
    told.append(re.sub(r"(?s)<svg.*?</svg>|<style.*?</style>", "", page))
    terminal.result(run)
    told.append(capsys.readouterr().out)
    for text in told:
        found = NAN.search(text)
        assert not found, text[max(0, found.start() - 200) :][:400]
