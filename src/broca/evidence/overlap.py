"""Items that helped to choose what is tested on them: they are left out, by text or by group, and counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from broca.evidence.ledger import group_digest
from broca.items import Contrast, Item, PicturedText
from broca.items.item import Text
from broca.page.words import count


@dataclass(frozen=True, slots=True)
class ChoosingData:
    """What a selection was chosen on."""

    texts: frozenset[Text | PicturedText] = frozenset()
    """That were shown: an item that shows the same is one of them."""
    groups: frozenset[str] = frozenset()
    """Digests of the groups of items that chose."""

    def holds(self, item: Item) -> bool:
        """Whether the item, or another one of its group, chose."""
        return self.holds_text(item.content, item.cluster)

    def holds_text(self, text: Text | PicturedText, cluster: str) -> bool:
        """The same of a text, by its group."""
        return text in self.texts or group_digest(cluster) in self.groups


@dataclass(frozen=True, slots=True)
class OtherData:
    """Items by ability without those that chose."""

    abilities: dict[str, tuple[Item, ...]]
    dropped: int = 0
    """Items that were left out."""
    used: tuple[str, ...] = field(default=())
    """Abilities of which every item chose: they are kept as they are, and what is tested on them is undecided."""

    def without(self, data: ChoosingData) -> OtherData:
        """What is left without further items that chose; those of either are counted once."""
        rest = without_choosing(self.abilities, data)
        used = dict.fromkeys((*self.used, *rest.used))
        return OtherData(rest.abilities, self.dropped + rest.dropped, tuple(used))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was left out, in words."""
        if not self.dropped:
            return ()
        return (
            f"{count(self.dropped, 'item')} left out: they, or others of their groups, helped to choose what is tested.",
        )

    def reason(self, ability: str) -> str | None:
        """Why what is tested on an ability is undecided; None where other data test it."""
        if ability not in self.used:
            return None
        return f"Every item of {ability} helped to choose what is tested on it: give items that chose nothing."


def without_choosing(abilities: Mapping[str, Sequence[Item]], data: ChoosingData) -> OtherData:
    """The items that did not choose.

    Args:
        abilities: items by ability.
        data: what chose.
    """
    kept, dropped, used = {}, 0, []
    for name, items in abilities.items():
        others = tuple(item for item in items if not data.holds(item))
        if not others and items:
            used.append(name)
        else:
            dropped += len(items) - len(others)
        kept[name] = others or tuple(items)
    return OtherData(kept, dropped, tuple(used))


def texts_of(contrast: object) -> frozenset[Text | PicturedText]:
    """What a contrast shows; nothing of anything else."""
    shown = (*contrast.positive, *contrast.negative) if isinstance(contrast, Contrast) else ()
    return frozenset(stimulus.content for stimulus in shown)
