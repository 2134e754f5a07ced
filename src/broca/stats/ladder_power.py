"""How likely a lesion passes *causal and specific*, or fails where it costs everything: simulated, in seconds.

Margins of an ability are normal in nats, partly shared within a group; an item is right when its margin is above 0. The lesion lowers
those of the own ability, the more the stronger the fill, in some groups more than in others, and adds noise everywhere; matched random choices add noise, and a shift that
differs from one to the next. The tests are those of the rungs, with Student's t over groups in the place of shuffles, and of flips where
groups are many.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import optimize, special

from broca.errors import StatisticsError
from broca.stats.intervals import Array
from broca.stats.loss import SMALLEST_SHARE, least_groups
from broca.stats.specificity import FEWEST_GROUPS, FLOOR
from broca.stats.stopping import StoppingRule, operation, stopping_rule

SPREAD, NOISE, SHIFT = 2.0, 1.0, 0.3
"""In nats: standard deviation of margins, of what any lesion adds to each, and of the shifts of random choices."""
STRENGTHS = (1.0, 0.8, 0.6)
"""Of the fills, the claim's first."""
UNLIKE = 4.0
"""Shape of the gamma distribution by which groups differ in how much the lesion lowers them: by half of the mean."""
FLIPPED = 12
"""Groups up to which all patterns of signs are tried: with so few p takes few values, and t would promise too much."""


@dataclass(frozen=True, slots=True)
class Study:
    """What is planned.

    Raises:
        StatisticsError: if a number is impossible.
    """

    loss: float
    """Accuracy that the lesion costs the own ability, a share of 1, the mean over fills."""
    groups: int = 20
    """Groups of each ability."""
    items: int = 5
    """Items of each group."""
    intact: float = 0.95
    """Accuracy of the intact model, in each ability."""
    chance: float = 0.5
    others: int = 1
    """Other abilities that must be spared."""
    alike: float = 0.1
    """Correlation of margins within groups."""
    alpha: float = 0.05
    claims: int = 1
    """Claims that share alpha."""
    draws: int | None = None
    """Matched draws at most; as many as allow it a rank that draws seldom reach by chance when None."""
    fills: int = len(STRENGTHS)
    """Fills that must agree; three at most are simulated."""

    def __post_init__(self) -> None:
        if not (0 <= self.chance < self.intact < 1 and 0 < self.loss < self.intact):
            raise StatisticsError(
                f"Accuracy is {self.intact} intact at a chance of {self.chance}, and {self.loss} is lost. Give chance below intact "
                "below 1, and a loss above 0 and below intact."
            )
        if min(self.groups, self.items, self.fills) < 1 or self.others < 0 or not 0 <= self.alike < 1:
            raise StatisticsError(
                f"There are {self.groups} groups of {self.items} items, alike by {self.alike}, and {self.others} others. Give 1 group of "
                "1 item or more, and a correlation from 0 to below 1."
            )

    @property
    def rule(self) -> StoppingRule:
        """When its draws stop."""
        return stopping_rule(self.alpha, claims=self.claims, draws=self.draws)

    @property
    def strengths(self) -> Array:
        """(fill,) How strong each fill is."""
        return np.array(STRENGTHS[: self.fills])


@dataclass(frozen=True, slots=True)
class LadderPower:
    """Probabilities of passing, and what it costs."""

    causal: float
    specific: float
    """1 where there are no other abilities."""
    both: float
    refutation: float
    """Of failing *specific* where the lesion costs every ability as much; 0 where there are no others."""
    draws: float
    """Expected number of matched draws."""


def ladder_power(study: Study, *, simulations: int = 400, seed: int = 0) -> LadderPower:
    """Probability that the lesion passes *causal*, *specific*, and both; and that one which costs every ability as much fails *specific*.

    Args:
        study: what is planned.
        simulations: studies that are simulated; 400 give a probability of 0.8 within 0.04.
        seed: of the simulation.

    Raises:
        StatisticsError: if there are no simulations.
    """
    if simulations < 1:
        raise StatisticsError(
            f"{simulations} studies are to be simulated. Give 1 or more; 400 are precise within 4 points."
        )
    generator, level = np.random.default_rng(seed), study.alpha / study.claims
    enough = study.groups >= least_groups(level)
    own = _simulate(study, _shift(study), generator, simulations)
    causal = _causal(own, study, level) & enough
    by_draws, draws = _stop_draws(study, own.as_costly)
    specific, spared = np.full(simulations, study.groups >= FEWEST_GROUPS), np.ones(simulations)
    refutation, hit = np.zeros(simulations, bool), np.random.default_rng([seed, 1])
    for _ in range(study.others):
        alike = _simulate(study, _shift(study), hit, simulations)
        refutation |= _refutes(own, alike, level, study.others) & (study.groups >= FEWEST_GROUPS)
        other = _simulate(study, 0.0, generator, simulations)
        specific &= _specific(own, other, level, study.others)
        spared = np.minimum(spared, _stop_draws(study, own.as_costly_beside(other))[0])
    return LadderPower(
        causal=float((causal * by_draws).mean()),
        specific=float((specific * spared).mean()),
        both=float((causal & specific) @ np.minimum(by_draws, spared) / simulations),
        refutation=float(refutation.mean()),
        draws=float(draws.mean()),
    )


@dataclass(frozen=True, eq=False, slots=True)
class _Ability:
    """One ability in each simulation."""

    lost: Array
    """(fill, simulation, group) mean loss."""
    share: Array
    """(fill, simulation, group) mean of linearised shares lost."""
    log_odds: Array
    headroom: Array
    """(simulation,)"""
    drawn: tuple[Array, Array]
    """(simulation,) mean and standard deviation of what a draw costs."""
    step: float
    """Between two possible losses."""

    @property
    def as_costly(self) -> Array:
        """(simulation,) Probability that a draw costs at least as much as the selection under the claim's fill."""
        mean, spread = self.drawn
        return special.ndtr((mean - self.lost[0].mean(1) + self.step / 2) / spread)

    def as_costly_beside(self, other: _Ability) -> Array:
        """The same of the difference of shares lost."""
        mean, spread = ((a / self.headroom, b / other.headroom) for a, b in zip(self.drawn, other.drawn, strict=True))
        seen = self.lost[0].mean(1) / self.headroom - other.lost[0].mean(1) / other.headroom
        return special.ndtr((mean[0] - mean[1] - seen) / np.hypot(*spread))


def _shift(study: Study) -> float:
    """By how many nats the claim's fill lowers margins."""
    middle, quantiles = SPREAD * special.ndtri(study.intact), (np.arange(200) + 0.5) / 200
    each = np.outer(study.strengths, special.gammaincinv(UNLIKE, quantiles) / UNLIKE)

    def missing(shift: float) -> float:
        return float(study.intact - special.ndtr((middle - shift * each) / np.hypot(SPREAD, NOISE)).mean() - study.loss)

    return float(optimize.brentq(missing, -20 * SPREAD, 1e4 * SPREAD))  # type: ignore[arg-type]


def _simulate(study: Study, shift: float, generator: np.random.Generator, n: int) -> _Ability:
    shape = (n, study.groups, study.items)
    shared = study.alike**0.5 * generator.normal(size=(*shape[:2], 1))
    margin = SPREAD * (special.ndtri(study.intact) + shared + (1 - study.alike) ** 0.5 * generator.normal(size=shape))
    strengths = study.strengths.reshape(-1, 1, 1, 1)
    falls = shift * generator.gamma(UNLIKE, 1 / UNLIKE, size=(*shape[:2], 1))
    after = margin - falls * strengths + NOISE * generator.normal(size=(len(strengths), *shape))
    right = margin > 0
    above = right - study.chance
    lost = right - (after > 0).astype(np.float64)
    headroom = np.maximum(above.mean((1, 2)), FLOOR)
    ratio = lost.mean((2, 3)) / headroom
    share = ratio[..., None, None] + (lost - ratio[..., None, None] * above) / headroom[:, None, None]
    kept = special.ndtr(margin / NOISE)
    moved = SHIFT * np.exp(-0.5 * (margin / NOISE) ** 2).mean((1, 2)) / (2 * np.pi) ** 0.5 / NOISE
    size = study.groups * study.items
    spread = np.sqrt((kept * (1 - kept)).sum((1, 2)) / size**2 + moved**2)
    drawn = (right - kept).mean((1, 2)), np.maximum(spread, 1e-9)
    return _Ability(lost.mean(3), share.mean(3), (margin - after).mean(3), headroom, drawn, 1 / size)


def _causal(own: _Ability, study: Study, level: float) -> Array:
    losses = own.lost.mean(0)
    mean, error = _mean_error(losses)
    if study.groups <= FLIPPED:
        beyond = (mean > 0) & (_flip_p(losses) <= level)
    else:
        beyond = mean > special.stdtrit(study.groups - 1, 1 - level / 2) * error
    smallest = SMALLEST_SHARE * own.headroom
    signs = (own.lost.mean(2) > 0).all(0)
    return beyond & (mean >= smallest) & signs


def _flip_p(losses: Array) -> Array:
    """(simulation,) Two-sided p of the mean over (simulation, group) under all patterns of signs."""
    n = losses.shape[1]
    signs = 1.0 - 2 * (
        (np.arange(2 ** (n - 1))[:, None] >> np.arange(n)) & 1
    )  # the other half of the patterns is these, turned
    seen = np.abs(losses.sum(1))[:, None]
    return (np.abs(losses @ signs.T) >= seen - 1e-9 * np.abs(losses).sum(1)[:, None]).mean(1)


def _specific(own: _Ability, other: _Ability, level: float, others: int) -> Array:
    """Both measures fall more, under each fill by sign, and the difference of shares is not surely small."""
    passed = ~_refutes(own, other, level, others)
    for name in ("share", "log_odds"):
        a, b = getattr(own, name), getattr(other, name)
        mean, error, df = _difference(a, b)
        passed &= mean / error >= special.stdtrit(df, 1 - level)
        passed &= (a.mean(2) > b.mean(2)).all(0)
    return passed


def _refutes(own: _Ability, other: _Ability, level: float, others: int) -> Array:
    """The difference of shares is surely below the smallest of interest."""
    mean, error, df = _difference(own.share, other.share)
    return mean + special.stdtrit(df, 1 - level / others) * error < SMALLEST_SHARE


def _difference(a: Array, b: Array) -> tuple[Array, Array, Array]:
    """(simulation,) Mean over fills and groups of a minus that of b, its standard error, and its degrees of freedom (Welch, 1947)."""
    (mean_a, error_a), (mean_b, error_b) = _mean_error(a.mean(0)), _mean_error(b.mean(0))
    error = np.maximum(np.hypot(error_a, error_b), 1e-12)
    df = (a.shape[2] - 1) * error**4 / np.maximum(error_a**4 + error_b**4, 1e-48)
    return mean_a - mean_b, error, df


def _mean_error(groups: Array) -> tuple[Array, Array]:
    """(simulation,) Mean over groups, and its standard error."""
    k = groups.shape[1]
    return groups.mean(1), groups.std(1, ddof=1) / k**0.5


def _stop_draws(study: Study, p: Array) -> tuple[Array, Array]:
    """Probability that draws of which each costs as much with probability p pass, and how many are expected."""
    grid, passed, draws = _operations(study.rule)
    return np.interp(p, grid, passed), np.interp(p, grid, draws)


@lru_cache(maxsize=8)
def _operations(rule: StoppingRule) -> tuple[Array, Array, Array]:
    grid = np.concatenate([[0.0], rule.alpha * np.geomspace(0.02, 4, 40), np.linspace(5 * rule.alpha, 1, 10)])
    found = [operation(rule, float(p)) for p in np.minimum(grid, 1)]
    return grid, np.array([each.passed for each in found]), np.array([each.draws for each in found])
