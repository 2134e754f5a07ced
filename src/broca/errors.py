"""Everything that can go wrong, in one place: what each kind of error means, what causes it, and what to do.

Each message says what was given, what would have been right, and what to do. `short` names its kind: the command line ends every message
with it, `broca explain SHORT` says the rest, and ``docs/errors.md`` is made from what stands here. Nothing here imports anything heavy.
"""

from __future__ import annotations

from typing import ClassVar


class BrocaError(Exception):
    """Base of every error that broca raises on purpose."""

    exit_code: ClassVar[int] = 1
    """What the command line ends with: 1 a failure, 2 a mistake in what was asked, 3 an expectation that was not met."""
    short: ClassVar[str] = "broca"
    """Its short name."""
    cause: ClassVar[str] = (
        "Something that a part of broca depends on failed, and no kind below says it better: a chart that could not be drawn, say."
    )
    remedy: ClassVar[str] = (
        "The message names the part. Free memory or disk where it says so, and give the same command again."
    )


class ModelError(BrocaError):
    """A model or its tokenizer could not be loaded, or cannot be looked into."""

    short = "model"
    cause = (
        "MODEL is no directory, GGUF file, hub id, shipped organism or smollm2; its files are incomplete; a package that it needs is missing; it is "
        "gated on the hub; it does not fit into memory; or it is of a kind that is refused (an encoder-decoder, a compiled model in a state that hooks do not "
        "reach, one in training mode)."
    )
    remedy = "Check the name with `broca inspect MODEL`. What does not fit: `--dtype bfloat16`, `--device`. What is gated: log in with `hf auth login`."


class AnatomyError(ModelError):
    """The model's wiring could not be read, or failed its own proof."""

    short = "anatomy"
    cause = (
        "Its blocks do not satisfy resid_post − resid_pre = scale × (attn_out + mlp_out) on plain words, so that what a site is called would not be "
        "what it is. An architecture of a new kind, or remote code, does this."
    )
    remedy = "See docs/models.md for what is proved. A wiring can be given by hand, ten lines of data (docs/models-and-sites.md); it is proved like any other."


class SiteUnavailable(BrocaError):  # noqa: N818 - reads as the field says it
    """This model has no such place."""

    exit_code = 2
    short = "site"
    cause = "A layer beyond the last one, a kind of site that is none, or one that this architecture lacks, such as mlp_act in a mixture of experts."
    remedy = "`broca inspect MODEL` lists layers, heads and kinds of sites. Write LAYERS.KIND: '*.resid_post', '8-15.z', '3,5.mlp_act'."


class UnknownName(BrocaError):  # noqa: N818
    """A name that no registry knows; comes with near matches."""

    exit_code = 2
    short = "name"
    cause = "A contrast, benchmark, scorer, preset, table, chart or option is misspelt, or belongs to a package that is not installed."
    remedy = "The message lists what is known, nearest first. A file of your own is given by its path, with its ending."


class StimulusError(BrocaError):
    """Stimuli, contrasts or items are malformed."""

    exit_code = 2
    short = "stimulus"
    cause = (
        "A file of stimuli or items lacks a column, holds an empty text, an answer that is none of its choices, or one side only; a generator cannot draw "
        "as many as were asked for; or a path in a spec is seen from another folder."
    )
    remedy = "docs/stimuli.md has the columns. The message names the file and the first row. Type the command of a spec where the run was started."


class SelectionError(BrocaError):
    """A selection of units, heads or weights is impossible or empty."""

    exit_code = 2
    short = "selection"
    cause = "More was asked for than there is, a share that rounds to nothing, units of another model, a mask that is no mask, or too few others to draw from."
    remedy = "Ask for a larger share or a count (`--percent`, `--count`), or make the mask again on this model. `broca select RUN` names what a run selected."


class StatisticsError(BrocaError):
    """A statistic is undefined for these numbers."""

    short = "statistics"
    cause = "Shapes that do not match, no variance, too few stimuli or groups for the test, or an effect that cannot be estimated from them."
    remedy = "Give more groups or stimuli; `broca plan` says how many. In Python, the message says which argument has the wrong shape."


class InterventionError(BrocaError):
    """An intervention does not declare what the passes of a model have to know of it."""

    exit_code = 2
    short = "intervention"
    cause = "A class of your own has no `reads_prompt` or no `fingerprint`, and nothing is assumed of it."
    remedy = "The message has the line to write into the class; docs/extending.md has a whole one."


class GuardError(BrocaError):
    """A guard stopped the study: its result would have been meaningless."""

    short = "guard"
    cause = (
        "The intact model does not have the ability (the gate), a lesion changed no logit, a hook never ran, an edit that should change nothing changed a bit, "
        "padding moves what the model computes, or a figure is constant."
    )
    remedy = "Believe it. Where the gate is closed, ask what the model can do (`broca score --all`) or another model; docs/traps.md has the others."


class RunError(BrocaError):
    """A run directory is incomplete, unwritable, damaged, or belongs to another spec."""

    short = "run"
    cause = "A run was killed and not resumed, files of it were changed, another process writes it, the disk is full, or its folder is not one."
    remedy = "The same command resumes what was stopped. `broca verify RUN` names what was changed; `broca runs` says why a run has stopped."


class EngineError(BrocaError):
    """Workers could not be started, reached or kept alive, or something cannot be sent to them."""

    short = "engine"
    cause = "Ray or submitit is not installed, there is no cluster, it took no jobs, a worker was killed (most often by memory), or a model exists in this process only."
    remedy = "Fewer workers, or none. Where a job of Slurm failed, the message names its log. A model that was changed in memory is saved with save_pretrained and loaded from there. See docs/workers.md."


class ServerError(BrocaError):
    """A server of completions is gone, refuses, or answers with something else."""

    short = "server"
    cause = "The address is wrong, the server is starting or overloaded, asks for a key, or does not give log-probabilities of a prompt."
    remedy = "Ask its /v1/models with curl. The key is read from the environment variable that docs/cells.md names, and never written anywhere."


class ExpectationError(BrocaError):
    """A finished run is otherwise than its spec expected."""

    exit_code = 3
    short = "expectation"
    cause = "The spec said beforehand what each rung would be, and at least one is otherwise. The run itself is whole."
    remedy = 'Read the table "Expected beforehand" of the report. Change the spec only together with what you claim.'


class SpecError(BrocaError):
    """What was asked for is wrong: a field, an option, or two that contradict each other."""

    exit_code = 2
    short = "spec"
    cause = "A field that no spec has, a value outside its bounds, an option that would do nothing, or one that needs another."
    remedy = (
        "The message names the field and what it takes. `broca COMMAND --help` has all of them, docs/fields.md too."
    )


def first_line(error: BaseException) -> str:
    """What an error says first; the name of its class where it says nothing."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def kinds() -> dict[str, type[BrocaError]]:
    """Each kind of error by its short name, the base first, each below what it is a kind of."""
    found: dict[str, type[BrocaError]] = {}

    def collect(kind: type[BrocaError]) -> None:
        found.setdefault(kind.short, kind)
        for each in kind.__subclasses__():
            # Errors of other packages are theirs to explain.
            if each.__module__ == __name__:
                collect(each)

    collect(BrocaError)
    return found
