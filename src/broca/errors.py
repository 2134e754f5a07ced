"""Everything that can go wrong, in one place.

Each message says what was given, what would have been right, and what to do. Nothing here imports anything.

* BrocaError            base; ``exit_code`` 1 (a failure) or 2 (a mistake in what was asked)
  + ModelError          a model or its tokenizer could not be loaded
    - AnatomyError      the wiring could not be read, or failed its own proof
  + SiteUnavailable     this model has no such place (e.g. `mlp_act` in a mixture of experts)
  + UnknownName         a name that no registry knows; comes with near matches
  + StimulusError       stimuli, contrasts or items are malformed
  + SelectionError      a selection of units is impossible or empty
  + StatisticsError     a statistic is undefined for these numbers
  + InterventionError   an intervention does not declare what the passes of a model have to know of it
  + GuardError          a guard stopped the study: its result would have been meaningless
  + EngineError         workers could not be started, reached or kept alive, or something cannot be sent to them
  + ServerError         a server of completions is gone, refuses, or answers with something else
  + SpecError           a study's fields are wrong
  + RunError            a run directory is incomplete, unwritable, or belongs to another spec
  + ExpectationError    a finished run is otherwise than its spec expected; ``exit_code`` 3
"""

from __future__ import annotations


class BrocaError(Exception):
    """Base of every error that broca raises on purpose."""

    exit_code = 1


class ModelError(BrocaError):
    """A model or its tokenizer could not be loaded."""


class AnatomyError(ModelError):
    """The model's wiring could not be read, or failed its own proof."""


class SiteUnavailable(BrocaError):  # noqa: N818 - reads as the field says it
    """This model has no such place."""

    exit_code = 2


class UnknownName(BrocaError):  # noqa: N818
    """A name that no registry knows."""

    exit_code = 2


class StimulusError(BrocaError):
    """Stimuli, contrasts or items are malformed."""

    exit_code = 2


class SelectionError(BrocaError):
    """A selection of units is impossible or empty."""

    exit_code = 2


class StatisticsError(BrocaError):
    """A statistic is undefined for these numbers."""


class InterventionError(BrocaError):
    """An intervention does not declare what the passes of a model have to know of it."""

    exit_code = 2


class GuardError(BrocaError):
    """A guard stopped the study: its result would have been meaningless."""


class RunError(BrocaError):
    """A run directory is incomplete, unwritable, or belongs to another spec."""


class EngineError(BrocaError):
    """Workers could not be started, reached or kept alive, or something cannot be sent to them."""


class ServerError(BrocaError):
    """A server of completions is gone, refuses, or answers with something else."""


class ExpectationError(BrocaError):
    """A finished run is otherwise than its spec expected."""

    exit_code = 3


class SpecError(BrocaError):
    """A study's fields are wrong."""

    exit_code = 2
