"""The commands that look at a model: is it what it seems to be, and what would the methods find in it?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from broca.cli import terminal
from broca.cli.commands import Setting
from broca.cli.execute import check_model, executed, loaded, options_for, study_of
from broca.cli.options import RUNS, Chat, Loading, Options, given
from broca.page.shell import command

if TYPE_CHECKING:
    from broca.models.lm import LM


def inspect(model: str, *, loading: Loading = Loading()) -> None:
    """Load a model, prove its wiring, print its anatomy, sites and memory, and check what builds on it (a few seconds).

    What a failed check narrows is said; a lesion that leaves a trace, or moves what comes before it, is an error.

    Args:
        model: Directory, hub id or shipped organism.
    """
    from broca.instruments.selftest.checkup import checkup
    from broca.models.load import footprint
    from broca.sites import KINDS, Kind, Site

    check_model(model, loading)
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
    kept = Setting(model, loading).kept()
    terminal.following({}, command("localize", model, options={"contrast": "belief", **kept}))


def selftest(
    model: str,
    *,
    contrast: str = "language",
    options: Options = None,
    sites: str | None = None,
    answers: tuple[str, str] | None = None,
    d: float | None = None,
    n: int | None = None,
    pairs: int | None = None,
    effect: float | None = None,
    rivals: int | None = None,
    chat: Chat | None = None,
    seed: int | None = None,
    loading: Loading = Loading(),
    out: Path = RUNS,
) -> None:
    """Plant units of which the truth is known, see which methods find them, and take them out again.

    Args:
        model: Directory, hub id or shipped organism.
        contrast: Where the stimuli come from: a name or a file (language). They are mixed and dealt to two sides at random.
        sites: Where to plant: "*.mlp_act", "8-15.z".
        answers: Two words; the metric is the logit of the first minus that of the second.
        d: Effect size of the units that respond (Cohen's d; 0.8).
        n: Stimuli on each side (100).
        pairs: Pairs of units in each of the four cells (4).
        effect: What a causal unit moves the metric by, in standard deviations of the metric (1).
        rivals: The model's own units that are ranked beside the planted ones (224).
        chat: Whether the model's chat template is used: for chats only (auto), never, or always.
        seed: Seed of everything random.
        out: Folder of runs.
    """
    from broca.stimuli.contrasts import option_types

    fields = given(
        sites=sites, answers=answers, d=d, n=n, pairs=pairs, effect=effect, rivals=rivals, chat=chat, seed=seed
    )
    own = options_for(options, option_types(contrast))
    study = study_of({"kind": "selftest", "contrast": contrast, "options": own, **fields})
    setting = Setting(model, loading, out=out)

    def forecast(study: Any, lm: LM) -> Any:
        seconds = study.forecast(lm)
        terminal.err.print(f"about {max(1, seconds):.0f} s" if seconds < 120 else f"about {seconds / 60:.0f} minutes")
        return study

    again = {"contrast": contrast, "options": options, "chat": chat, **setting.kept()}
    executed(study, setting, lambda _: [command("localize", model, options=again)], forecast)
