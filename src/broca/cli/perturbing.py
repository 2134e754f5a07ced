"""The commands about perturbations."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cyclopts import App, Parameter

from broca.cli import terminal
from broca.cli.commands import Setting, values
from broca.cli.execute import check_model, executed, loaded, options_for, study_of
from broca.cli.options import RUNS, Loading, Options, Working, given, refuse
from broca.errors import SpecError
from broca.page.shell import YOURS, command

if TYPE_CHECKING:
    from broca.compat.error_mechanisms.scores import Scorers
    from broca.runs import Run
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
    """Which of the reward model's outputs to read, where it has several."""
    semantic: str | None = None
    """Model of sentences: directory, hub id, or default for all-MiniLM-L6-v2."""
    judge: str | None = None
    """Instruct model as judge: directory, hub id or shipped organism; with --server its name there."""
    server: str | None = None
    """Address of a server that speaks OpenAI's chats, on which the judge runs."""
    device: str | None = None
    """Where these models run: auto, cpu or cuda (auto)."""


@Parameter(name="*")
@dataclass(frozen=True)
class Perturbing:
    """What is done to texts, and what is patched."""

    kinds: list[str] | None = None
    """Kinds of perturbation (all, or all that the file has)."""
    n: int | None = None
    """Clean texts at most (200)."""
    words: int | None = None
    """How many words of a text are edited (1)."""
    among: list[str] | None = None
    """Edit these words only."""
    rewriter: str | None = None
    """Instruct model that writes the styles, instead of templates."""
    rewriter_server: str | None = None
    """Address of an OpenAI-compatible server on which it runs; needs --rewriter."""
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
    options: Options = None,
    perturbing: Perturbing = Perturbing(),
    loading: Loading = Loading(),
    working: Working = Working(),
    out: Path = RUNS,
) -> None:
    """Perturb texts, compare answers by item, and patch the runs whose answer turned.

    Args:
        model: Directory, hub id or shipped organism; sums answers its own items, under all kinds.
        items: Items by name, or a file of items or pairs; written arithmetic (sums) where left out.
        out: Folder of runs.
    """
    own = options_for(options, _option_types("sums" if items is None else items)) if options else {}
    study = study_of(
        {"kind": "perturb", "items": "sums" if items is None else items, "options": own, **perturbing.fields}
    )
    if perturbing.rewriter is not None and perturbing.rewriter_server is None:
        check_model(perturbing.rewriter, Loading())
    setting = Setting(model, loading, working, out)
    asked = {"items": items, "options": options, **values(perturbing), **setting.kept()}

    def then(run: Run) -> list[str]:
        if not study.cases or study.select == "neurons":
            heads = "selected" in run.masks
            return (
                [command("lesion", model, options={"units": run.path, "items": YOURS, **setting.kept()})]
                if heads
                else []
            )
        return [
            command(
                "perturb",
                model,
                options={name: asked[name] for name in asked if name != "rank"} | {"select": "neurons"},
            )
        ]

    executed(study, setting, then)


def _option_types(items: str) -> dict[str, Any]:
    """The options that items, or a file of pairs, take."""
    from broca.stimuli.benchmarks import BENCHMARKS
    from broca.stimuli.benchmarks import option_types as of_items
    from broca.stimuli.perturb import is_pairs
    from broca.stimuli.perturb import option_types as of_pairs

    return of_pairs(items) if items not in BENCHMARKS and is_pairs(items) else of_items(items)


@perturb.command
def capture(
    model: str,
    *,
    items: str = "sums",
    options: Options = None,
    kinds: list[str] | None = None,
    n: int = 200,
    sites: list[str] | None = None,
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
    from broca.instruments.perturb.stimuli import source_of
    from broca.runs.shards import write_raw
    from broca.sites import Site, check_pattern
    from broca.sites import sites as matching
    from broca.storage import probe

    own = options_for(options, _option_types(items)) if options else {}
    study = study_of(
        {"kind": "perturb", "items": items, "options": own, "n": n, "kinds": kinds or [], "controls": False}
    )
    check_model(model, loading)
    for pattern in sites or []:
        check_pattern(pattern)
    Wanted((Site(0, "resid_post"),), top=top, new_tokens=new_tokens)
    probe(out, folder=True)
    with terminal.err.status("reading stimuli"):
        study.read()
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
    from broca.compat.error_mechanisms.scores import conditions, scores, written
    from broca.storage import probe

    if not pt_dir:
        raise SpecError(
            "No folder of captures is given. Give at least one: broca perturb score PT_DIR --items maths.json."
        )
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
    files = written(found, tables, out)
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
    from broca.scoring.writer import writer

    if judging.judge is None:
        return None
    return writer(judging.judge, server=judging.server, max_new_tokens=16, device=judging.device or "auto")
