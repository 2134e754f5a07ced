# The public names of broca, with their types: those that `__init__.py` loads on first use.

from broca.errors import BrocaError as BrocaError
from broca.instruments.lesion.spec import CausalTest as CausalTest
from broca.instruments.localize.spec import Localize as Localize
from broca.instruments.perturb.spec import Perturb as Perturb
from broca.instruments.probe.spec import Probe as Probe
from broca.instruments.selftest.spec import Selftest as Selftest
from broca.instruments.sensitivity.spec import Sensitivity as Sensitivity
from broca.interventions.edges import EdgeLesion as EdgeLesion
from broca.interventions.lesion import Lesion as Lesion
from broca.interventions.patch import Patch as Patch
from broca.interventions.pattern import PatternPatch as PatternPatch
from broca.interventions.weights import WeightMask as WeightMask
from broca.items import Contrast as Contrast
from broca.items import Edit as Edit
from broca.items import Item as Item
from broca.items import Message as Message
from broca.items import Pair as Pair
from broca.items import PicturedText as PicturedText
from broca.items import Stimulus as Stimulus
from broca.items import Tree as Tree
from broca.models.export import export as export
from broca.models.lm import LM as LM
from broca.reports.build import report as report
from broca.runs.listing import list_runs as list_runs
from broca.runs.listing import open_runs as open_runs
from broca.runs.reading import open_run as open_run
from broca.runs.run import run as run
from broca.scoring.generation import Generation as Generation
from broca.scoring.likelihood import Likelihood as Likelihood
from broca.scoring.sampling import Sampled as Sampled
from broca.sites import Site as Site
from broca.stimuli.benchmarks import benchmark as benchmark
from broca.stimuli.contrasts import contrast as contrast
from broca.stimuli.perturb import pairs as pairs
from broca.stimuli.perturb import perturb as perturb
from broca.stimuli.texts import texts as texts
from broca.stimuli.trees import trees as trees
from broca.units import Select as Select
from broca.units import UnitMask as UnitMask
from broca.units import WeightSet as WeightSet
from broca.units import select as select

__version__: str
