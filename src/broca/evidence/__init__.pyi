# The public names of broca.evidence, with their types: loaded on first use.

from broca.evidence.blocks import facts as facts
from broca.evidence.blocks import table as table
from broca.evidence.budget import WithBudget as WithBudget
from broca.evidence.ledger import SharedLevel as SharedLevel
from broca.evidence.model import model_summary as model_summary
from broca.evidence.verdict import Guard as Guard
from broca.evidence.verdict import Rung as Rung
from broca.evidence.verdict import Verdict as Verdict
