# The public names of broca.units, with their types: loaded on first use.

from broca.units.choices import Choice as Choice
from broca.units.choices import fit as fit
from broca.units.choices import read_choice as read_choice
from broca.units.dictionary import Dictionary as Dictionary
from broca.units.direction import Direction as Direction
from broca.units.draws import Draw as Draw
from broca.units.draws import draw_like as draw_like
from broca.units.draws import random_like as random_like
from broca.units.draws import subset as subset
from broca.units.graph import EdgeMask as EdgeMask
from broca.units.mask import UnitMask as UnitMask
from broca.units.notation import Grain as Grain
from broca.units.overlap import Overlap as Overlap
from broca.units.selection import Select as Select
from broca.units.selection import Selection as Selection
from broca.units.selection import select as select
from broca.units.weight_ranking import WeightRanking as WeightRanking
from broca.units.weights import WeightSet as WeightSet
