# The public names of broca.models, with their types: loaded on first use.

from broca.models.attention import attention_rows as attention_rows
from broca.models.attention import check_tap as check_tap
from broca.models.circuit.parts import circuit_parts as circuit_parts
from broca.models.embedding import Embedder as Embedder
from broca.models.lm import LM as LM
from broca.models.load import announcement as announcement
from broca.models.miniatures import tiny as tiny
from broca.models.passes import current as current
from broca.models.pool import Pool as Pool
from broca.models.reward import RewardModel as RewardModel
from broca.models.weight_matrices import matrices as matrices
from broca.models.wiring.dissection import dissect as dissect
