"""Twins of a model that have learned nothing: the same config, with fresh weights, or with the model's own ones in disorder.

Whatever a twin shows comes from the architecture and the stimuli, not from training (Adebayo et al., 2018; Heap et al., 2025).
"""

from __future__ import annotations

import copy
import os

import torch

from broca.errors import ModelError
from broca.models.lm import LM
from broca.models.quantisation import packing_of

SPARE = 0.9
"""The part of the free memory that a twin may take."""


def untrained_twin(lm: LM, seed: int) -> LM:
    """The model with freshly drawn weights, on the same device in the same dtype.

    Args:
        lm: the model; left as it is.
        seed: of the initialisation; torch's global generator is left as it was.

    Raises:
        ModelError: if there is no memory for another copy.
    """
    _room(lm)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = type(lm.model)(copy.deepcopy(lm.model.config))
    return _wrap_twin(lm, model.to(lm.device, lm.dtype), f"untrained twin {seed}")


def shuffled_twin(lm: LM, seed: int) -> LM:
    """The model with the entries of each weight in random order: its distribution of weights without their places.

    Args:
        lm: the model; left as it is.
        seed: of the orders.

    Raises:
        ModelError: if there is no memory for another copy.
    """
    _room(lm)
    model = copy.deepcopy(lm.model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
            weight.copy_(weight.flatten()[order].view_as(weight))
    return _wrap_twin(lm, model, f"shuffled twin {seed}")


def _wrap_twin(lm: LM, model: torch.nn.Module, what: str) -> LM:
    twin = LM.wrap(model, lm.tokenizer, processor=lm.processor, anatomy=lm.anatomy, name=f"{lm.name} ({what})")
    twin.batch_size = lm.batch_size
    return twin


def _room(lm: LM) -> None:
    if (how := packing_of(lm.model)) is not None:
        raise ModelError(
            f"{lm.name} is quantised ({how}), and twins are made of plain weights. Load it unquantised, or ask for 0 twins."
        )
    if getattr(lm.model, "hf_device_map", None) is not None:
        raise ModelError(
            "Twins of a model that is spread over several devices are not made. Load it on one device, or ask for 0 twins."
        )
    need = sum(p.numel() * p.element_size() for p in lm.model.parameters())
    if lm.device.type == "cuda":
        free = torch.cuda.mem_get_info(lm.device)[0]
    else:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if need > SPARE * free:
        raise ModelError(
            f"A twin needs {need / 2**30:.1f} GiB beside the model, and {free / 2**30:.1f} GiB are free. Free some memory, load "
            "the model in a smaller dtype, or ask for 0 twins (the rung 'learned' is then not tested)."
        )
