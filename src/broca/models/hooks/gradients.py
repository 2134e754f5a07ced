"""Hooks on gradients: of parameters, taken as soon as each is whole; and of a tensor in the graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial

from torch import Tensor, nn


@contextmanager
def take_gradients(model: nn.Module, parameters: Iterable[str], take: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Run the body with the gradient of each parameter given to `take` once it is whole, and none left behind.

    Args:
        model: the model.
        parameters: by their paths.
        take: given the path and the gradient.
    """

    def whole(path: str, parameter: Tensor) -> None:
        assert parameter.grad is not None
        take(path, parameter.grad)
        parameter.grad = None

    handles = []
    try:
        handles.extend(
            model.get_parameter(path).register_post_accumulate_grad_hook(partial(whole, path))
            for path in dict.fromkeys(parameters)
        )
        yield
    finally:
        for handle in handles:
            handle.remove()


def watch_gradient(tensor: Tensor, watch: Callable[[Tensor], None]) -> None:
    """Show the gradient of a tensor of the graph to `watch`, as often as one comes back; the hook goes with the graph."""
    tensor.register_hook(watch)
