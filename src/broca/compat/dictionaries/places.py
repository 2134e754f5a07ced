"""Where other programs say that a dictionary is: hooks of TransformerLens, and modules of transformers."""

from __future__ import annotations

import re

from broca.errors import SelectionError
from broca.sites import Kind, Site

_HOOKS: dict[str, Kind] = {
    "hook_resid_pre": "resid_pre",
    "hook_resid_post": "resid_post",
    "hook_attn_out": "attn_out",
    "hook_mlp_out": "mlp_out",
    "attn.hook_z": "z",
    "mlp.hook_post": "mlp_act",
    "mlp.hook_in": "mlp_in",
    "hook_mlp_in_normed": "mlp_in",
}
_ELSEWHERE = {
    "ln2.hook_normalized": "what the norm before the MLP makes before its gain",
    "ln1.hook_normalized": "what the norm before attention makes before its gain",
    "hook_resid_mid": "the stream between attention and MLP",
    "hook_mlp_in": "the stream before the norm of the MLP",
    "hook_embed": "the embeddings",
}
_MODULES: dict[str, Kind] = {
    "": "resid_post",
    "mlp": "mlp_out",
    "self_attn": "attn_out",
    "attn": "attn_out",
    "attention": "attn_out",
}


def site_of_hook(name: str, path: str) -> Site:
    """The site of a hook of TransformerLens, such as ``blocks.3.hook_resid_post``.

    Raises:
        SelectionError: if it is of no site that is known here.
    """
    match = re.fullmatch(r"blocks\.(\d{1,6})\.(\S{1,60})", name)
    rest = match[2] if match else ""
    if match and rest in _HOOKS:
        return Site(int(match[1]), _HOOKS[rest])
    what = f", which is {_ELSEWHERE[rest]}, where no site is" if rest in _ELSEWHERE else ""
    raise SelectionError(f"{path} is of the hook {name[:60]!r}{what}. Dictionaries are read of {', '.join(_HOOKS)}.")


def transcoder_places(target: Site, path: str) -> tuple[Site, Site]:
    """Where a transcoder reads, and where it writes: the input and the output of an MLP.

    Raises:
        SelectionError: if it writes elsewhere.
    """
    if target.kind != "mlp_out":
        raise SelectionError(f"{path} is a transcoder of {target}. Read are those of an MLP: its input to its output.")
    return Site(target.layer, "mlp_in"), target


def site_of_module(name: str, path: str) -> Site:
    """The site of the output of a module, such as ``layers.3`` or ``h.3.mlp``.

    Raises:
        SelectionError: if it is of no site that is known here.
    """
    match = re.fullmatch(r"(?:layers|h|blocks)\.(\d{1,6})(?:\.(\w{1,40}))?", name)
    if match is None or (match[2] or "") not in _MODULES:
        raise SelectionError(
            f"{path} is of the module {name[:60]!r}, whose output is no site that is known here. Say which it is: site='12.mlp_out', or "
            f"--features 12.mlp_out={path}."
        )
    return Site(int(match[1]), _MODULES[match[2] or ""])
