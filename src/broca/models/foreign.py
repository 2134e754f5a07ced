"""Code of others on a model: their hooks, and forwards that they put in place of a class's own, told apart by content."""

from __future__ import annotations

import functools
import hashlib
import json
import types
import uuid
from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

_LIBRARIES = ("transformers", "accelerate", "torch", "peft", "broca", "bitsandbytes", "torchao")
"""Whose hooks are the machinery's own."""

_unreadable: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


def foreign_code(model: nn.Module) -> Iterator[str]:
    """Each hook and each forward of others on the modules of a model: where it is, what kind it is, a hash of its content.

    The content of a function is its code, its defaults and what it closes over. One that holds what cannot be read is like no other,
    not even like itself in another process.
    """
    for name, module in model.named_modules():
        for kind in ("_forward_pre_hooks", "_forward_hooks"):
            for hook in getattr(module, kind).values():
                if _package(hook) not in _LIBRARIES:
                    yield f"{name or '(model)'} {kind.strip('_')} {_content(hook)}"
        own = vars(module).get("forward")
        if own is not None and not hasattr(module, "_hf_hook"):  # accelerate's, which moves weights
            yield f"{name or '(model)'} forward {_content(own)}"


def _package(function: Any) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    module = getattr(function, "__module__", None) or type(function).__module__
    return str(module).partition(".")[0]


def _content(function: Any) -> str:
    try:
        return hashlib.sha256(json.dumps(_read(function)).encode()).hexdigest()[:16]
    except (TypeError, RecursionError):
        return _unreadable.setdefault(function, f"unreadable {uuid.uuid4().hex}")


def _read(value: Any) -> Any:
    """What a hook depends on, in JSON's terms.

    Raises:
        TypeError: if its content cannot be read.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return [_read(item) for item in value]
    if isinstance(value, dict):
        return [[str(key), _read(item)] for key, item in value.items()]
    if isinstance(value, np.ndarray | Tensor):
        return _numbers(value)
    if isinstance(value, nn.Module | type | types.ModuleType | types.BuiltinFunctionType):
        return getattr(value, "__qualname__", None) or type(value).__qualname__
    return _read_function(value)


def _read_function(value: Any) -> Any:
    if isinstance(value, functools.partial):
        return [_read(value.func), _read(value.args), _read(value.keywords)]
    if isinstance(value, types.MethodType):
        return [_read(value.__func__), _read(vars(value.__self__))]
    if isinstance(value, types.FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        return [value.__qualname__, _instructions(value.__code__), _read(value.__defaults__), _read(cells)]
    raise TypeError(type(value).__name__)


def _instructions(code: types.CodeType) -> list[Any]:
    inner = [_instructions(each) if isinstance(each, types.CodeType) else repr(each) for each in code.co_consts]
    return [code.co_code.hex(), list(code.co_names), inner]


def _numbers(value: np.ndarray | Tensor) -> list[Any]:
    if isinstance(value, Tensor):
        value = value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
    return [str(value.dtype), list(value.shape), hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()]
