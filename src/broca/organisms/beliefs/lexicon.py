"""Who and what there is in the world of `beliefs`: people, settings with their things and places, media.

Everything is plain data. A `Value` is where a thing can be; a story moves a thing from one to another.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest


@dataclass(frozen=True, slots=True)
class Value:
    """One place: its answer word, and how sentences say "at", "to" and "from" it."""

    word: str
    at: str
    to: str
    away: str


@dataclass(frozen=True, slots=True)
class Scene:
    """A setting: where it is, where one can go from it, what lies there and which places it has."""

    name: str
    at: str
    outside: tuple[str, ...]
    things: tuple[str, ...]
    places: tuple[Value, ...]


def words(text: str) -> tuple[str, ...]:
    """The words of a text."""
    return tuple(text.split())


_TO = {"in": "into the", "on": "onto the", "under": "under the", "behind": "behind the"}
_AWAY = {"in": "out of the", "on": "off the", "under": "from under the", "behind": "from behind the"}


def _places(text: str) -> tuple[Value, ...]:
    pairs = (entry.split() for entry in text.split(", "))
    return tuple(Value(w, f"{at} the {w}", f"{_TO[at]} {w}", f"{_AWAY[at]} {w}") for at, w in pairs)


def _scene(at: str, outside: str, things: str, places: str) -> Scene:
    return Scene(at.rsplit(maxsplit=1)[-1], at, words(outside), words(things), _places(places))


SHE = words(
    "Anna Mary Clara Ella Nora Lucy Emma Rosa Ivy Jane Kate Lena Mona Nina Olga Paula Ruth Sara Tina Vera Wendy Zoe "
    "Amy Beth Dora Eva Fay Grace Holly Iris"
)
HE = words(
    "Ben Tom Max Paul Otto Leo Hugo Ivan Jack Karl Luke Mark Ned Oscar Peter Ralph Sam Tim Victor Walter Adam Bob "
    "Carl Dan Eric Fred George Henry Jim Ken"
)
NAMES = tuple(name for pair in zip_longest(SHE, HE) for name in pair if name)
"""All names, hers and his in turn, so that the first few are some of each."""

SCENES = (
    _scene(
        "in the kitchen",
        "garden shop street",
        "apple cake knife spoon cup cheese honey teapot",
        "in cupboard, in drawer, in fridge, in basket, on shelf, on table, in oven, in pot",
    ),
    _scene(
        "in the garden",
        "house street kitchen",
        "spade rake ball kite ladder hose saw broom",
        "in shed, under bench, behind tree, in barrel, in cart, under hedge, in bucket, behind fence",
    ),
    _scene(
        "in the bedroom",
        "kitchen garden bathroom",
        "book doll scarf ring watch letter blanket slipper",
        "in wardrobe, under bed, under pillow, in drawer, in chest, behind curtain, on chair, in bag",
    ),
    _scene(
        "on the ship",
        "harbour beach town",
        "compass map rope lantern coin telescope bell hammock",
        "in cabin, in trunk, in barrel, in locker, under sail, behind mast, in crate, in chest",
    ),
    _scene(
        "at the school",
        "playground street library",
        "pencil ruler notebook globe ball clock flute brush",
        "in desk, in cabinet, on shelf, in bag, behind board, in locker, in box, in bin",
    ),
    _scene(
        "at the market",
        "station street river",
        "melon fish rug vase cheese hat necklace lamp",
        "in crate, in basket, in tent, under table, in cart, in sack, behind stall, in van",
    ),
    _scene(
        "in the library",
        "park street office",
        "novel atlas letter stamp magazine diary ticket poem",
        "on shelf, in drawer, in cabinet, in box, in desk, behind sofa, under lamp, in case",
    ),
    _scene(
        "in the office",
        "hall street cafe",
        "folder key phone report badge parcel cable stamp",
        "in desk, in safe, in drawer, in cabinet, on tray, in bin, under printer, behind screen",
    ),
    _scene(
        "in the garage",
        "house garden street",
        "hammer wrench bike helmet drill pump saw ladder",
        "in toolbox, in van, on shelf, under car, behind door, in bucket, in locker, in crate",
    ),
    _scene(
        "on the farm",
        "village river forest",
        "egg saddle bell pumpkin rope horseshoe pear lantern",
        "in barn, in stable, under cart, in bucket, in sack, behind fence, in basket, behind hedge",
    ),
    _scene(
        "at the museum",
        "park cafe hall",
        "crown mask vase statue sword coin bone shield",
        "in case, in vault, behind curtain, in chest, in cabinet, behind pillar, in box, in crate",
    ),
    _scene(
        "at the hospital",
        "cafe garden station",
        "bandage chart towel syrup pill blanket phone badge",
        "in cabinet, in drawer, on trolley, under bed, on tray, in fridge, in bag, in locker",
    ),
    _scene(
        "in the theatre",
        "street hall cafe",
        "wig costume violin mask crown script drum cape",
        "in trunk, behind curtain, on stage, in wardrobe, under chair, in box, in case, in basket",
    ),
    _scene(
        "at the camp",
        "lake forest village",
        "torch kettle map axe rope whistle blanket lantern",
        "in tent, in backpack, in boat, under log, behind rock, in car, in box, in canoe",
    ),
    _scene(
        "on the beach",
        "harbour cafe town",
        "shell towel kite ball spade hat bottle whistle",
        "in bag, under umbrella, in boat, behind rock, in hut, in basket, in bucket, in car",
    ),
    _scene(
        "at the station",
        "street town office",
        "suitcase ticket umbrella parcel newspaper clock hat violin",
        "in locker, under bench, on train, on trolley, in office, behind pillar, in kiosk, in van",
    ),
)

COLOURS = words("red blue green yellow white black pink brown")

MEDIA = {
    "photograph": ("took", "take", "a camera"),
    "picture": ("took", "take", "a camera"),
    "photo": ("took", "take", "a camera"),
    "video": ("made", "make", "a camera"),
    "drawing": ("made", "make", "some paper"),
    "sketch": ("drew", "draw", "some paper"),
    "map": ("drew", "draw", "some paper"),
    "painting": ("made", "make", "some paper"),
}
"""A medium, with the past tense and the plain form of the verb that goes with it, and what it needs."""

COUNTED = words("coins apples books stamps shells cards eggs pears stones tickets")
