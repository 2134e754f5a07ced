"""What specs share that score abilities: their items, those in other words, those of a pilot, and the hashes of them all. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from broca.evidence.abilities import abilities, rewordings
from broca.evidence.pilot import pilot_items
from broca.items import Item, fingerprint


class AbilitySpec:
    """A spec that scores abilities inherits this; its fields are `items`, `others`, `options`, `n_items` and `scorer`, and `pilot` where it has one."""

    if TYPE_CHECKING:
        items: str
        others: tuple[str, ...]
        options: Mapping[str, Any]
        n_items: int | None
        scorer: Any

    @property
    def ability_names(self) -> Sequence[str]:
        """Benchmarks or files of what is scored, the own one first."""
        return (self.items, *self.others)

    @property
    def names_beside(self) -> Sequence[str]:
        """Benchmarks that share the options and are read elsewhere."""
        return ()

    @property
    def ability_options(self) -> Mapping[str, Any]:
        """The options of all of them."""
        return self.options

    @cached_property
    def abilities(self) -> dict[str, tuple[Item, ...]]:
        """The items of each ability, the own one first.

        Raises:
            StimulusError: if a file is malformed, or two benchmarks share an ability.
            UnknownName: if no benchmark has this name.
        """
        return abilities(self.ability_names, self.ability_options, self.n_items, beside=self.names_beside)

    @cached_property
    def pilot_items(self) -> tuple[Item, ...]:
        """The items that were looked at before."""
        return pilot_items(getattr(self, "pilot", ()), self.ability_options, (*self.ability_names, *self.names_beside))

    @cached_property
    def rewordings(self) -> tuple[Item, ...]:
        """The items of the own ability in other words; none where they have no second wording.

        Raises:
            StimulusError: if the second wording has other choices or another answer.
        """
        own = next(iter(self.abilities.values()))
        return rewordings(self.ability_names, self.ability_options, own, beside=self.names_beside)

    def first_prompt(self, lm: Any, /) -> Mapping[str, Any] | None:
        """The first question as the model gets it."""
        first = next(iter(self.abilities.values()))[0]
        return import_module("broca.evidence.first_prompt").of_item(lm, first, self.scorer)

    def item_fingerprints(self) -> dict[str, str]:
        """Content hashes of all items: files may change under their names."""
        prints = {name: fingerprint([i.fingerprint for i in items]) for name, items in self.abilities.items()}
        for name, items in (("second wording", self.rewordings), ("pilot", self.pilot_items)):
            if items:
                prints[name] = fingerprint([item.fingerprint for item in items])
        return prints
