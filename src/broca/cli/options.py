"""What can be said to the commands: each class is a group of options that several commands share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from broca.errors import SpecError
from broca.page.shell import flag

Options = Annotated[dict[str, str] | None, Parameter(help="Options of what is shown, by name: --options.seed 1.")]
RUNS = Path("runs")
Dtype = Literal["auto", "float32", "bfloat16", "float16", "float64"]
Side = Literal["top", "bottom", "both", "middle", "random"]
Grain = Literal["unit", "head"]
Chat = Literal["auto", "never", "always"]


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


@Parameter(name="*")
@dataclass(frozen=True)
class Working:
    """Where the work is done. It changes no result."""

    engine: Literal["local", "ray"] = "local"
    """Processes of this machine, or workers of a Ray cluster."""
    workers: int | None = None
    """How many share the work, each with a copy of the model: 1, or with ray one for each core."""
    threads: int | None = None
    """Threads of each process. The last digits may depend on it: fix it where bytes are compared."""
    address: str | None = None
    """Join this Ray cluster (HOST:PORT or auto) instead of starting one here; needs --engine ray."""


@Parameter(name="*")
@dataclass(frozen=True)
class Looking:
    """Where the localizer looks, and against what."""

    sites: str | None = None
    """Where to look: "*.resid_post", "8-15.mlp_act", "*.z"."""
    grain: Grain | None = None
    """Rank units, or heads (then z sites are the default)."""
    twins: int | None = None
    """Compare with this many untrained twins; 20 make the rung "learned"."""
    permutations: int | None = None
    """Shuffle the sides this often for family-wise p (max-T); 1000 is usual."""
    also: tuple[str, ...] | None = None
    """Further contrasts for the same ability, to compare maps and selections with."""
    resamples: int | None = None
    """Draw the stimuli again this often for the stability of the selection; 100 is usual."""
    lengths: bool | None = None
    """Regress out the length of the stimuli, and count what remains."""
    protect_massive: bool | None = None
    """Never select units with massive activations."""
    chat: Chat | None = None
    """Whether the model's chat template is used: for chats only (auto), never, or always."""

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the localizer."""
        sites = "*.z" if self.sites is None and self.grain == "head" else self.sites
        return given(**asdict(self) | {"sites": sites})


@Parameter(name="*")
@dataclass(frozen=True)
class Ranking:
    """How the localizer ranks and selects."""

    preset: Literal["tl-abs", "tl-signed", "ll"] | None = None
    """Do as a published localizer did, quirks included."""
    pool: Literal["last", "mean"] | None = None
    """How tokens become one value."""
    pictures: Literal["with", "without", "only"] | None = None
    """Whether the tokens that stand for pictures count in a mean, or no others do; needs --pool mean."""
    magnitude: Literal["signed", "abs-of-mean", "mean-of-abs"] | None = None
    """Compare signed or absolute activations."""
    percent: float | None = None
    """Share of the units to select."""
    count: int | None = None
    """Number of units to select, instead."""
    side: Side | None = None
    """Which end of the ranking."""
    within: Literal["model", "layer"] | None = None
    """Rank over the whole model, or each layer by itself."""
    truncate: int | None = None
    """Keep this many tokens of each stimulus."""
    seed: int | None = None
    """Seed of the split into halves."""

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the localizer."""
        chosen = given(percent=self.percent, count=self.count, side=self.side, within=self.within)
        rest = given(
            preset=self.preset,
            pool=self.pool,
            pictures=self.pictures,
            magnitude=self.magnitude,
            truncate=self.truncate,
            seed=self.seed,
        )
        return rest | ({"select": chosen} if chosen else {})


@Parameter(name="*")
@dataclass(frozen=True)
class Target:
    """What is lesioned: one of four."""

    contrast: str | None = None
    """Localize by this contrast and lesion what it selects (belief, where nothing else is given)."""
    localizer: Path | None = None
    """Lesion what this finished localize run ranks, instead."""
    units: str | None = None
    """Lesion the units of this mask file, or those written as "3.experts:0,2 5.experts:1" (layer.kind:units; kinds of sites,
    head, or group for heads that share a key-value head), instead."""
    heads: str | None = None
    """Lesion these heads, as "0.4,1.2" (layer.head), instead."""


@Parameter(name="*")
@dataclass(frozen=True)
class Tasks:
    """Tasks of lm-eval, instead of items."""

    lm_eval: tuple[str, ...] | None = None
    """Names that lm-eval knows, or task files (.yaml)."""
    include: Path | None = None
    """A folder of further task files; needs --lm-eval."""
    shots: int | None = None
    """Examples before each question; needs --lm-eval."""
    limit: int | None = None
    """Documents of each task at most; needs --lm-eval."""
    cache: Path | None = None
    """Keep answers in this file, by weights, interventions and request; needs --lm-eval."""


@Parameter(name="*")
@dataclass(frozen=True)
class Testing:
    """What is scored, and against what."""

    items: str | None = None
    """The ability in question: a benchmark, or a CSV, JSONL or Parquet file with prompt,choices,answer."""
    others: list[str] | None = None
    """Other abilities, which a specific lesion leaves alone."""
    localizers: list[str] | None = None
    """Further contrasts for the localizer x ability matrix."""
    n_items: int | None = None
    """Score this many items of each ability at most."""
    dose: float | None = None
    """Percent of the units that the claim is about (1; with --localizer, what that run selected)."""
    doses: list[float] | None = None
    """Further percentages, for the dose-response curve."""
    sides: list[Side] | None = None
    """Ends of the ranking; the first is the claim (top; with --localizer, what that run selected)."""
    draws: int | None = None
    """Matched random lesions."""
    dose_draws: int | None = None
    """Matched random lesions at each further dose; needs --doses."""
    match: list[Literal["layer", "size"]] | None = None
    """What random lesions share with the selection."""
    fills: list[Literal["zero", "mean", "noise", "resample"]] | None = None
    """What lesioned units are held at; the first is the claim."""
    gate: Literal["stop", "mark"] | None = None
    """Stop, or go on with a mark, when the intact model lacks the ability."""
    seed: int | None = None
    """Seed of all draws."""

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the causal test."""
        return given(**asdict(self))


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

    if not met and (names := [flag(name) for name in given(**idle)]):
        raise SpecError(sentence(names, [needs], beside=beside))


def given(**fields: Any) -> dict[str, Any]:
    """What the user gave: the study's own defaults stand for the rest."""
    return {name: value for name, value in fields.items() if value is not None}
