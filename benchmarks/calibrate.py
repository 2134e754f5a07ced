"""Do the statistics keep their promises? Simulated studies whose truth is known, with noise as bad as activations'.

``make calibrate``, or ``python benchmarks/calibrate.py [--nulls 4000]``. Units come in layers of correlated ones, some
normal, some skewed, some with heavy tails, on many scales. What is checked: the family-wise error of max-T for stimuli,
groups and pairs; p-values uniform where nothing is there, also with a confound held fixed; the false discovery rate of
Benjamini-Hochberg; the coverage of the lower bound on true shares, for sets chosen after looking; and power against what
`broca.stats.power` says. Fewer than 1,000 nulls print the table and write nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ground import Row, arguments, settle, write
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy import stats

from broca.stats.confounds import residuals
from broca.stats.corrections import bh, true_share
from broca.stats.mean_tests import welch_from_samples
from broca.stats.permutation import permutation_test
from broca.stats.power import welch_power

UNITS, LAYER = 400, 50
ARRANGEMENTS = 199
ALPHA = 0.05
Array = np.ndarray[Any, np.dtype[Any]]
Generator = np.random.Generator


@dataclass(frozen=True)
class Case:
    """Two sides of stimuli whose noise hangs together in groups, or in pairs."""

    name: str
    n: int
    size: int = 1
    """Stimuli in a group."""
    paired: bool = False
    how: Mapping[str, Any] = field(default_factory=dict)

    def sides(self, generator: Generator) -> tuple[Array, Array]:
        values = noise(generator, 2 * self.n)
        if self.size > 1:
            values += np.repeat(noise(generator, 2 * self.n // self.size), self.size, axis=0)
        if self.paired:
            values += np.tile(noise(generator, self.n), (2, 1))
        return values[: self.n], values[self.n :]


def groups_of(n: int, size: int) -> tuple[Array, Array]:
    return np.arange(n) // size, n + np.arange(n) // size


CASES = (
    Case("20 + 20 stimuli", 20),
    Case("50 + 50 stimuli", 50),
    Case("40 + 40 in 10 + 10 groups", 40, size=4, how={"groups": groups_of(40, 4)}),
    Case("30 pairs", 30, paired=True, how={"paired": True}),
)


def noise(generator: Generator, n: int, units: int = UNITS) -> Array:
    """(stimulus, unit): layers share a factor; a third of the units is normal, a third skewed, a third heavy-tailed."""
    shared = np.repeat(generator.standard_normal((n, units // LAYER)), LAYER, axis=1)
    values = (shared + generator.standard_normal((n, units))) / 2**0.5
    values[:, 1::3] = np.exp(values[:, 1::3])
    values[:, 2::3] *= np.abs(values[:, 2::3])
    return values * np.logspace(-3, 3, units)


def seeded(nulls: int, what: int) -> Iterable[Generator]:
    """One generator for each null, whatever else is run."""
    return (
        np.random.default_rng([what, null])
        for null in track(range(nulls), f"part {what}", transient=True, disable=not Console().is_terminal)
    )


def within(nulls: int) -> float:
    """Half the 95 % interval of a share of 0.05 in this many nulls; 0.014 is what is asked of 1,000."""
    return max(0.014, 1.96 * (ALPHA * (1 - ALPHA) / nulls) ** 0.5)


def max_t(nulls: int) -> list[Row]:
    """Family-wise error, and the p of one unit, under every scheme of exchange."""
    rows, p = [], []
    for part, case in enumerate(CASES):
        false = 0
        for generator in seeded(nulls, part):
            a, b = case.sides(generator)
            found = permutation_test(a, b, n=ARRANGEMENTS, seed=int(generator.integers(1 << 31)), **case.how)
            false += bool(found.p_max.min() <= ALPHA)
            # p is a multiple of 1 / 200: a uniform fraction of a step makes it continuous (randomised p)
            p.append(found.p[generator.integers(UNITS)] - generator.random() / (1 + ARRANGEMENTS))
        rows.append(error_row(f"max-T, {case.name}: FWER", false / nulls, nulls))
    rows.append(Row("permutation p, all schemes: uniform", f"{len(p)} nulls", ks(p), "KS p", 0.01, "at least"))
    return rows


def parametric(nulls: int) -> list[Row]:
    """Welch's p on normal noise; and max-T of residuals where a covariate differs between the sides and drives the units."""
    plain, held, naive = [], 0, 0
    for generator in seeded(nulls, 10):
        length_a, length_b = generator.normal(0.8, 1, (25, 1)), generator.normal(0, 1, (25, 1))
        a, b = generator.normal(0, 1, (25, 1)), generator.normal(0, 2, (25, 1))
        plain.append(float(welch_from_samples(a, b).p[0]))
        rest = residuals(a + length_a, b + length_b, length_a, length_b)[:2]
        held += bool(permutation_test(*rest, n=ARRANGEMENTS, seed=int(generator.integers(1 << 31))).p[0] <= ALPHA)
        naive += bool(welch_from_samples(a + length_a, b + length_b).p[0] <= ALPHA)
    return [
        Row("Welch p, unequal variances: uniform", f"{nulls} nulls", ks(plain), "KS p", 0.01, "at least"),
        error_row("p with length held fixed: error", held / nulls, nulls, f"{naive / nulls:.2f} if it is not"),
    ]


def mixture(nulls: int) -> list[Row]:
    """A tenth of the units is truly selective: what Benjamini-Hochberg calls, and what the bound promises."""
    false_share, recalled, covered, bounds = [], [], 0, []
    for generator in seeded(nulls, 20):
        a, b = Case("", 50).sides(generator)
        true = np.zeros(UNITS, bool)
        true[generator.choice(UNITS, UNITS // 10, replace=False)] = True
        a += true * 0.9 * np.concatenate([a, b]).std(0)
        p = welch_from_samples(a, b).p
        called = bh(p) <= ALPHA
        false_share.append((called & ~true).sum() / max(called.sum(), 1))
        recalled.append((called & true).mean() / true.mean())
        order = np.argsort(p)
        # Sets that a reader might pick after looking: the top of the map, what was called, the best layer.
        chosen = [np.isin(np.arange(UNITS), order[:k]) for k in (4, 20, 40, 80, 200, UNITS)]
        chosen += [called] * bool(called.any()) + [np.arange(UNITS) // LAYER == order[0] // LAYER]
        promised = [true_share(p, each, alpha=ALPHA) for each in chosen]
        covered += all(bound <= true[each].mean() + 1e-12 for bound, each in zip(promised, chosen, strict=True))
        bounds.append(promised[2])
    return [
        Row(
            "Benjamini-Hochberg, 10 % true: FDR",
            f"{nulls} studies",
            float(np.mean(false_share)),
            "share",
            ALPHA,
            note=f"{np.mean(recalled):.0%} of the true ones are called",
        ),
        Row(
            "true share >= bound, sets chosen after looking",
            f"{nulls} studies",
            covered / nulls,
            "share",
            1 - ALPHA,
            "at least",
            f"mean bound for the top 10 %: {np.mean(bounds):.0%}",
        ),
    ]


EFFECTS, SIZES = (0.2, 0.5, 0.8, 1.2), (20, 50, 100, 200)


def grid(nulls: int) -> tuple[list[Row], list[dict[str, float]]]:
    """Share of planted units that are found, over effect and size, against analytic power."""
    tests, planted = 200, 20
    cells = []
    for part, (d, n) in enumerate((d, n) for d in EFFECTS for n in SIZES):
        alone = family = 0.0
        studies = max(10, nulls // 10)
        for generator in seeded(studies, 30 + part):
            a, b = generator.standard_normal((2, n, tests))
            a[:, :planted] += d
            found = permutation_test(a, b, n=499, seed=int(generator.integers(1 << 31)))
            family += float((found.p_max[:planted] <= ALPHA).mean()) / studies
            a, b = generator.standard_normal((2, n, tests))
            alone += float((welch_from_samples(a + d, b).p <= ALPHA).mean()) / studies
        expected = {"power": welch_power(d, n), "family_power": welch_power(d, n, tests=tests)}
        cells.append({"d": d, "n": n, "found": alone, "family_found": family} | expected)
    rows = [
        Row(
            f"{what}: furthest from analytic power",
            f"{len(cells)} cells d x n",
            100 * max(abs(cell[seen] - cell[power]) for cell in cells),
            "points",
            5,
        )
        for what, seen, power in (("Welch p", "found", "power"), ("max-T", "family_found", "family_power"))
    ]
    return rows, cells


def ks(p: list[float]) -> float:
    return float(stats.kstest(p, "uniform").pvalue)


def error_row(what: str, share: float, nulls: int, note: str = "") -> Row:
    told = f"{share:.3f}, {ALPHA} expected" + (f"; {note}" if note else "")
    return Row(f"{what} from {ALPHA}", f"{nulls} nulls", abs(share - ALPHA), "share", within(nulls), note=told)


def show(rows: list[Row], seconds: Mapping[str, float]) -> Table:
    table = Table("what", "over", "value", "target", "met", title="Calibration", caption=f"seconds: {dict(seconds)}")
    for row in rows:
        sign = "≤" if row.side == "at most" else "≥"
        note = f" ({row.note})" if row.note else ""
        table.add_row(
            row.what + note,
            row.model,
            f"{row.value:.3g} {row.unit}",
            f"{sign} {row.bound:.3g}",
            "yes" if row.met else "no",
            style=None if row.met else "red",
        )
    return table


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--nulls", type=int, default=4000)
    given = parser.parse_args()
    load = settle(given.threads)
    rows: list[Row] = []
    seconds: dict[str, float] = {}
    parts: tuple[Callable[[int], list[Row]], ...] = (max_t, parametric, mixture)
    for part in parts:
        start = time.perf_counter()
        rows += part(given.nulls)
        seconds[part.__name__] = round(time.perf_counter() - start, 1)
    start = time.perf_counter()
    found, cells = grid(given.nulls)
    rows += found
    seconds["grid"] = round(time.perf_counter() - start, 1)
    console = Console()
    console.print(show(rows, seconds))
    if given.nulls < 1000:
        console.print(f"{given.nulls} nulls are a trial: nothing is written. Use 1000 or more.")
        return
    write(
        "calibration",
        rows,
        load=load,
        nulls=given.nulls,
        units=UNITS,
        arrangements=ARRANGEMENTS,
        grid=cells,
        seconds=seconds,
    )


if __name__ == "__main__":
    main()
