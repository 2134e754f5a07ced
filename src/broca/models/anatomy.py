"""Reading a decoder: where its blocks are, and which modules write to the residual stream.

Nothing here knows an architecture by name. Parts are found by role, then *proved*: on a probe input every block must
satisfy ``resid_post - resid_pre = scale * (attn_out + mlp_out)``. A wiring that fails its proof is refused at load,
instead of silently lesioning the wrong tensor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import product
from typing import Any, Literal

import torch
from torch import Tensor, nn

from broca.errors import AnatomyError, ModelError, SiteUnavailable
from broca.sites import KINDS, Kind, Site

_ATTENTION = ("self_attn", "attn", "self_attention", "attention", "linear_attn", "mixer")
_MLP = ("mlp", "feed_forward", "block_sparse_moe", "ffn", "fc2")
_ATTENTION_WRITE = ("o_proj", "out_proj", "c_proj", "dense", "attention.out_proj", "wo", "proj")
_MLP_WRITE = ("down_proj", "c_proj", "fc_out", "dense_4h_to_h", "fc2", "w2")

_TOLERANCE = {torch.float64: 1e-4, torch.float32: 1e-3, torch.bfloat16: 5e-2, torch.float16: 2e-2}
"""Largest relative error of the residual identity, by dtype: about ten rounding steps of a block's sum."""


@dataclass(frozen=True, slots=True)
class Tap:
    """Which side of which module carries a site's tensor."""

    module: str
    side: Literal["input", "output"]


@dataclass(frozen=True, slots=True)
class Block:
    """One layer's wiring: module paths relative to the block; None where the layer has no such single tensor."""

    attn_out: str | None
    mlp_out: str | None
    z: str | None
    mlp_act: str | None
    scale: float = 1.0
    error: float = float("nan")
    """Relative error of the residual identity on the probe input."""
    widths: Mapping[str, int] | None = None
    """Units at `z` and `mlp_act`."""


@dataclass(frozen=True, slots=True)
class Anatomy:
    """A decoder's wiring, in names shared by every architecture."""

    path: str
    """Module path of the list of blocks."""
    blocks: tuple[Block, ...]
    n_heads: int
    n_kv_heads: int
    d_model: int

    @property
    def n_layers(self) -> int:
        return len(self.blocks)

    @property
    def error(self) -> float:
        """The worst relative error of the residual identity over the blocks."""
        return max(block.error for block in self.blocks)

    def tap(self, site: Site) -> Tap:
        """The module and side that carry `site`.

        Raises:
            SiteUnavailable: if this model has no single tensor there.
        """
        if not 0 <= site.layer < self.n_layers:
            raise SiteUnavailable(f"{site}: this model has layers 0 to {self.n_layers - 1}.")
        path = f"{self.path}.{site.layer}"
        if site.kind == "resid_pre":
            return Tap(path, "input")
        if site.kind == "resid_post":
            return Tap(path, "output")
        part = None if site.kind == "pattern" else getattr(self.blocks[site.layer], site.kind)
        if part is None:
            here = ", ".join(kind for kind in KINDS if self.has(Site(site.layer, kind)))
            raise SiteUnavailable(
                f"{site}: layer {site.layer} of this model has no single tensor at {site.kind!r}. It has {here}."
            )
        return Tap(f"{path}.{part}", "output" if site.kind.endswith("_out") else "input")

    def has(self, site: Site) -> bool:
        """Whether `site` can be read and edited."""
        if not 0 <= site.layer < self.n_layers or site.kind == "pattern":
            return False
        return site.kind in ("resid_pre", "resid_post") or getattr(self.blocks[site.layer], site.kind) is not None

    def width(self, site: Site) -> int:
        """How many units `site` has."""
        self.tap(site)
        widths = self.blocks[site.layer].widths or {}
        return widths.get(site.kind, self.d_model)

    def sites(self, kind: Kind) -> tuple[Site, ...]:
        """Every site of `kind` that this model has.

        Raises:
            SiteUnavailable: if no layer has one.
        """
        found = tuple(site for site in (Site(layer, kind) for layer in range(self.n_layers)) if self.has(site))
        if not found:
            self.tap(Site(0, kind))
        return found

    def head_width(self, site: Site) -> int:
        """Units of one head at a `z` site.

        Raises:
            SiteUnavailable: if the site is not `z`, or its width is no multiple of the number of heads.
        """
        width = self.width(site)
        if site.kind != "z" or not self.n_heads or width % self.n_heads:
            raise SiteUnavailable(f"{site}: {width} units are not {self.n_heads} heads. Heads are slices of 'z' sites.")
        return width // self.n_heads


def tensor_of(value: Any) -> Tensor:
    """The hidden state in a module's input or output, which may be a tuple that starts with it."""
    return value if isinstance(value, Tensor) else value[0]


def with_tensor(value: Any, tensor: Tensor) -> Any:
    """`value` with its hidden state replaced."""
    return tensor if isinstance(value, Tensor) else (tensor, *value[1:])


def dissect(model: nn.Module, parts: Mapping[str, str | None] | None = None, path: str | None = None) -> Anatomy:
    """Find a decoder's parts and prove the finding on a probe input.

    Args:
        model: a transformers causal language model.
        parts: for an architecture that is not found by itself: module paths relative to the block for `attn_out`,
            `mlp_out`, `z` and `mlp_act`. They are proved like found ones.
        path: module path of the list of blocks, where it is not the largest one.

    Raises:
        AnatomyError: if no list of blocks is found, the residual identity does not hold, or `parts` name what is not
            there.
    """
    config: Any = model.config.get_text_config(decoder=True)  # type: ignore[operator,union-attr]
    stack_path = path or _stack(model, config.num_hidden_layers)
    stack = dict(model.named_modules()).get(stack_path)
    if not isinstance(stack, nn.ModuleList):
        raise AnatomyError(f"{stack_path!r} is no list of blocks of {type(model).__name__}. Give a ModuleList's path.")
    for block in stack:
        _spelt(block, parts or {})
    seen = _probe(model, stack)
    for layer, record in enumerate(seen):
        if not torch.isfinite(record["post"]).all():
            raise ModelError(
                f"{type(model).__name__} gives NaN or infinite activations after layer {layer}, on a plain input. Its weights "
                "are damaged, or overflow in this dtype: load it in float32 or bfloat16, or get it again."
            )
    heads = getattr(config, "num_attention_heads", None) or 0
    return Anatomy(
        path=stack_path,
        blocks=tuple(_wire(block, record, parts) for block, record in zip(stack.children(), seen, strict=True)),
        n_heads=heads,
        n_kv_heads=getattr(config, "num_key_value_heads", None)
        or (1 if getattr(config, "multi_query", False) else heads),
        d_model=config.hidden_size,
    )


def _spelt(block: nn.Module, parts: Mapping[str, str | None]) -> None:
    """Refuse hand-given parts that would be overlooked in silence."""
    kinds = ("attn_out", "mlp_out", "z", "mlp_act")
    modules = [name for name, _ in block.named_modules() if name]
    for given, name, known in (*((k, k, kinds) for k in parts), *((k, n, modules) for k, n in parts.items() if n)):
        if name not in known:
            near = get_close_matches(name, known, n=2) or known[:4]
            raise AnatomyError(
                f"{type(block).__name__}: {name!r}, given for {given}, is not one of its parts. Near: {', '.join(near)}."
            )


def _stack(model: nn.Module, n_layers: int) -> str:
    """The path of the largest module list with one entry per layer, inside the decoder where the model names one."""
    stacks = {n: m for n, m in model.named_modules() if isinstance(m, nn.ModuleList) and len(m) == n_layers}
    if not stacks:
        raise AnatomyError(
            f"{type(model).__name__} has no list of {n_layers} blocks. Name it: LM.wrap(model, tokenizer, "
            "anatomy=broca.models.anatomy.dissect(model, path='...'))."
        )
    return max(stacks, key=lambda name: sum(p.numel() for p in stacks[name].parameters()))


def _wire(block: nn.Module, seen: Mapping[str, Tensor], given: Mapping[str, str | None] | None) -> Block:
    """The block's writers to the residual stream: the pair, or the one module, that adds up best."""
    modules = dict(block.named_modules())
    attn, mlp = _first(modules, _ATTENTION), _first(modules, _MLP)
    z = _first(modules, (f"{attn}.{name}" for name in _ATTENTION_WRITE)) if attn else None
    act = mlp if mlp == "fc2" else _first(modules, (f"{mlp}.{name}" for name in _MLP_WRITE)) if mlp else None
    norms = [name for name, _ in block.named_children() if "norm" in name]
    if given is not None:
        z, act = given.get("z"), given.get("mlp_act")
        pairs = [(given.get("attn_out"), given.get("mlp_out"))]
    else:
        pairs = [
            *product(
                *([n for n in (part, *norms, inner) if n in seen] or [None] for part, inner in ((attn, z), (mlp, act)))
            )
        ]
    proofs = [(*_identity(seen, a, m), a, m) for a, m in pairs if a != m]
    error, scale, attn_out, mlp_out = min(proofs, key=lambda proof: proof[0], default=(float("inf"), 1.0, None, None))
    if not error < _TOLERANCE.get(block_dtype(block), 1e-3):
        tried = ", ".join(name for name in seen if not {".", " "} & set(name) and name not in ("pre", "post"))
        raise AnatomyError(
            f"In {type(block).__name__}, no pair among {tried} adds up to what the block writes to the residual stream "
            f"(best relative error {error:.1e}). Describe it by hand: broca.models.anatomy.dissect(model, parts="
            "{'attn_out': ..., 'mlp_out': ..., 'z': ..., 'mlp_act': ...})."
        )
    # Some blocks (OPT, Llama 4) flatten (batch, token, unit) before the MLP: no tensor there has a batch to edit.
    flat = mlp_out is not None and seen[mlp_out].ndim != seen["post"].ndim
    act = None if flat else act
    widths = {
        kind: seen[f"into {name}"].shape[-1] for kind, name in (("z", z), ("mlp_act", act)) if f"into {name}" in seen
    }
    return Block(
        attn_out=attn_out,
        mlp_out=None if flat else mlp_out,
        z=z if "z" in widths else None,
        mlp_act=act if "mlp_act" in widths else None,
        scale=scale,
        error=error,
        widths=widths,
    )


def _identity(seen: Mapping[str, Tensor], attn_out: str | None, mlp_out: str | None) -> tuple[float, float]:
    """Relative error and scale of ``post - pre = scale * (attn_out + mlp_out)``; infinite where shapes forbid it."""
    written = seen["post"] - seen["pre"]
    tensors = [seen[name] for name in (attn_out, mlp_out) if name and name in seen]
    if not tensors or any(t.numel() != written.numel() for t in tensors):
        return float("inf"), 1.0
    total = torch.stack([t.reshape(written.shape) for t in tensors]).sum(0)
    size = float(total.square().sum())
    if size == 0 or float(written.norm()) == 0:
        return float("inf"), 1.0
    scale = float((written * total).sum()) / size
    return float((written - scale * total).norm() / written.norm()), scale


def block_dtype(block: nn.Module) -> torch.dtype:
    """The floating dtype that a block computes in."""
    return next((p.dtype for p in block.parameters() if p.is_floating_point()), torch.float32)


def _first(modules: Mapping[str, nn.Module], names: Iterable[str]) -> str | None:
    return next((name for name in names if name in modules), None)


@torch.no_grad()
def _probe(model: nn.Module, blocks: nn.Module) -> list[dict[str, Tensor]]:
    """For every block: what went in ("pre"), came out ("post"), each module's output, and its input ("into NAME")."""
    seen: list[dict[str, Tensor]] = [{} for _ in blocks.children()]
    handles = []

    def watch(name: str, module: nn.Module, record: dict[str, Tensor]) -> None:
        def after(_m: nn.Module, args: Any, output: Any) -> None:
            if isinstance(out := output[0] if isinstance(output, tuple) and output else output, Tensor):
                record[name or "post"] = out.detach().double()
            if name and args and isinstance(args[0], Tensor):
                record[f"into {name}"] = args[0].detach()

        handles.append(module.register_forward_hook(after))

    for block, record in zip(blocks.children(), seen, strict=True):

        def before(_m: nn.Module, args: Any, kwargs: Any, record: dict[str, Tensor] = record) -> None:
            record["pre"] = (args[0] if args else kwargs["hidden_states"]).detach().double()

        handles.append(block.register_forward_pre_hook(before, with_kwargs=True))
        for name, module in block.named_modules():
            watch(name, module, record)
    try:
        device = next(model.parameters()).device
        model(input_ids=torch.arange(3, 9, device=device)[None], use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return seen
