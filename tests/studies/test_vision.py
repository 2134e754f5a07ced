"""Localize, lesion, report, with pictures, in a small model of each kind of vision-language model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import broca
import pictures
from broca.items import Contrast, Item, Stimulus
from broca.scoring import Likelihood
from broca.studies.causal import CausalTest
from broca.studies.localize import Localize

KINDS = tuple(kind for kind in pictures.CONFIGS if kind != "mllama")
_made: dict[str, broca.LM] = {}


def lm_of(kind: str) -> broca.LM:
    return _made.setdefault(kind, pictures.lm(kind))


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """Discs against boxes, under the same words; every fourth picture is wide."""
    folder: Path = tmp_path_factory.mktemp("shapes")
    sides = {
        shape: tuple(
            Stimulus(
                f"{shape}{i}",
                f"Look at number {i}.",
                images=(
                    pictures.draw(
                        folder / f"{shape}{i}.png",
                        shape,
                        f"hsl({30 * i}, 80%, 45%)",
                        size=(60, 30) if i % 4 == 0 else (36, 36),
                    ),
                ),
            )
            for i in range(8)
        )
        for shape in ("disc", "box")
    }
    return Contrast("shapes", sides["disc"], sides["box"])


@pytest.fixture(scope="module")
def table(shapes, tmp_path_factory):
    """A table of items that the model itself keyed, so that it has the ability."""
    folder = tmp_path_factory.mktemp("items")

    def write(lm, kind):
        stimuli = (*shapes.positive, *shapes.negative)
        asked = [Item(s.id, "What is it?", ("disc", "box"), 0, images=s.images) for s in stimuli]
        said = Likelihood()(lm, asked)["predicted"].to_list()
        rows = [
            {"prompt": "What is it?", "choices": "disc|box", "answer": item.choices[n], "image": item.images[0]}
            for item, n in zip(asked, said, strict=True)
        ]
        path = folder / f"{kind}.csv"
        pl.DataFrame(rows).write_csv(path)
        return str(path)

    return write


@pytest.mark.parametrize("kind", KINDS)
def test_localize_lesion_report(kind, shapes, table, tmp_path):
    lm = lm_of(kind)
    spec = CausalTest(
        localizer=Localize(contrast=shapes, sites="*.resid_post", pool="mean"),
        items=table(lm, kind),
        dose=5,
        draws=4,
        sizes=(),
        fills=("zero", "mean"),
        n_bootstrap=50,
        gate="mark",
    )
    run = broca.run(spec, lm, tmp_path / "run")
    assert {guard["name"]: guard["state"] for guard in run.result["guards"]}["padding"] == "passed"
    rows = run.tables["items"]
    assert set(rows["condition"]) == {"intact", "lesion", "random"}
    intact, lesioned = (rows.filter(pl.col("condition") == name)["logprobs"].to_list() for name in ("intact", "lesion"))
    assert not np.allclose(intact[0], lesioned[0])
    page = broca.report(run)
    assert "shapes" in page.read_text(encoding="utf-8")
