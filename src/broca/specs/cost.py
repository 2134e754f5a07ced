"""What a study costs, counted before it is done: the tokens of each step, and a batch of its own work to take the time of. Plain data, no torch.

An instrument counts in its ``cost.py``::

    def cost(spec, lm) -> Plan:
        tokens = lm.tokenize(spec.texts)
        some = typical([len(each) for each in tokens])
        batch = Sample(sum(len(tokens[i]) for i in some), lambda: look(lm, [tokens[i] for i in some]))
        return Plan((Phase("looking", sum(map(len, tokens))),), batch)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

BACKWARD = 3.0
"""Weight of a pass with its backward pass, which takes about twice as long as the pass itself."""
ROWS, TOKENS = 32, 4096
"""Of a batch that is timed, at most: texts, and tokens."""
LARGE = 20_000_000
"""Parameters above which a model is large: what would take hours in it is not done where it is not asked for."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A step of a study."""

    name: str
    """As its progress is told."""
    tokens: int = 0
    """Of one pass over all its texts."""
    passes: float = 1.0
    """How often they are read at most; a part of a pass, where layers or tokens are spared, is a part of one."""
    weight: float = 1.0
    """Time of a token, as a share of that of the batch that is timed."""
    expected: float | None = None
    """How often they will be read as a rule; as often as they may when None."""
    seconds: float | Callable[[], float] = 0.0
    """Of work that reads no tokens; or what takes the time of a part of it, where it is asked for."""
    models: float = 0.0
    """Twins that are made for it: what is done once for a model, such as proofs, is done for each of them."""

    @property
    def with_seconds(self) -> Phase:
        """The same with the seconds that it takes."""
        return replace(self, seconds=self.seconds()) if callable(self.seconds) else self

    @property
    def read(self) -> float:
        """Tokens that are read at most."""
        return self.tokens * self.passes

    @property
    def usual(self) -> float:
        """Tokens that are read as a rule."""
        return self.tokens * (self.passes if self.expected is None else min(self.expected, self.passes))


@dataclass(frozen=True, slots=True)
class Sample:
    """A batch of the real work."""

    tokens: int
    run: Callable[[], object]
    """Does it, and keeps nothing."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of a study, and a batch of its work."""

    phases: tuple[Phase, ...]
    sample: Sample

    @property
    def tokens(self) -> int:
        """That are read at most."""
        return round(sum(each.read for each in self.phases))


def typical(lengths: Sequence[int], *, rows: int = ROWS, tokens: int = TOKENS) -> list[int]:
    """The texts of a batch as most tokens are read in: texts of about one length, around the median token.

    Args:
        lengths: tokens of each text.
        rows: texts at most.
        tokens: of all of them at most, if two texts or more are within that.

    Returns:
        their places, in rising order.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    half, middle = sum(lengths) / 2, 0
    for place, i in enumerate(order):
        half -= lengths[i]
        if half <= 0:
            middle = place
            break
    low = high = middle
    total = lengths[order[middle]]
    while high - low + 1 < min(rows, len(order)):
        down = low > 0 and (high + 1 == len(order) or (middle - low) <= (high - middle))
        i = order[low - 1 if down else high + 1]
        if total + lengths[i] > tokens and high > low:
            break
        total += lengths[i]
        low, high = (low - 1, high) if down else (low, high + 1)
    return sorted(order[low : high + 1])


def times(phases: Iterable[Phase], passes: float, *, name: str = "", twins: bool = False) -> list[Phase]:
    """Phases that are done several times over.

    Args:
        phases: what is done each time.
        passes: how often.
        name: what it is called; each keeps its own when empty.
        twins: whether each time is that of another twin.
    """
    return [
        Phase(
            name or each.name,
            each.tokens,
            each.passes * passes,
            each.weight,
            None if each.expected is None else each.expected * passes,
            _repeat(each.seconds, passes),
            passes if twins else 0.0,
        )
        for each in phases
    ]


def _repeat(seconds: float | Callable[[], float], n: float) -> float | Callable[[], float]:
    return (lambda: seconds() * n) if callable(seconds) else seconds * n
