"""How items are answered: by a model here, intact or under what lesions it, or by one on a server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cyclopts import Parameter

from broca.cli import terminal
from broca.cli.execute import check_model, load_model, options_for
from broca.cli.exporting import mask_file
from broca.cli.options import Features, Loading, Templating, given_fields, refuse
from broca.cli.progress import progress
from broca.cli.selections import read_mask, selection_of
from broca.errors import SpecError

if TYPE_CHECKING:
    import polars as pl

    from broca.items import Item
    from broca.models.force import Intervention
    from broca.models.lm import LM
    from broca.scoring import Generation, Likelihood, Sampled
    from broca.specs.fields import Chat

    Scorer = Generation | Likelihood | Sampled

How = Literal["likelihood", "generation", "sampled"]


@Parameter(name="*")
@dataclass(frozen=True)
class Answering:
    """How answers are had and read."""

    how: How | None = None
    """likelihood of the choices (the usual; a server has none), greedy generation, or sampled."""
    match: Literal["exact", "first-word", "first-piece", "letter", "contains"] | None = None
    """How a generated text names a choice (first-word); needs --how generation or sampled."""
    tokens: int | None = None
    """Tokens to generate at most (5); needs --how generation or sampled."""
    temperature: float | None = None
    """Of sampling (0.6); needs --how sampled."""
    top_p: float | None = None
    """Of sampling (0.9); needs --how sampled."""
    repetitions: int | None = None
    """Sampled texts of each item (5); needs --how sampled."""
    seed: int | None = None
    """Of sampling (0); needs --how sampled."""

    def check(self, *, served: bool) -> None:
        """Refuse what does nothing to the way in which answers are had.

        Raises:
            SpecError: naming it, and what it needs.
        """
        own = asdict(self)
        sampling = {name: own.pop(name) for name in ("temperature", "top_p", "repetitions", "seed")}
        how = own.pop("how")
        if served and how == "likelihood":
            raise SpecError(
                "A server gives texts and no likelihoods. Use --how generation or sampled, or score without --server."
            )
        refuse(own, "--how generation or sampled", met=served or how in ("generation", "sampled"))
        refuse(sampling, "--how sampled", met=how == "sampled")

    @property
    def reader(self) -> dict[str, Any]:
        """How a text is read: fields of `Generation`."""
        return {"max_new_tokens": 5, "match": "first-word"} | given_fields(max_new_tokens=self.tokens, match=self.match)

    @property
    def sampling(self) -> dict[str, Any]:
        """How texts are drawn: fields of `Sampled`."""
        return given_fields(
            temperature=self.temperature, top_p=self.top_p, repetitions=self.repetitions, seed=self.seed
        )


@Parameter(name="*")
@dataclass(frozen=True)
class Serving:
    """A server that answers instead of a model here."""

    server: str | None = None
    """Address of a server that speaks OpenAI's completions, such as http://localhost:8000."""
    timeout: float | None = None
    """Seconds to wait for one of its answers (120); needs --server."""


@Parameter(name="*")
@dataclass(frozen=True)
class Under:
    """What is in force while the model answers: nothing, where none of these is given."""

    units: str | None = None
    """Lesion the units of this mask file or run, or those written as "3.experts:0,2" (layer.kind:units, see lesion)."""
    heads: str | None = None
    """Lesion these heads, as "0.4,1.2" (layer.head)."""
    weights: Path | None = None
    """Mask the weights of this mask file, or of a finished sensitivity run."""
    features: Features = None

    def on(self, model: str, loading: Loading) -> tuple[LM, list[Intervention]]:
        """The model, and what is to be in force: files and forms of it are read before the model is."""
        from broca.evidence.features import feature_sites
        from broca.interventions.lesion import Lesion, check_mask
        from broca.interventions.weights import WeightMask

        chosen = given_fields(units=self.units, heads=self.heads)
        read = [read_mask(which, text) for which, text in chosen.items()]
        coded = any(feature_sites(list(mask.at)) for mask in read)
        refuse({"features": self.features}, "--units of LAYER.feature", met=coded)
        file = None if self.weights is None else mask_file(self.weights, model)[0]
        if file is not None:
            WeightMask.load(file)
        lm = load_model(model, loading, self.features or ())
        masks = [selection_of(lm, which, text) for which, text in chosen.items()]
        for mask in masks:
            check_mask(lm, mask)
        weights = [] if file is None else [WeightMask.load(file, model=lm.fingerprint)]
        return lm, [*map(Lesion, masks), *weights]


COSTLY = 64
"""Items from which on their cost is said before they are scored."""


def rows_here(
    model: str,
    items: Sequence[Item],
    answering: Answering,
    under: Under,
    *,
    templating: Templating,
    loading: Loading,
    dry: bool = False,
    budget: str | None = None,
) -> tuple[Sequence[Item], pl.DataFrame | None]:
    """The items that are scored, fewer where a budget is to be kept, and their rows: of a model here, one ability after the other, with a bar.

    There are no rows where what they cost is all that is asked.
    """
    import polars as pl

    from broca.evidence.conditions import CHUNK
    from broca.evidence.guards import joins
    from broca.scoring import Likelihood, Sampled

    lm, changes = under.on(model, loading)
    scorer = _scorer(answering, templating.use)
    rows_of = scorer.repetition_rows if isinstance(scorer, Sampled) else scorer
    abilities = list(dict.fromkeys(item.ability for item in items))
    found: list[pl.DataFrame] = []
    with lm.under(*changes):
        if budget is not None:
            items = _within_budget(lm, items, scorer, budget)
        if dry or len(items) > COSTLY:
            tell_cost(lm, items, scorer)
        if dry:
            return items, None
        with progress() as tell:
            done = 0
            for ability in abilities:
                own = [item for item in items if item.ability == ability]
                for start in range(0, len(own), CHUNK):
                    tell("scoring items", done, len(items))
                    found.append(rows_of(lm, own[start : start + CHUNK]))
                    done += len(own[start : start + CHUNK])
            tell("scoring items", len(items), len(items))
        if isinstance(scorer, Likelihood):
            terminal.facts([(guard.name, guard.text) for guard in joins(lm, items, scorer)])
    return items, pl.concat(found)


def _within_budget(lm: LM, items: Sequence[Item], scorer: Scorer, budget: str) -> Sequence[Item]:
    from broca.evidence.conditions import CHUNK
    from broca.runs.budget import items_within

    with terminal.err.status("keeping the budget"):
        kept = items_within(lm, items, scorer, budget, cell=CHUNK)
    if len(kept) < len(items):
        terminal.notes([f"The budget leaves {len(kept):,} of {len(items):,} items, spread over each ability."])
    else:
        terminal.err.print("The budget leaves all items.")
    return kept


def tell_cost(lm: LM, items: Sequence[Item], scorer: Scorer) -> None:
    """Say what scoring these items will cost."""
    from broca.evidence.conditions import CHUNK
    from broca.runs.costs import measure
    from broca.scoring.costs import count_tokens, sample_items
    from broca.specs.cost import Phase, Plan

    with terminal.err.status("timing a batch"):
        tokens = count_tokens(lm, items, scorer, cell=CHUNK)
        found = measure(Plan((Phase("scoring items", tokens),), sample_items(lm, items, scorer)))
    terminal.cost(found)


def _scorer(answering: Answering, chat: Chat) -> Scorer:
    """What gives the rows."""
    from broca.scoring import Generation, Likelihood, Sampled

    if answering.how in (None, "likelihood"):
        return Likelihood(chat=chat)
    reader = Generation(**answering.reader, chat=chat)
    return reader if answering.how == "generation" else Sampled(reader, **answering.sampling)


def rows_served(model: str | None, items: Sequence[Item], answering: Answering, serving: Serving) -> pl.DataFrame:
    """The rows of a model on a server."""
    from broca.scoring import Generation, Sampled
    from broca.scoring.server import Server, ServerScorer

    assert serving.server is not None
    sampled, reader = answering.how == "sampled", Generation(**answering.reader)
    how = Sampled(reader, **answering.sampling)
    scorer = ServerScorer(
        Server(serving.server, model, 120.0 if serving.timeout is None else serving.timeout),
        reader,
        how.temperature if sampled else 0.0,
        how.top_p,
        how.repetitions if sampled else 1,
        how.seed,
    )
    with terminal.err.status(f"asking {serving.server}"):
        found = scorer.repetition_rows(items)
    if not sampled:
        return found.drop("repetition")
    if how.repetitions > 1 and found.select("id", "text").n_unique() == len(items):
        terminal.notes(["All repetitions are the same text: this server may leave the temperature out of account."])
    return found


def read_items(items: str, options: dict[str, str] | None, own: dict[str, Any]) -> tuple[Item, ...]:
    """The items of a benchmark or file; what the files are, by their content, is printed.

    Args:
        items: name or file.
        options: of its reader, as texts.
        own: options that have a name of their own: `shots`, `columns`.
    """
    from broca.stimuli.benchmarks import benchmark, option_types, sources
    from broca.stimuli.published.sources import origin

    own = own | (options_for(options, option_types(items)) if options else {})
    with terminal.err.status("reading stimuli"):
        found = benchmark(items, **own)
    for file in map(origin, sources(items, own)):
        terminal.facts([(file.name, f"SHA-256 {file.sha256[:16]}{f', {file.known}' if file.known else ''}")])
        terminal.notes([file.note] if file.note else [])
    return found


EACH = 100
"""Items of each ability where all are scored."""


def read_all(options: dict[str, str] | None, own: dict[str, Any]) -> tuple[Item, ...]:
    """The items of every ability in natural language: `EACH`, if not otherwise asked for."""
    from broca.stimuli.benchmarks import benchmark, option_types
    from broca.stimuli.natural import ABILITIES

    own = {"n": EACH, **own, **options_for(options, option_types(next(iter(ABILITIES))))}
    return tuple(item for name in ABILITIES for item in benchmark(name, **own))


def check_answering(
    model: str | None, answering: Answering, serving: Serving, under: Under, *, templating: Templating, loading: Loading
) -> None:
    """Refuse what cannot be, or would do nothing, where items are scored.

    Raises:
        ModelError: if nothing answers.
        SpecError: naming an option that does nothing, and what it needs.
    """
    answering.check(served=serving.server is not None)
    refuse({"timeout": serving.timeout}, "--server", met=serving.server is not None)
    if serving.server is None:
        if model is None:
            raise SpecError("Neither a model nor a server is named. Give MODEL, or --server URL.")
        check_model(model, loading)
        return
    usual = Loading()
    # What the server's model is, and how it shows a chat, is its own affair.
    own = {name: value for name, value in asdict(loading).items() if value != getattr(usual, name)}
    refuse(own | asdict(under) | asdict(templating), "a model that runs here", beside="--server")
