# The public names of broca.items, with their types: loaded on first use.

from broca.items.collection import Items as Items
from broca.items.item import Contrast as Contrast
from broca.items.item import Item as Item
from broca.items.item import Passage as Passage
from broca.items.item import Span as Span
from broca.items.item import Stimulus as Stimulus
from broca.items.item import cluster as cluster
from broca.items.item import fingerprint as fingerprint
from broca.items.item import picture_hash as picture_hash
from broca.items.pair import Edit as Edit
from broca.items.pair import Pair as Pair
from broca.items.pair import apply_edits as apply_edits
from broca.items.text import Message as Message
from broca.items.text import PicturedText as PicturedText
from broca.items.text import Text as Text
from broca.items.text import as_text as as_text
from broca.items.tree import CONCLUSION as CONCLUSION
from broca.items.tree import Tree as Tree
