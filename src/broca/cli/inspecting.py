"""The commands that look at a model: is it what it seems to be, and what would the methods find in it?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broca.cli import terminal
from broca.cli.execute import check_model, load_model
from broca.cli.options import Features, Loading
from broca.cli.setting import Setting
from broca.page.shell import command

if TYPE_CHECKING:
    pass


def inspect(model: str, *, features: Features = None, loading: Loading = Loading()) -> None:
    """Load a model, prove its wiring, print its anatomy, sites and memory, and check what builds on it (a few seconds).

    What a failed check narrows is said; a lesion that leaves a trace, or moves what comes before it, is an error.

    Args:
        model: Directory, GGUF file, hub id, shipped organism, or smollm2.
    """
    from broca.instruments.selftest.checkup import checkup
    from broca.models.load import footprint
    from broca.sites import KINDS, Kind, Site

    check_model(model, loading)
    with terminal.err.status(f"reading {model}"):
        size = footprint(
            model,
            revision=loading.revision,
            trust_remote_code=loading.trust_remote_code,
            gguf=loading.gguf,
        )
    memory = ", ".join(f"{name} {terminal.bytes_in_words(n)}" for name, n in size["bytes"].items())
    terminal.facts([("class", size["class"]), ("parameters", f"{size['parameters']:,}"), ("memory", memory)])
    lm = load_model(model, loading, features or ())
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
    kept = Setting(model, loading, features=tuple(features or ())).kept_options()
    terminal.following({}, command("localize", model, options={"contrast": "belief", **kept}))
