"""What the hub answers where something is wrong, as errors that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from broca.errors import RunError
from broca.runs.sharing.address import Address
from broca.storage.secrets import hide_secrets


@contextmanager
def hub_errors(address: Address) -> Iterator[None]:
    """Turn what huggingface_hub raises within into a RunError.

    Raises:
        RunError: saying what the hub said, without any secret.
    """
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HfHubHTTPError,
        LocalTokenNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except RevisionNotFoundError as error:
        raise RunError(
            f"{address} has no such revision. Leave out what is behind @, or give a branch, tag or commit."
        ) from error
    except EntryNotFoundError as error:
        raise RunError(
            f"{address} is no run: {_first_line(error)} A run has a manifest.json and a spec.toml."
        ) from error
    except RepositoryNotFoundError as error:
        raise RunError(
            f"There is no {address}, or it is private and you are not logged in (hf auth login, or HF_TOKEN)."
        ) from error
    except LocalTokenNotFoundError as error:
        raise RunError("The hub wants to know who you are. Log in with: hf auth login") from error
    except HfHubHTTPError as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        hint = " Log in with hf auth login, with a token that may write." if status in (401, 403) else ""
        raise RunError(f"The hub refused {address}: {_first_line(error)}{hint}") from error
    except OSError as error:
        raise RunError(f"The hub could not be reached for {address}: {_first_line(error)} Try again later.") from error


def _first_line(error: Exception) -> str:
    lines = [line for line in hide_secrets(str(error)).splitlines() if line.strip()]
    return f"{lines[0].strip().rstrip('.')}." if lines else f"{type(error).__name__}."
