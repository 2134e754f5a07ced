"""The commands about perturbations."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from broca import terminal
from broca.cli.execute import engine_of, executed, loaded, parsed, study_of
from broca.cli.options import Loading, Working, given
from broca.errors import SpecError

if TYPE_CHECKING:
    from broca.runs.old_scores import Scorers
    from broca.scoring.writer import Writer

perturb = App(
    name="perturb", help="Perturb texts, and see what that does to a model; or score what was captured before."
)

_SHOWN = ("kind", "n", "missing", "mean", "sd", "min", "max", "low", "high", "p_holm", "unparsed", "floor")


@Parameter(name="*")
@dataclass(frozen=True)
class Judging:
    """What scores a completion, beside the right answer where there is one."""

    reward: str | None = None
    """Reward model or other classifier of question and completion: directory or hub id."""
    label: str | None = None
    """Which of its outputs to read, where it has several."""
    semantic: str | None = None
    """Model of sentences: directory, hub id, or default for all-MiniLM-L6-v2."""
    judge: str | None = None
    """Instruct model as judge: directory, hub id or shipped organism; with --server its name there."""
    server: str | None = None
    """Address of a server that speaks OpenAI's chats, on which the judge runs."""
    device: str = "auto"
    """auto, cpu or cuda."""


@Parameter(name="*")
@dataclass(frozen=True)
class Perturbing:
    """What is done to texts, and what is patched."""

    kinds: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None
    """Kinds of perturbation (all, or all that the file has)."""
    n: int | None = None
    """Clean texts at most (200)."""
    words: int | None = None
    """How many words of a text are edited (1)."""
    among: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None
    """Edit these words only."""
    rewriter: str | None = None
    """Instruct model that writes the styles, instead of templates."""
    rewriter_server: str | None = None
    """Address of an OpenAI-compatible server on which it runs."""
    controls: bool | None = None
    """Ask valid texts with the same change in tokens too."""
    answers: Literal["auto", "choices", "generated"] | None = None
    """By the likelihood of choices, or read from what is generated."""
    max_new_tokens: int | None = None
    """Of what is generated (16)."""
    compare: int | None = None
    """Pairs of each kind whose runs are compared inside (64)."""
    probes: int | None = None
    """Pairs of each kind on which probes learn to tell clean from perturbed (0)."""
    cases: int | None = None
    """Texts whose answer turned that are patched (128)."""
    patterns: Literal["none", "layers", "heads"] | None = None
    """Patch attention patterns of layers, of heads too, or none."""
    select: Literal["heads", "neurons"] | None = None
    """What is chosen and climbs the ladder."""
    rank: Literal["patched", "estimated"] | None = None
    """Rank heads by patching each, or by attribution patching."""
    percent: float | None = None
    """Share of heads or neurons to choose (12.5)."""
    draws: int | None = None
    """Random choices of the same size (100)."""
    twins: int | None = None
    """Untrained networks of the same architecture (5)."""
    chat: Literal["auto", "never", "always"] | None = None
    """Whether the model's chat template is used."""
    seed: int | None = None
    """Seed of edits, controls, cases, bootstrap, draws and twins."""

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the study."""
        return given(**asdict(self))


@perturb.default
def study(
    model: str,
    *,
    items: str | None = None,
    options: Annotated[dict[str, str] | None, Parameter(help="Options of the items: --options.seed 1.")] = None,
    perturbing: Perturbing = Perturbing(),
    loading: Loading = Loading(),
    working: Working = Working(),
    out: Path = Path("runs"),
) -> None:
    """Perturb texts, compare answers by item, and patch the runs whose answer turned.

    Args:
        model: Directory, hub id or shipped organism; sums answers its own items, under all kinds.
        items: Items by name, or a file of items or pairs; written arithmetic (sums) where left out.
        out: Folder of runs.
    """
    fields = {"kind": "perturb", "items": items or "sums", "options": parsed(options), **perturbing.fields}
    executed(study_of(fields), loaded(model, loading), out, f"broca perturb {model} --select neurons",
             engine=engine_of(working))  # fmt: skip


@perturb.command
def capture(
    model: str,
    *,
    items: str = "sums",
    options: Annotated[dict[str, str] | None, Parameter(help="Options of the items: --options.seed 1.")] = None,
    kinds: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    n: int = 200,
    sites: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    top: int = 10,
    new_tokens: int = 16,
    loading: Loading = Loading(),
    out: Path = Path("raw"),
) -> None:
    """Keep what no reduction can tell: states, attention, top logits and completions of clean and perturbed texts, in safetensors.

    The size is said before anything runs. The same command goes on after a kill, with the same bytes.

    Args:
        model: Directory, hub id or shipped organism.
        items: Items by name, or a file of items or pairs.
        kinds: Kinds of perturbation; all, or all that the file has.
        n: Clean texts at most.
        sites: Such as 5.resid_post, *.mlp_out, or 5.pattern for attention; the residual streams of all layers where left out.
        top: Of how many tokens the logits after each position are kept.
        new_tokens: How many tokens each text is continued by.
        out: Folder to write to.
    """
    from broca.capture.raw import Wanted, raw_bytes
    from broca.runs.shards import write_raw
    from broca.sites import sites as matching
    from broca.studies.perturb.shown import source_of

    study = study_of(
        {"kind": "perturb", "items": items, "options": parsed(options), "n": n, "kinds": kinds or [], "controls": False}
    )
    lm = loaded(model, loading)
    texts = study.texts(lm)
    rows = [(f"{source_of(pair)}/clean", pair.clean) for pair in texts.clean.values()]
    rows += [(pair.id, pair.perturbed) for pair in texts.pairs]
    chosen = tuple(site for each in sites or ["*.resid_post"] for site in matching(each, lm.anatomy.n_layers))
    wanted = Wanted(chosen, top=top, new_tokens=new_tokens)
    size = raw_bytes(lm, [text for _, text in rows], wanted)
    terminal.out.print(f"{len(rows):,} texts at {len(chosen)} sites: {terminal.bytes_in_words(size)} to write.")
    with terminal.progress() as tell:
        write_raw(out, lm, rows, wanted, progress=lambda done, total: tell("capturing", done, total))
    terminal.following({"raw": str(out)})


@perturb.command
def score(
    *pt_dir: Path,
    items: Path,
    kinds: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
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
    from broca.runs.old_scores import conditions, scores, written

    if not pt_dir:
        raise SpecError(
            "No folder of captures is given. Give at least one: broca perturb score PT_DIR --items maths.json."
        )
    found = conditions(pt_dir, items, kinds=kinds)
    by = _scorers(judging, cache)
    with terminal.err.status("scoring"):
        tables = scores(found, by)
    terminal.facts([(condition.kind, f"{len(condition.completions):,} completions") for condition in found])
    for name, table in tables.items():
        if name.endswith(("_summary", "_differences")):
            terminal.out.print(f"\n{name.replace('_', ', ')}", markup=False)
            terminal.frame(table.select(name for name in _SHOWN if name in table.columns))
    files = written(found, tables, out)
    terminal.following({"scores": str(out), "files": str(len(files))})


def _scorers(judging: Judging, cache: Path | None) -> Scorers:
    from broca.models.embedding import DEFAULT, Embedder
    from broca.models.load import quiet
    from broca.models.reward import RewardModel
    from broca.runs.old_scores import Scorers

    quiet()
    reward = embedder = None
    with terminal.err.status("loading"):
        if judging.reward:
            reward = RewardModel.load(judging.reward, label=judging.label, device=judging.device)
        if judging.semantic:
            name = DEFAULT if judging.semantic == "default" else judging.semantic
            embedder = Embedder.load(name, device=None if judging.device == "auto" else judging.device)
        return Scorers(reward, embedder, _judge(judging), cache=cache)


def _judge(judging: Judging) -> Writer | None:
    from broca.scoring.writer import writer

    if judging.judge is None:
        if judging.server:
            raise SpecError("--server is where the judge runs. Name it: --judge MODEL.")
        return None
    return writer(judging.judge, server=judging.server, max_new_tokens=16, device=judging.device)
