"""The command line: parses, calls one thing, prints where the result is and what to type next.

MODEL is everywhere a directory, a hub id or the name of a shipped organism. Heavy rooms are imported inside commands, so
that help answers at once.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

from broca import __version__, terminal
from broca.cli.execute import engine_of, executed, loaded, parsed, study_of, target_of
from broca.cli.masking import sensitivity
from broca.cli.options import Loading, Looking, Ranking, Target, Testing, Working, given
from broca.cli.organism import organism
from broca.cli.perturbing import perturb
from broca.cli.probing import probe
from broca.cli.scoring import export, score
from broca.errors import BrocaError, RunError

app = App(
    name="broca",
    help="Find where an ability lives in a language model, take it away reversibly, and learn whether the claim survives.",
    version=__version__,
    suppress_keyboard_interrupt=False,
    help_format="plaintext",
)
app.command(organism)
app.command(score)
app.command(export)
app.command(probe)
app.command(perturb)
app.command(sensitivity)

Options = Annotated[dict[str, str] | None, Parameter(help="Options of the contrast: --options.seed 1.")]
RUNS = Path("runs")


@app.command
def demo(*, working: Working = Working(), out: Path = RUNS) -> None:
    """Test the belief networks of two small models, read a third one's reasoning, misspell for a fourth; with reports. No download.

    The first model's belief answers were taught to known places. Another says the second smallest number of a list: the way to it
    is read from its attention. A third does sums asked for in words, with and without mistakes in them. The last one's place is
    anybody's guess: it is asked of its heads, then of its weights.

    Args:
        out: Folder of runs.
    """
    from broca.studies.demo import DEMO, ROUTED, TREES, TYPOS, WEIGHTS

    engine = engine_of(working)
    executed(ROUTED, loaded("routed", Loading()), out, engine=engine)
    executed(TREES, loaded("kth", Loading()), out, "broca probe MODEL --task rules", engine=engine)
    executed(TYPOS, loaded("sums", Loading()), out, "broca perturb MODEL --items YOUR_ITEMS.csv", engine=engine)
    next_one = "broca lesion MODEL --contrast YOURS.csv --items YOUR_ITEMS.csv"
    executed(WEIGHTS, loaded("beliefs", Loading()), out, engine=engine)
    executed(DEMO, loaded("beliefs", Loading()), out, next_one, engine=engine)


@app.command
def inspect(model: str, *, loading: Loading = Loading()) -> None:
    """Load a model, prove its wiring, print its anatomy, sites and memory, and check what builds on it (a few seconds).

    What a failed check narrows is said; a lesion that leaves a trace, or moves what comes before it, is an error.

    Args:
        model: Directory, hub id or shipped organism.
    """
    from broca.models.load import footprint
    from broca.sites import KINDS, Kind, Site
    from broca.studies.checkup import checkup

    size = footprint(model, revision=loading.revision, trust_remote_code=loading.trust_remote_code)
    memory = ", ".join(f"{name} {terminal.bytes_in_words(n)}" for name, n in size["bytes"].items())
    terminal.facts([("class", size["class"]), ("parameters", f"{size['parameters']:,}"), ("memory", memory)])
    lm = loaded(model, loading)
    a = lm.anatomy
    kinds: dict[Kind, list[int]] = {k: [i for i in range(a.n_layers) if a.has(Site(i, k))] for k in KINDS}
    scales = "/".join(f"{scale:g}" for scale in sorted({round(block.scale, 4) for block in a.blocks}))
    plain = all(block.attn_out and block.mlp_out and len(block.steps) == 1 and not block.others for block in a.blocks)
    sums = f"resid_post − resid_pre = {scales} × (attn_out + mlp_out)"
    proof = sums if plain and "nan" not in scales else "; ".join(dict.fromkeys(block.identity for block in a.blocks))
    terminal.facts(
        [
            ("layers", f"{a.n_layers} at {a.path}"),
            ("width", f"{a.d_model}"),
            ("heads", f"{a.n_heads} ({a.n_kv_heads} key-value)"),
            *(
                (
                    kind,
                    f"{'all layers' if len(at) == a.n_layers else f'layers {at}'}, {a.width(Site(at[0], kind))} units",
                )
                for kind, at in kinds.items()
                if at
            ),
            ("dtype", f"{lm.dtype} on {lm.device}".removeprefix("torch.")),
            ("proved", f"{proof}, relative error {a.error:.0e}"),
        ]
    )
    with terminal.err.status("checking"):
        found = checkup(lm)
    terminal.out.print()
    terminal.facts([(guard.name, f"{'yes' if guard.state == 'passed' else 'MARKED'}: {guard.text}") for guard in found])
    terminal.following({}, f"broca localize {model} --contrast belief")


@app.command
def localize(
    model: str,
    *,
    contrast: str = "belief",
    options: Options = None,
    looking: Looking = Looking(),
    ranking: Ranking = Ranking(),
    loading: Loading = Loading(),
    working: Working = Working(),
    out: Path = RUNS,
) -> None:
    """Rank every unit, or head, by a contrast, and select.

    Args:
        model: Directory, hub id or shipped organism.
        contrast: Name of a contrast (belief, language, multiple-demand, multiple-demand-matched, pain), or a CSV, JSONL or
            Parquet file with columns text,label or positive,negative, or a folder of tomloc, langloc or pain files.
        out: Folder of runs.
    """
    fields = {"contrast": contrast, "options": parsed(options), **looking.fields, **ranking.fields}
    study, engine = study_of({"kind": "localize", **fields}), engine_of(working)
    asked = "--items beliefs/false-belief --others beliefs/true-belief"
    executed(study, loaded(model, loading), out, f"broca lesion {model} --localizer RUN {asked}", engine=engine)


@app.command
def lesion(
    model: str,
    *,
    target: Target = Target(),
    looking: Looking = Looking(),
    testing: Testing = Testing(),
    loading: Loading = Loading(),
    working: Working = Working(),
    out: Path = RUNS,
) -> None:
    """Lesion a selection, score abilities against matched random lesions, and climb the ladder.

    Args:
        model: Directory, hub id or shipped organism.
        out: Folder of runs.
    """
    engine = engine_of(working)
    lm = loaded(model, loading)
    study = study_of({"kind": "causal", **target_of(lm, target, looking), **testing.fields})
    executed(study, lm, out, engine=engine)


@app.command
def selftest(
    model: str,
    *,
    contrast: str | None = None,
    sites: str | None = None,
    answers: tuple[str, str] | None = None,
    d: float | None = None,
    n: int | None = None,
    pairs: int | None = None,
    effect: float | None = None,
    rivals: int | None = None,
    seed: int | None = None,
    loading: Loading = Loading(),
    out: Path = RUNS,
) -> None:
    """Plant units of which the truth is known, see which methods find them, and take them out again.

    Args:
        model: Directory, hub id or shipped organism.
        contrast: Where the stimuli come from: a name or a file. They are mixed and dealt to two sides at random.
        sites: Where to plant: "*.mlp_act", "8-15.z".
        answers: Two words; the metric is the logit of the first minus that of the second.
        d: Effect size of the units that respond (Cohen's d; 0.8).
        n: Stimuli on each side (100).
        pairs: Pairs of units in each of the four cells (4).
        effect: What a causal unit moves the metric by, in standard deviations of the metric (1).
        rivals: The model's own units that are ranked beside the planted ones (224).
        seed: Seed of everything random.
        out: Folder of runs.
    """
    fields = given(contrast=contrast, sites=sites, answers=answers, d=d, n=n, pairs=pairs, effect=effect, rivals=rivals)
    study = study_of({"kind": "selftest", **fields, **given(seed=seed)})
    lm = loaded(model, loading)
    seconds = study.forecast(lm)
    terminal.err.print(f"about {max(1, seconds):.0f} s" if seconds < 120 else f"about {seconds / 60:.0f} minutes")
    executed(study, lm, out, f"broca localize {model} --contrast belief")


@app.command
def run(
    spec: Path,
    *,
    model: str | None = None,
    loading: Loading = Loading(),
    working: Working = Working(),
    out: Path = RUNS,
) -> None:
    """Run a study from its spec.toml: a finished run's own, or one that you wrote.

    Args:
        spec: The file, or the directory of a run.
        model: Run it on this model instead of the one that it names.
        out: Folder of runs.
    """
    from broca.runs import read_spec

    document = read_spec(spec / "spec.toml" if spec.is_dir() else spec)
    named = document["model"]
    name = model or named.get("name")
    if not name:
        raise RunError(f"{spec} names no model. Give one: broca run {spec} --model MODEL.")
    study = study_of(document["study"])
    if model is None:
        kept = given(revision=loading.revision or named.get("revision"))
        if loading.dtype == "auto":
            kept |= given(dtype=named.get("dtype"))
        loading = replace(loading, **kept)
    if loading.dtype == "auto":
        loading = replace(loading, dtype=getattr(study, "dtype", None) or "auto")
    engine = engine_of(working)
    executed(study, loaded(name, loading), out, engine=engine)


@app.command
def report(run: Path, *, interactive: bool = False) -> None:
    """Write the report of a finished run: one HTML file that opens offline.

    Args:
        run: Directory of the run.
        interactive: Embed the interactive charts too (about a megabyte).
    """
    from broca.reports.build import report as build

    terminal.following({"report": str(build(run, interactive=interactive))}, f"broca run {run}")


@app.command
def plan(
    *,
    loss: float = 0.1,
    gained: float = 0.02,
    abilities: int = 1,
    d: float = 0.5,
    units: int = 1,
    cluster: float = 1,
    rho: float = 0.0,
    power: float = 0.8,
    alpha: float = 0.05,
) -> None:
    """Say how many items, stimuli and random lesions are needed to find a given effect.

    Args:
        loss: Accuracy that the lesion is to cost, as a share (0.1 is ten points).
        gained: Share of items that turn right by chance under a lesion.
        abilities: Abilities that share the level (Bonferroni).
        d: Difference between the sides of the contrast, in standard deviations.
        units: Units that share the level (Bonferroni).
        cluster: Items, or stimuli, of one template.
        rho: Correlation among those of one template.
        power: Probability of finding the effect.
        alpha: Level of each test, two-sided.
    """
    from math import ceil

    from broca.stats.power import mcnemar_needed, welch_needed

    shared = {"power": power, "alpha": alpha, "m": cluster, "rho": rho}
    items = mcnemar_needed(loss + gained, gained, tests=abilities, **shared)
    stimuli = welch_needed(d, tests=units, **shared)
    draws = ceil(1 / alpha - 1e-9) - 1
    terminal.facts(
        [
            ("items of each ability", f"{items:,} to find a loss of {100 * loss:g} points (exact McNemar test)"),
            ("stimuli on each side", f"{stimuli:,} to find d = {d:g} in a given one of {units:,} units (Welch's t)"),
            ("random lesions", f"{draws:,} at least, for p = {alpha:g}; 200 for a steady band"),
            ("untrained twins", f"{draws:,} at least, for p = {alpha:g}"),
        ]
    )
    terminal.following({}, f"broca lesion MODEL --n-items {items} --draws {max(200, draws)} --twins {max(20, draws)}")


@app.command
def runs(folder: Path = RUNS) -> None:
    """List the runs in a folder.

    Args:
        folder: Folder of runs.
    """
    from broca.runs import list_runs

    found = list_runs(folder)
    terminal.frame(found.select("name", "status", "model", "contrast", "verdict", "created", "seconds"))
    finished = found.filter(found["status"] == "finished")
    terminal.following({}, *([f"broca report {finished['path'][-1]}"] if len(finished) else ["broca demo"]))


def main() -> None:
    """Run the command line; every known failure is one clear message and exit code 1, or 2 for a mistake in usage."""
    try:
        app(sys.argv[1:], exit_on_error=False)
    except CycloptsError:
        sys.exit(2)
    except BrocaError as error:
        terminal.err.print(f"[bold red]{type(error).__name__}[/]: ", end="")
        terminal.err.print(str(error), markup=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        terminal.err.print("\nStopped. What is done is kept: the same command goes on from here.")
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)
