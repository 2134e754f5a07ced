# The public names of broca.capture, with their types: loaded on first use.

from broca.capture.activations import capture as capture
from broca.capture.attention import attention_to_spans as attention_to_spans
from broca.capture.attention import head_summary as head_summary
from broca.capture.compare import compare_pairs as compare_pairs
from broca.capture.gradient import attribution as attribution
from broca.capture.head_features import Features as Features
from broca.capture.head_features import features as features
from broca.capture.metrics import LogitDifference as LogitDifference
from broca.capture.objectives import OBJECTIVES as OBJECTIVES
from broca.capture.objectives import AnsweredQuestion as AnsweredQuestion
from broca.capture.pairs import AlignedPair as AlignedPair
from broca.capture.places import at_places as at_places
from broca.capture.ranking import rank_weights as rank_weights
from broca.capture.raw import CaptureParts as CaptureParts
from broca.capture.raw import raw_bytes as raw_bytes
from broca.capture.reduce import Covariance as Covariance
from broca.capture.reduce import Extremes as Extremes
from broca.capture.reduce import Gather as Gather
from broca.capture.reduce import Moments as Moments
from broca.capture.reduce import Reducer as Reducer
from broca.capture.weight_gradients import sensitivity as sensitivity
from broca.specs.pooling import PRESETS as PRESETS
from broca.specs.pooling import Pooling as Pooling
