"""Whether the hub has a model: asked once, before loaders would ask again and again."""

from __future__ import annotations

import difflib
from pathlib import Path

from broca.errors import ModelError, first_line
from broca.models.access import access
from broca.models.packages import PACKAGED
from broca.registry import ORGANISMS


def reach(name: str, revision: str | None, file: str = "config.json") -> None:
    """Ask the hub once for a model that is not in the cache: loaders would ask again and again before they gave up.

    Args:
        name: a hub id, or a path, for which there is nothing to ask.
        revision: branch, tag or commit.
        file: what tells that the model is in the cache.

    Raises:
        ModelError: if the hub cannot be reached, or has no such model.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.constants import HF_HUB_OFFLINE
    from huggingface_hub.errors import HFValidationError

    if Path(name).exists():
        return
    try:
        kept = try_to_load_from_cache(name, file, revision=revision, cache_dir=access().get("cache_dir"))
    except HFValidationError as error:
        raise ModelError(f"{name!r} is no directory here, and no id of the hub: {first_line(error)}") from error
    if isinstance(kept, str):
        return
    near = difflib.get_close_matches(name, [*ORGANISMS, *PACKAGED], n=1, cutoff=0.75)
    own = f" Shipped organisms: {', '.join(ORGANISMS)}." if "/" not in name else ""
    meant = f" Did you mean {near[0]!r}?{own}" if near else own
    if HF_HUB_OFFLINE:
        raise ModelError(f"{name} is not in the cache of the hub, and HF_HUB_OFFLINE says not to fetch it.{meant}")
    _ask(name, revision, meant)


def _ask(name: str, revision: str | None, meant: str) -> None:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        HfApi().model_info(name, revision=revision, timeout=20, token=access().get("token"))
    except GatedRepoError as error:
        raise ModelError(gate_notice(name)) from error
    except RevisionNotFoundError as error:
        raise ModelError(
            f"{name} has no revision {revision!r} on the hub. Give a branch, tag or commit that it has."
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelError(
            f"There is no {name!r} on the hub, or it is private and HF_TOKEN is not set to a token that may read it.{meant}"
        ) from error
    except HfHubHTTPError:
        return  # busy, or out of order: the loaders try again
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in _NETWORK and not isinstance(error, OSError):
            raise
        raise ModelError(
            f"{name} is no directory here, and the hub cannot be reached to ask for it ({first_line(error)}). Check the connection, or give the "
            f"directory of a model.{meant}"
        ) from error


_NETWORK = ("httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3")
"""Whose errors say that the network is down."""


def gate_notice(name: str) -> str:
    """What to say of a model whose makers want to be asked."""
    return f"{name} is gated: ask for access at https://huggingface.co/{name}, then log in (hf auth login), or set HF_TOKEN to a token that has it."
