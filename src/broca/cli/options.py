"""What can be said to the commands: each class is a group of options that several commands share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from broca.errors import SpecError
from broca.page.shell import flag

if TYPE_CHECKING:
    from broca.specs.fields import Chat

Options = Annotated[dict[str, str] | None, Parameter(help="Options of what is shown, by name: --options.seed 1.")]
Verbose = Annotated[
    bool, Parameter(name=("--verbose", "-v"), negative=(), help="Print everything that the report shows.")
]
DryRun = Annotated[
    bool, Parameter(name="--dry-run", negative=(), help="Say what it will cost, and stop: nothing is written.")
]
Budget = Annotated[
    str | None,
    Parameter(
        help="Take no longer, or read no more, than this: 90s, 20min, 2Mtokens. What is given up is said, and the spec holds the tokens."
    ),
]
Features = Annotated[
    tuple[str, ...] | None,
    Parameter(
        help="Dictionaries whose features are units, at LAYER.feature: a file or folder each, SITE=FILE, or an organism that comes with one."
    ),
]
RUNS = Path("runs")
Dtype = Literal["auto", "float32", "bfloat16", "float16", "float64"]
Side = Literal["top", "bottom", "both", "middle", "random"]
Grain = Literal["unit", "head"]
SHOTS = "Examples before each question, which are never asked themselves."
CALLED = "What a table of your own calls its columns, behind the names that are read: prompt=question,choices=options,answer=label."
TemplateWhen = Literal["auto", "never", "always"]
EXAMPLES = "items, or a contrast that has examples, such as facts/capitals"
TABLE = "a table of your own"
SYSTEM = "A system message before each chat, which says how to answer; needs chats, or --chat."
THINKING = "Whether the model thinks before it answers, where its template has a switch for it; needs chats, or --chat."


@Parameter(name="*")
@dataclass(frozen=True)
class Templating:
    """What the model's chat template is used for."""

    chat: TemplateWhen | None = None
    """Whether the model's chat template is used: for chats only (auto), never, or always. --chat alone is always, --no-chat never."""
    system: Annotated[str | None, Parameter(help=SYSTEM)] = None
    thinking: Annotated[bool | None, Parameter(help=THINKING)] = None

    @property
    def use(self) -> Chat:
        """When the template is used, and what it is told.

        Raises:
            SpecError: if it is told something, and never used.
        """
        from broca.specs.fields import template

        return template(self.chat or "auto", system=self.system, thinking=self.thinking)


@Parameter(name="*")
@dataclass(frozen=True)
class Loading:
    """How the model is loaded."""

    revision: str | None = None
    """Branch, tag or commit of a hub id."""
    dtype: Dtype = "auto"
    """How to load the weights."""
    device: str = "auto"
    """auto, cpu, cuda, or balanced over several and main memory."""
    trust_remote_code: bool = False
    """Run code that comes with the model."""
    gguf: str | None = None
    """Name of a GGUF file, where a directory or a hub id has several files."""
    prove_again: Annotated[bool, Parameter(negative=())] = False
    """Prove anew how the model may be run, instead of what it has passed on this machine before."""


@Parameter(name="*")
@dataclass(frozen=True)
class Working:
    """Where the work is done. It changes no result."""

    engine: Literal["local", "ray", "slurm"] = "local"
    """Processes of this machine, workers of a Ray cluster, or jobs of a Slurm cluster."""
    workers: int | None = None
    """How many share the work, each with a copy of the model: 1, or with ray one for each core; slurm wants a number."""
    threads: int | None = None
    """Threads of each process. The last digits may depend on it: fix it where bytes are compared."""
    address: str | None = None
    """Join this Ray cluster (HOST:PORT or auto) instead of starting one here; needs --engine ray."""
    partition: str | None = None
    """Of Slurm, several with commas; needs --engine slurm."""
    hours: float | None = None
    """That each job may take (4); needs --engine slurm."""
    gpus: int | None = None
    """Of each job: 1 where the model is on a GPU here, else 0; needs --engine slurm."""
    memory: float | None = None
    """Of each job, in GB; needs --engine slurm."""
    account: str | None = None
    """Who is charged for the jobs; needs --engine slurm."""


@Parameter(name="*")
@dataclass(frozen=True)
class Tasks:
    """Tasks of lm-eval, instead of items."""

    lm_eval: tuple[str, ...] | None = None
    """Names that lm-eval knows, or task files (.yaml)."""
    include: Path | None = None
    """A folder of further task files; needs --lm-eval."""
    limit: int | None = None
    """Documents of each task at most; needs --lm-eval."""
    cache: Path | None = None
    """Keep answers in this file, by weights, interventions and request; needs --lm-eval."""


def refuse(idle: Mapping[str, Any], needs: str, *, met: object = False, beside: str = "") -> None:
    """Refuse options that were given and would do nothing in this call.

    Args:
        idle: those that would do nothing, by name; None is one that was not given.
        needs: the option that they need.
        met: whether the call has it.
        beside: the option that leaves nothing for them to do, where there is one.

    Raises:
        SpecError: naming them, and what they need.
    """
    from broca.specs.faults import idle as sentence

    if not met and (names := [flag(name) for name in given_fields(**idle)]):
        raise SpecError(sentence(names, [needs], beside=beside))


def is_own(name: str) -> bool:
    """Whether stimuli of this name are in a table of the user's own, whose columns may be called otherwise."""
    from broca.stimuli.options import expand_home, is_file
    from broca.stimuli.tables import SUFFIXES

    return name.lower().endswith(SUFFIXES) and is_file(expand_home(name))


def given_fields(**fields: Any) -> dict[str, Any]:
    """What the user gave: the study's own defaults stand for the rest."""
    return {name: value for name, value in fields.items() if value is not None}
