# The public names of broca.scoring, with their types: loaded on first use.

from broca.scoring.answers import completion_of as completion_of
from broca.scoring.answers import grade_answers as grade_answers
from broca.scoring.answers import rates as rates
from broca.scoring.completions import Completion as Completion
from broca.scoring.completions import score_differences as score_differences
from broca.scoring.completions import score_summary as score_summary
from broca.scoring.generation import Generation as Generation
from broca.scoring.harness import evaluate as evaluate
from broca.scoring.judge import Rubric as Rubric
from broca.scoring.judge import judge_completions as judge_completions
from broca.scoring.likelihood import Likelihood as Likelihood
from broca.scoring.orders import Permuted as Permuted
from broca.scoring.reward import rewards as rewards
from broca.scoring.rows import ROW_SCHEMA as ROW_SCHEMA
from broca.scoring.rows import Scorer as Scorer
from broca.scoring.rows import summarise as summarise
from broca.scoring.sampling import Sampled as Sampled
from broca.scoring.scorers import AnyScorer as AnyScorer
from broca.scoring.scorers import chat_of as chat_of
from broca.scoring.semantic import prompt_similarities as prompt_similarities
from broca.scoring.semantic import similarities as similarities
from broca.scoring.windows import Windows as Windows
from broca.scoring.windows import perplexity as perplexity
from broca.scoring.windows import window_rows as window_rows
from broca.scoring.writers import Kept as Kept
from broca.scoring.writers import writer as writer
