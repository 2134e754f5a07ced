"""Blocks that hand on what they handed on before: a pass that begins at a later block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from broca.models.lm import LM
from broca.sites import Site


def first_block(site: Site) -> int:
    """The first block that must be computed for a change at a site."""
    return site.layer + 1 if site.kind == "resid_post" else site.layer


@contextmanager
def skip_blocks(lm: LM, outputs: Sequence[Callable[[], Any]]) -> Iterator[None]:
    """Run the body with the model's first blocks not computed: each returns what the function at its place gives."""
    blocks = list(lm.model.get_submodule(lm.anatomy.path).children())[: len(outputs)]
    before = [vars(block).get("forward") for block in blocks]

    def handing(output: Callable[[], Any]) -> Callable[..., Any]:
        return lambda *_args, **_kwargs: output()

    try:
        for block, output in zip(blocks, outputs, strict=True):
            block.forward = handing(output)
        yield
    finally:
        for block, forward in zip(blocks, before, strict=True):
            if forward is None:
                vars(block).pop("forward", None)
            else:
                block.forward = forward
