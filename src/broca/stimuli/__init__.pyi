# The public names of broca.stimuli, with their types: loaded on first use.

from broca.stimuli.alignment import align as align
from broca.stimuli.benchmarks import benchmark as benchmark
from broca.stimuli.blind_rules import baselines as baselines
from broca.stimuli.cell_items import accuracies as accuracies
from broca.stimuli.cell_items import cells as cells
from broca.stimuli.contrasts import contrast as contrast
from broca.stimuli.corruption import corrupt as corrupt
from broca.stimuli.degeneracy import flags as flags
from broca.stimuli.edits import edits_between as edits_between
from broca.stimuli.lengths import length_match as length_match
from broca.stimuli.orders import shuffle_choices as shuffle_choices
from broca.stimuli.perturb.build import build_pairs as build_pairs
from broca.stimuli.perturb.kinds import Severity as Severity
from broca.stimuli.perturb.rewrite import reword as reword
