# The public names of broca.interventions, with their types: loaded on first use.

from broca.interventions.circuit import Counterfactuals as Counterfactuals
from broca.interventions.circuit import EdgePatch as EdgePatch
from broca.interventions.circuit import circuit_margins as circuit_margins
from broca.interventions.edges import EdgeLesion as EdgeLesion
from broca.interventions.edges import edges_between as edges_between
from broca.interventions.lesion import Fill as Fill
from broca.interventions.lesion import Keep as Keep
from broca.interventions.lesion import Lesion as Lesion
from broca.interventions.lesion import Mean as Mean
from broca.interventions.lesion import Noise as Noise
from broca.interventions.lesion import Positions as Positions
from broca.interventions.lesion import Resample as Resample
from broca.interventions.lesion import Zero as Zero
from broca.interventions.patch import Patch as Patch
from broca.interventions.paths import path_margins as path_margins
from broca.interventions.pattern import PatternPatch as PatternPatch
from broca.interventions.pattern import carried_patterns as carried_patterns
from broca.interventions.plant import text_key as text_key
from broca.interventions.projected_weights import WeightProjection as WeightProjection
from broca.interventions.reconstruct import Reconstruct as Reconstruct
from broca.interventions.steer import Steer as Steer
from broca.interventions.steered_block import SteeredBlock as SteeredBlock
from broca.interventions.steered_block import steered_model as steered_model
from broca.interventions.weights import WeightDeltas as WeightDeltas
from broca.interventions.weights import WeightMask as WeightMask
from broca.specs.fields import Edit as Edit
