"""What the loaders of transformers and the hub raise, as one clear error."""

from __future__ import annotations

from typing import Any

from broca.errors import ModelError
from broca.models.hub import gate_notice
from broca.registry import ORGANISMS
from broca.storage.secrets import hide_secrets

_KNOWN_TROUBLE = {
    "gated repo": gate_notice,
    "ignore_mismatched_sizes": lambda name: (
        f"{name}: the weights in its files have other shapes than its config.json says. Get both again, from one place."
    ),
    "instantiate the backend tokenizer": lambda name: f"{name} has no files of a tokenizer that can be read.",
    "contains custom code": lambda name: (
        f"{name} comes with code of its own, which is not run unless you trust it: trust_remote_code=True, or --trust-remote-code."
    ),
}
"""What transformers says at length, by a word of it, and what to say instead."""


def run_loader(name: str, action: Any, what: str = "") -> Any:
    """Run a transformers loader of a model, or of `what` belongs to it; turn what it may raise into one clear error."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, StrictDataclassError
    from safetensors import SafetensorError

    try:
        return action()
    except SafetensorError as error:
        raise ModelError(f"{name}: a safetensors file is corrupt ({error}). Get it again.") from error
    except GatedRepoError as error:
        raise ModelError(gate_notice(name)) from error
    except HfHubHTTPError as error:
        raise ModelError(
            f"{name}: the hub refused ({hide_secrets(str(error)).splitlines()[0]}). Check the id, and HF_TOKEN for gated models."
        ) from error
    except ImportError as error:
        raise ModelError(f"{name}: {error}") from error
    except (OSError, ValueError, LookupError, RuntimeError, TypeError, AttributeError, StrictDataclassError) as error:
        text = hide_secrets(str(error))
        said = next((say for word, say in _KNOWN_TROUBLE.items() if word in text), None)
        if said is not None:
            raise ModelError(said(name)) from error
        first = next((line.strip().rstrip(".") for line in text.splitlines() if line.strip()), type(error).__name__)
        first = f"{type(error).__name__} {first}" if isinstance(error, KeyError) else first
        near = f" Shipped organisms: {', '.join(ORGANISMS)}." if "/" not in name else ""
        advice = "" if what else f" Give a directory with config.json and *.safetensors, or a hub id.{near}"
        raise ModelError(
            f"{f'The {what} of {name}' if what else name} could not be loaded: {first}.{advice}"
        ) from error
