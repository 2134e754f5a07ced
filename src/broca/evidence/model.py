"""The model that a result is of, as a report says it."""

from __future__ import annotations

from typing import Any

from broca.models.lm import LM


def model_summary(lm: LM) -> dict[str, Any]:
    """What a report says about the model."""
    a = lm.anatomy
    return {
        "name": lm.name,
        "revision": lm.revision,
        "parameters": lm.n_parameters,
        "dtype": str(lm.dtype).removeprefix("torch."),
        "layers": a.n_layers,
        "heads": a.n_heads,
        "kv_heads": a.n_kv_heads,
        "d_model": a.d_model,
        "residual_error": a.error,
        "notes": list(lm.notes),
    }
