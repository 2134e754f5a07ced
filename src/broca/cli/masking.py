"""The command that finds the weights an ability hangs on, and its options."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cyclopts import Parameter

from broca.cli import terminal
from broca.cli.commands import Setting
from broca.cli.execute import executed, options_for, study_of
from broca.cli.options import RUNS, Chat, Loading, Options, Working, given
from broca.errors import SpecError
from broca.page.shell import command

if TYPE_CHECKING:
    from broca.runs import Run


@Parameter(name="*")
@dataclass(frozen=True)
class Scoring:
    """By what weights are scored, and which of them are masked."""

    preset: Literal["wu2025"] | None = None
    """Do as Wu et al. (2025) did, quirks included."""
    source: str | None = None
    """Score weights by these texts instead of by a part of the task's items."""
    published: tuple[Path, Path] | None = None
    """Take scores from two folders of published layer_i.pt files, of the task and of general text."""
    controls: list[str] | None = None
    """Further items whose sensitive weights are left alone."""
    objective: Literal["gold", "contrast", "expectation", "last-token", "full"] | None = None
    """What is differentiated: the right answer (gold), its log-odds, the model's choice, the prompt's end, or all."""
    score: Literal["squared-gradient", "gradient-weight", "squared-gradient-weight", "activation-weight"] | None = None
    """g², |w g|, w² g², or |w| times the norm of its input."""
    scope: Literal["matrix", "row", "layer", "kind", "global"] | None = None
    """Within what a fraction is taken."""
    sweep: str | None = None
    """Fractions to mask, as 0:5e-5:2e-6 or 1e-5,2e-5; by default doublings from 2 weights of a matrix."""
    control: float | None = None
    """Fraction of the controls' rankings that is left alone; by default the task's own."""
    edits: list[Literal["zero", "mean", "flip", "resample", "noise"]] | None = None
    """What masked weights become; the first is the claim."""
    n_score: int | None = None
    """Samples of the task to score by."""
    n_general: int | None = None
    """Texts to score by."""
    window: int | None = None
    """Tokens of a text to score by (128)."""
    perplexity_source: str | None = None
    """Texts whose perplexity is taken; by default further ones of --general, with the preset WikiText-2 (from the hub, or a file)."""
    windows_of: int | None = None
    """Tokens of a window of text whose perplexity is taken (128)."""
    layer_groups: int | None = None
    """Pass over the samples so many times, with the sums of a part of the layers each time."""
    sums_on: str | None = None
    """Device of the sums; cpu spares a GPU."""
    mode: Literal["auto", "single", "batched"] | None = None
    """One sample at a time, or batches with the same numbers."""
    halves: bool | None = None
    """Keep two halves of the samples apart, for the rung "reliable"."""
    chat: Chat | None = None
    """Whether the model's chat template is used: for chats only (auto), never, or always."""

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the study."""
        own = asdict(self)
        edits, length = own.pop("edits"), own.pop("windows_of")
        if self.published is not None:
            own["published"] = tuple(str(path) for path in self.published)
        if self.chat is not None and not self.preset:
            own["scorer"] = {"kind": "likelihood", "chat": self.chat}
        if length is not None:
            own["reading"] = {"length": length, **({"texts": "joined"} if self.preset else {})}
        return given(**own, edits=[{"kind": kind} for kind in edits] if edits else None)


@Parameter(name="*")
@dataclass(frozen=True)
class Masking:
    """What is scored under the masks, and against what."""

    others: list[str] | None = None
    """Other abilities, which a specific mask leaves alone."""
    n_items: int | None = None
    """Use this many items of each ability at most."""
    nulls: list[Literal["matrix", "rows", "size", "general"]] | None = None
    """What random masks share with the mask; the first makes the band, all must be beaten."""
    draws: int | None = None
    """Random masks of each family (20)."""
    sweep_draws: int | None = None
    """Random masks at every other fraction (5); needs a sweep of several."""
    twins: int | None = None
    """Score so many untrained twins likewise; 20 make the rung "learned"."""
    perplexity_limit: float | None = None
    """Largest ratio of perplexities that counts as equal (1.05)."""
    gate: Literal["stop", "mark"] | None = None
    """Stop, or go on with a mark, when the intact model lacks the ability."""
    seed: int | None = None
    """Seed of shares, draws and the bootstrap."""

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the study."""
        return given(**asdict(self))


def sensitivity(
    model: str,
    *,
    task: str = "beliefs/false-belief",
    general: str = "plain",
    options: Options = None,
    tree: Path | None = None,
    scoring: Scoring = Scoring(),
    masking: Masking = Masking(),
    loading: Loading = Loading(),
    working: Working = Working(),
    out: Path = RUNS,
) -> None:
    """Score every weight by a task's gradients, leave out what plain text needs, mask, sweep, and climb the ladder.

    Args:
        model: Directory, hub id or shipped organism.
        task: The ability: a benchmark, a table of items, or a theory-of-mind task file.
        general: Texts whose weights are left alone: plain, or a file.
        tree: Write cells as published too: a tree of CSV files and summary.csv, into this folder.
        out: Folder of runs.
    """
    from broca.models.placement import check_device
    from broca.stimuli.benchmarks import option_types

    sources = [task, *(masking.others or []), *(scoring.controls or [])]
    own = options_for(options, *map(option_types, sources)) if options else None
    fields = {"kind": "sensitivity", "task": task, "general": general, **given(options=own)}
    if scoring.preset and loading.dtype != "auto":
        fields["dtype"] = loading.dtype
    study = study_of(fields | scoring.fields | masking.fields)
    loading = replace(loading, dtype=study.dtype or loading.dtype)
    if scoring.sums_on is not None:
        check_device(scoring.sums_on)
    if tree is not None:
        _check_tree(study, tree)
    setting = Setting(model, loading, working, out)
    to = f"{Path(model).name or 'model'}-masked"
    kept = {"to": to, **setting.kept(working=False, out=False)}
    run = executed(study, setting, lambda run: [command("export", run.path, options=kept)])
    if tree is not None:
        _write_tree(run, tree)


_NO_CELLS = (
    "--tree needs sampled cells. Ask for cells (--task cells, or a task file) and sampled answers: --preset wu2025."
)


def _check_tree(study: Any, folder: Path) -> None:
    """Refuse a tree that would stay empty, or could not be written, before anything is computed."""
    from broca.scoring import Sampled
    from broca.stimuli.cells import is_cell
    from broca.storage import probe

    cells = any(is_cell(item) for items in study.abilities.values() for item in items)
    if not cells or not isinstance(study.scorer, Sampled):
        raise SpecError(_NO_CELLS)
    probe(folder, folder=True)


def _write_tree(run: Run, folder: Path) -> None:
    from broca.compat.wu2025.results import summary, write_tree
    from broca.storage import write

    cells = run.tables.get("published")
    if cells is None:  # parts of cells were left out of the test
        raise SpecError(f"{_NO_CELLS} Of this run's items no cell is whole.")
    path = folder / "summary.csv"
    write_tree(cells, folder)
    write(path, summary(cells).write_csv().encode())
    terminal.following({"tree": str(folder), "summary": str(path)})
