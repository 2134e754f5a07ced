"""The command that reads reasoning trees from attention, and its options."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cyclopts import Parameter

from broca.cli.commands import Setting, values
from broca.cli.execute import executed, options_for, study_of
from broca.cli.options import RUNS, Loading, Options, Working, given
from broca.page.shell import command

if TYPE_CHECKING:
    from broca.runs import Run


@Parameter(name="*")
@dataclass(frozen=True)
class Probing:
    """What is read from attention, and against what."""

    n: int | None = None
    """Trees to probe at most."""
    pooling: Literal["heads", "gpt2-paper", "llama-code", "llama-paper"] | None = None
    """How attention becomes features."""
    estimator: Literal["knn", "logistic", "centroid"] | None = None
    """What reads the features."""
    distance: Literal["l1", "l2"] | None = None
    """Of neighbours and centroids; needs --estimator knn or centroid."""
    layers: Literal["all", "nested"] | None = None
    """All layers, or those that each fold chooses on the rows that train."""
    twins: int | None = None
    """Random initialisations of the same architecture (5)."""
    permutations: int | None = None
    """Shuffles of the labels within each text (200)."""
    maps: bool | None = None
    """Score each layer and each head by itself."""
    prune: bool | None = None
    """Take heads away in several orders."""
    edges: bool | None = None
    """Hide a useful, or a matched useless, statement from the question."""
    corruptions: list[Literal["negate-useful", "negate-useless", "shuffle", "insert"]] | None = None
    """Corrupt the trees, and see whether those that are read well stay right."""
    draws: int | None = None
    """Lesion the heads that the probe points to, beside so many random ones: the causal rung."""
    percent: float | None = None
    """Share of the heads that the probe points to (10)."""
    others: list[str] | None = None
    """Other abilities, which a specific lesion of these heads leaves alone; needs --draws."""
    n_items: int | None = None
    """Trees set aside for lesions; needs --draws, --prune or --edges."""
    published: bool | None = None
    """Score as the published code does too: its prompts, labels, features and folds, quirks included."""
    chat: Literal["auto", "never", "always"] | None = None
    """Whether the model's chat template is used."""
    examples: int | None = None
    """Trees to draw in the report."""
    seed: int | None = None
    """Seed of folds, shuffles, twins, bootstrap and draws."""

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the study."""
        own = asdict(self)
        classifier = given(kind=own.pop("estimator"), distance=own.pop("distance"))
        own |= {"pruning": {} if own.pop("prune") else None, "classifier": classifier or None}
        return given(**own)


def probe(
    model: str,
    *,
    task: str = "kth",
    options: Options = None,
    probing: Probing = Probing(),
    loading: Loading = Loading(),
    working: Working = Working(),
    out: Path = RUNS,
) -> None:
    """Read reasoning trees from attention: S_P1 (which statements are useful) and S_P2 (in which step).

    Args:
        model: Directory, hub id or shipped organism.
        task: kth, rules, proofwriter, arc or entailment (with --options.path FILE), or a file of trees.
        out: Folder of runs.
    """
    from broca.stimuli.trees import option_types

    own = options_for(options, option_types(task))
    study = study_of({"kind": "probe", "task": task, "options": own, **probing.fields})
    setting = Setting(model, loading, working, out)
    asked = {"task": task, "options": options, **values(probing), **setting.kept()}

    def then(_: Run) -> list[str]:
        if study.pruning and study.edges and study.draws:
            return []
        return [command("probe", model, options=asked | {"prune": True, "edges": True, "draws": study.draws or 200})]

    executed(study, setting, then)
