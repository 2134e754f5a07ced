"""The commands that keep what a model does to perturbed texts, and score what was kept before."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from broca.cli import terminal
from broca.cli.execute import check_model, load_model, options_for, study_of
from broca.cli.options import Loading, Options, given_fields, refuse
from broca.cli.progress import progress
from broca.errors import SpecError
from broca.instruments import COMMANDS, INSTRUMENTS

if TYPE_CHECKING:
    from broca.compat.error_mechanisms.scores import Scorers
    from broca.scoring.writers import Writer

_SHOWN = ("kind", "n", "missing", "mean", "sd", "min", "max", "low", "high", "p_holm", "unparsed", "floor")


@Parameter(name="*")
@dataclass(frozen=True)
class Judging:
    """What scores a completion, beside the right answer where there is one."""

    reward: str | None = None
    """Reward model or other classifier of question and completion: directory or hub id."""
    label: str | None = None
    """Which of the reward model's outputs to read, where it has several."""
    semantic: str | None = None
    """Model of sentences: directory, hub id, or default for all-MiniLM-L6-v2."""
    judge: str | None = None
    """Instruct model as judge: directory, hub id or shipped organism; with --server its name there."""
    server: str | None = None
    """Address of a server that speaks OpenAI's chats, on which the judge runs."""
    device: str | None = None
    """Where these models run: auto, cpu or cuda (auto)."""


def __getattr__(name: str) -> Any:
    """The command that keeps the texts of an instrument, by the instrument's name, for the command line to find when it is typed.

    Its spec says which texts these are: ``rows_to_capture(lm)`` gives their ids and texts.
    """
    if name not in COMMANDS:
        raise AttributeError(name)
    kept = partial(_capture, name)
    kept.__doc__, kept.__name__ = _capture.__doc__, "capture"  # type: ignore[attr-defined]
    return kept


def _capture(
    kind: str,
    /,
    model: str,
    *,
    items: str | None = None,
    options: Options = None,
    kinds: list[str] | None = None,
    n_items: int | None = None,
    n: Annotated[int | None, Parameter(show=False)] = None,
    sites: list[str] | None = None,
    top: int = 10,
    new_tokens: int = 16,
    loading: Loading = Loading(),
    out: Path = Path("raw"),
) -> None:
    """Keep what no reduction can tell: states, attention, top logits and completions of clean and perturbed texts, in safetensors.

    The size is said before anything runs. The same command goes on after a kill, with the same bytes.

    Args:
        model: Directory, GGUF file, hub id, shipped organism, or smollm2.
        items: Items by name, or a file of items or pairs.
        kinds: Kinds of perturbation; all, or all that the file has.
        n_items: Use this many items, or clean texts of a file of pairs, at most.
        sites: Such as 5.resid_post, *.mlp_out, or 5.pattern for attention; the residual streams of all layers where left out.
        top: Of how many tokens the logits after each position are kept.
        new_tokens: How many tokens each text is continued by.
        out: Folder to write to.
    """
    from broca.capture.raw import CaptureParts, raw_bytes
    from broca.runs.shards import write_raw
    from broca.sites import Site, check_pattern
    from broca.sites import sites as matching
    from broca.storage import probe

    fields = given_fields(items=items, n_items=n_items, n=n, kinds=kinds)
    own = options_for(options, *INSTRUMENTS[kind].option_types(fields)) if options else {}
    study = study_of({"kind": kind, **fields, "options": own})
    check_model(model, loading)
    for pattern in sites or []:
        check_pattern(pattern)
    CaptureParts((Site(0, "resid_post"),), top=top, new_tokens=new_tokens)
    probe(out, folder=True)
    with terminal.err.status("reading stimuli"):
        study.read()
    lm = load_model(model, loading)
    rows = study.rows_to_capture(lm)
    chosen = tuple(site for each in sites or ["*.resid_post"] for site in matching(each, lm.anatomy.n_layers))
    wanted = CaptureParts(chosen, top=top, new_tokens=new_tokens)
    size = raw_bytes(lm, [text for _, text in rows], wanted)
    terminal.out.print(f"{len(rows):,} texts at {len(chosen)} sites: {terminal.bytes_in_words(size)} to write.")
    with progress() as tell:
        write_raw(out, lm, rows, wanted, progress=lambda done, total: tell("capturing", done, total))
    terminal.following({"raw": str(out)})


def score(
    *pt_dir: Path,
    items: Path,
    kinds: list[str] | None = None,
    judging: Judging = Judging(),
    cache: Path | None = None,
    out: Path = Path("scores"),
) -> None:
    """Score the completions in old captures (.pt) of Error Mech Analysis: grade, reward, similarity to clean, judge.

    Args:
        pt_dir: Folders of captures, one a condition; with the clean one among them, differences are paired by row.
        items: The prompt file (.json) that the captures were made from.
        kinds: Of each folder, as clean or main; found by the prompts where left out.
        cache: Keep the models' scores in this file, and ask for no score twice.
        out: Folder to write to: CSV a table, and reward scores in the ancestor's own columns and files too.
    """
    from broca.compat.error_mechanisms.scores import conditions, scores, write_scores
    from broca.storage import probe

    if not pt_dir:
        raise SpecError("No folder of captures is given. Give at least one before --items: PT_DIR --items maths.json.")
    models = [judging.reward, judging.semantic, None if judging.server else judging.judge]
    refuse({"label": judging.label}, "--reward", met=judging.reward)
    refuse({"server": judging.server}, "--judge", met=judging.judge)
    refuse({"device": judging.device}, "a model that runs here: --reward, --semantic or --judge", met=any(models))
    refuse({"cache": cache}, "a model: --reward, --semantic or --judge", met=any([*models, judging.judge]))
    probe(out, folder=True)
    found = conditions(pt_dir, items, kinds=kinds)
    by = _scorers(judging, cache)
    with terminal.err.status("scoring"):
        tables = scores(found, by)
    terminal.facts([(condition.kind, f"{len(condition.completions):,} completions") for condition in found])
    for name, table in tables.items():
        if name.endswith(("_summary", "_differences")):
            terminal.out.print(f"\n{name.replace('_', ', ')}", markup=False)
            terminal.frame(table.select(name for name in _SHOWN if name in table.columns))
    files = write_scores(found, tables, out)
    terminal.following({"scores": str(out), "files": str(len(files))})


def _scorers(judging: Judging, cache: Path | None) -> Scorers:
    from broca.compat.error_mechanisms.scores import Scorers
    from broca.models.embedding import DEFAULT, Embedder
    from broca.models.load import quiet
    from broca.models.reward import RewardModel

    quiet()
    reward, embedder, device = None, None, judging.device or "auto"
    with terminal.err.status("loading"):
        if judging.reward:
            reward = RewardModel.load(judging.reward, label=judging.label, device=device)
        if judging.semantic:
            name = DEFAULT if judging.semantic == "default" else judging.semantic
            embedder = Embedder.load(name, device=None if device == "auto" else device)
        return Scorers(reward, embedder, _judge(judging), cache=cache)


def _judge(judging: Judging) -> Writer | None:
    from broca.scoring.writers import writer

    if judging.judge is None:
        return None
    return writer(judging.judge, server=judging.server, max_new_tokens=16, device=judging.device or "auto")
