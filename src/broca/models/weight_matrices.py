"""The weight matrices of a decoder's blocks, one name and one orientation for all architectures.

Linear layers, GPT-2's transposed Conv1D and the 3-D tensors of experts are all seen output by input, ``(row, column)``.
A fused projection (qkv, gate and up) is several matrices, each a set of rows; which rows are which is not looked up
but proved on the module: at a lone token only values matter, at the first of two tokens keys matter too; and what a gate
multiplies changes sign with the half that is not gated. What cannot be proved stays one matrix. Routers are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from broca.errors import SiteUnavailable
from broca.models.quantisation import packing_of
from broca.models.wiring.anatomy import Anatomy, Block
from broca.models.wiring.fusion import gate_rows, qkv_rows
from broca.units.weights import Address, Indices

_KINDS = {
    **dict.fromkeys(("q_proj",), "q"),
    **dict.fromkeys(("k_proj",), "k"),
    **dict.fromkeys(("v_proj",), "v"),
    **dict.fromkeys(("gate_proj", "w1"), "gate"),
    **dict.fromkeys(("up_proj", "w3", "c_fc", "fc_in", "fc1", "dense_h_to_4h"), "up"),
    **dict.fromkeys(("down_proj", "w2", "fc2", "fc_out", "dense_4h_to_h"), "down"),
}
_ROUTERS = ("router", "gate", "shared_expert_gate")
_FUSED = ("qkv", "query_key_value", "c_attn")


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """One matrix of a model: where its entries are in which parameter."""

    name: str
    """The parameter's path without ``.weight``, then ``[expert]`` and ``:part`` where there are several."""
    address: Address
    module: str
    parameter: str
    rows: Indices | None = None
    """Which outputs of the parameter are this matrix's rows; None: all."""
    expert: int | None = None
    transposed: bool = False
    """Whether the parameter is stored input by output."""

    @property
    def whole(self) -> bool:
        """Whether it is all of a 2-D parameter."""
        return self.rows is None and self.expert is None

    def of(self, tensor: Tensor) -> Tensor:
        """The matrix's part of a tensor shaped like its parameter, ``(row, column)``; a view where all rows are its own."""
        part = tensor if self.expert is None else tensor[self.expert]
        part = part.T if self.transposed else part
        return part if self.rows is None else part[torch.as_tensor(self.rows, device=part.device)]

    def places(self, index: Indices, shape: tuple[int, ...]) -> Indices:
        """Where entries of the matrix stand in the flattened parameter, whose shape is given."""
        row, column = np.divmod(index, self.address.columns)
        row = row if self.rows is None else self.rows[row]
        place = column * shape[-1] + row if self.transposed else row * shape[-1] + column
        return place if self.expert is None else place + self.expert * shape[-2] * shape[-1]


_found: WeakKeyDictionary[nn.Module, tuple[Matrix, ...]] = WeakKeyDictionary()


def matrices(model: Any, anatomy: Anatomy) -> tuple[Matrix, ...]:
    """Every attention and MLP matrix of the blocks, layer by layer.

    Raises:
        SiteUnavailable: if weights are quantised, not in memory, or shared between layers, or a block has none.
    """
    if model not in _found:
        _refuse_quantised(model)
        made = tuple(matrix for layer in range(anatomy.n_layers) for matrix in _of_block(model, anatomy, layer))
        _refuse_elsewhere(model, made)
        _found[model] = made
    return _found[model]


def _of_block(model: Any, anatomy: Anatomy, layer: int) -> Iterator[Matrix]:
    block, path = anatomy.blocks[layer], f"{anatomy.path}.{layer}"
    found = 0
    for name, module in model.get_submodule(path).named_modules():
        weight = getattr(module, "weight", None)
        last = name.rpartition(".")[2]
        if last in _ROUTERS:
            continue
        if isinstance(weight, nn.Parameter) and weight.ndim == 2 and _is_projection(module):
            transposed = not isinstance(module, nn.Linear)
            base = Matrix(
                f"{path}.{name}", _address(layer, weight, transposed), f"{path}.{name}", f"{path}.{name}.weight"
            )
            yield from _parts(model, anatomy, block, base, weight, name=name, transposed=transposed)
            found += 1
        for own, parameter in module.named_parameters(recurse=False):
            if parameter.ndim == 3 and "bias" not in own:
                yield from _experts(model, module, f"{path}.{name}", own, parameter, layer=layer)
                found += 1
    if not found:
        raise SiteUnavailable(
            f"Layer {layer} of {type(model).__name__} has no weight matrix that can be scored: its projections are neither "
            "Linear, nor Conv1D, nor stacked experts. Weights of quantised layers cannot be masked; load it unquantised."
        )


def _is_projection(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"


def _address(layer: int, weight: Tensor, transposed: bool) -> Address:  # noqa: FBT001
    rows, columns = weight.shape[::-1] if transposed else weight.shape
    return Address(layer, "", rows, columns)


def _parts(
    model: Any, anatomy: Anatomy, block: Block, base: Matrix, weight: Tensor, *, name: str, transposed: bool
) -> Iterator[Matrix]:
    """A projection, or the matrices that are fused in it."""
    a, last = base.address, name.rpartition(".")[2]
    rows: Mapping[str, Indices] = {}
    if block.z is not None and any(part in last.lower() for part in _FUSED):
        rows = _prove_rows(model, base, f"qkv {last} {tuple(weight.shape)}", f"{anatomy.path}.{a.layer}.{block.z}")
    elif block.mlp_act is not None and "gate_up" in last:
        rows = _prove_rows(
            model, base, f"gate {last} {tuple(weight.shape)}", f"{anatomy.path}.{a.layer}.{block.mlp_act}"
        )
    if not rows:
        kind = (
            "o"
            if name == block.z
            else "down"
            if name == block.mlp_act
            else _KINDS.get(last, last.removesuffix("_proj"))
        )
        yield Matrix(
            base.name, Address(a.layer, kind, a.rows, a.columns), base.module, base.parameter, transposed=transposed
        )
    for kind, own in rows.items():
        address = Address(a.layer, kind, own.size, a.columns)
        yield Matrix(f"{base.name}:{kind}", address, base.module, base.parameter, own, transposed=transposed)


_layouts: WeakKeyDictionary[nn.Module, dict[str, Mapping[str, Indices]]] = WeakKeyDictionary()


def _prove_rows(model: Any, base: Matrix, key: str, reads: str) -> Mapping[str, Indices]:
    """The rows of a fused projection: proved in one layer, the same in every layer of its kind."""
    known = _layouts.setdefault(model, {})
    if key not in known:
        prove = qkv_rows if key.startswith("qkv") else gate_rows
        known[key] = prove(model, base.module, reads)
    return known[key]


def _experts(model: Any, module: nn.Module, path: str, own: str, weight: Tensor, *, layer: int) -> Iterator[Matrix]:
    """The matrices in a tensor ``(expert, ., .)``, gate and up apart where they are fused."""
    d_model = model.config.get_text_config(decoder=True).hidden_size
    writes = own.startswith(("down", "w2"))
    # The side that is as wide as the residual stream is the input, but the output of what writes to it.
    side = 2 if weight.shape[1] == weight.shape[2] else int(np.argmax([n == d_model for n in weight.shape]))
    transposed = bool(getattr(module, "is_transposed", side == (2 if writes else 1)))
    n, columns, rows = (*weight.shape,) if transposed else (weight.shape[0], weight.shape[2], weight.shape[1])
    parts: dict[str, Indices | None] = {"down" if writes else _KINDS.get(own, own.removesuffix("_proj")): None}
    if "gate_up" in own:
        every = np.arange(rows)
        half = every < rows // 2 if getattr(module, "is_concatenated", True) else every % 2 == 0
        parts = {"gate": every[half], "up": every[~half]}
    name = f"{path}.{own}"
    for expert in range(n):
        for kind, own_rows in parts.items():
            address = Address(layer, kind, rows if own_rows is None else own_rows.size, columns)
            suffix = "" if own_rows is None else f":{kind}"
            yield Matrix(f"{name}[{expert}]{suffix}", address, path, name, own_rows, expert, transposed)


def _refuse_quantised(model: Any) -> None:
    if packing_of(model) is not None:
        raise SiteUnavailable(
            f"{type(model).__name__} is quantised ({packing_of(model)}): its stored numbers are codes, which have no gradient and cannot be set one "
            "by one. Load it unquantised, in bfloat16 or float32."
        )


def _refuse_elsewhere(model: Any, found: tuple[Matrix, ...]) -> None:
    """Weights that are codes, not here, or in two places at once."""
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    for path in dict.fromkeys(matrix.parameter for matrix in found):
        weight = model.get_parameter(path)
        if not weight.is_floating_point():
            raise SiteUnavailable(f"{path} is stored as {weight.dtype}: it is quantised. Load the model unquantised.")
        if weight.is_meta:
            raise SiteUnavailable(
                f"{path} is offloaded: it is not in memory between passes, so it cannot be edited in place. Load the model on "
                "devices that hold all of it, or in a smaller dtype."
            )
        if len(shared := names.get(id(weight), [])) > 1:
            raise SiteUnavailable(
                f"{path} is tied: the same weights are used as {', '.join(shared)}. A mask would edit all of them, and no "
                "gradient tells them apart. Untie them (clone the parameter) to mask one place."
            )
