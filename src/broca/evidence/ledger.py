"""The ledger of a study: the claims that share its level, what was looked at, and what was chosen on which data. Needs no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING


class SharedLevel:
    """Of a spec with `alpha` and `claims`: the level of each claim, and how many draws and twins it takes."""

    if TYPE_CHECKING:
        alpha: float
        claims: int

    @property
    def level(self) -> float:
        """Of each claim."""
        return self.alpha / self.claims

    def enough_draws(self, draws: int) -> int:
        """Matched draws at most: as many as allow each claim the rank that `draws` allow a single one, or fewer where these suffice."""
        from broca.stats.stopping import draws_needed

        return max(draws, min(self.claims * (draws + 1) - 1, draws_needed(self.level))) if draws else 0

    def enough_twins(self, twins: int) -> int:
        """Untrained twins at most: where `twins` allow a single claim a p of alpha, as many as allow each one its level."""
        from broca.stats.stopping import fewest_draws

        return max(twins, fewest_draws(self.level)) if twins >= fewest_draws(self.alpha) else twins
