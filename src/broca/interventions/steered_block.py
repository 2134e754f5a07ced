"""Steering built into a model, for programs that take a transformers model and know nothing of interventions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from broca.errors import InterventionError
from broca.interventions.steer import Steer
from broca.models.lm import LM
from broca.models.wiring.hidden_state import tensor_of, with_tensor


class SteeredBlock(nn.Module):
    """A block whose output is steered, at every token that it is shown. What is asked of the block it asks of the one inside."""

    def __init__(self, block: nn.Module, steer: Steer, layer: int) -> None:
        """Wrap a block.

        Args:
            block: of a model.
            steer: with a vector at the block's output.
            layer: of the block.

        Raises:
            InterventionError: if it steers some tokens only, which a module cannot tell.
        """
        super().__init__()
        if steer.positions != "all" or steer.where != "own":
            raise InterventionError(
                f"A module cannot tell tokens apart: positions = {steer.positions!r}, where = {steer.where!r}. Use lm.under, or 'all' and 'own'."
            )
        self.block = block
        self._change = steer.change(next(site for site in steer.direction.sites if site.layer == layer))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output = self.block(*args, **kwargs)
        return with_tensor(output, self._change(tensor_of(output)))

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:  # models ask their blocks for more than to be called: attention_type, say
            return getattr(super().__getattr__("block"), name)


@contextmanager
def steered_model(lm: LM, steer: Steer) -> Iterator[nn.Module]:
    """Run the body with steering built into ``lm.model``: yields it, for a program that calls it by itself.

    Raises:
        InterventionError: if it steers some tokens only, or elsewhere than at outputs of blocks.
        SelectionError: if the direction is of another model.
    """
    own = steer.for_model(lm)
    if odd := [str(site) for site in own.direction.sites if site.kind != "resid_post"]:
        raise InterventionError(
            f"{', '.join(odd)}: a block is wrapped for its output alone. Give vectors at LAYER.resid_post."
        )
    blocks = lm.model.get_submodule(lm.anatomy.path)
    kept = {site.layer: blocks[site.layer] for site in own.direction.sites}
    try:
        for layer, block in kept.items():
            blocks[layer] = SteeredBlock(block, own, layer)
        yield lm.model
    finally:
        for layer, block in kept.items():
            blocks[layer] = block
