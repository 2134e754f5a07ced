"""A finished run put into a dataset repository of the hub."""

from __future__ import annotations

import tempfile
from pathlib import Path

from broca.errors import RunError, SelectionError
from broca.models.access import access
from broca.runs.opening import open_run
from broca.runs.reading import LOG, MANIFEST, SPEC, Run
from broca.runs.sharing.address import Address
from broca.runs.sharing.card import card
from broca.runs.sharing.hub import hub_errors
from broca.runs.verify import verify
from broca.storage import inside, read
from broca.storage.secrets import hide_secrets

SELECTION, CARD, PAGE, WORKS = "selection.safetensors", "README.md", "report.html", "references.bib"


def push(path: str | Path, name: str, *, private: bool = True) -> str:
    """Put a run into the dataset repository `name`, made where there is none.

    What goes there is what the manifest lists, the manifest, the report, and a card; nothing else of the folder. Files are checked first.

    Args:
        path: of a finished run.
        name: ``user/name``.
        private: whether a repository that is made for it can be seen by its owner alone.

    Returns:
        The address of the repository.

    Raises:
        RunError: if the run is unfinished or damaged, the name is none, a secret of this process stands in a file, or the hub refuses.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    address, run = Address.parse(name), open_run(path)
    wrong = [text for found in verify(run.path) for text in found.wrong]
    if wrong:
        raise RunError(f"{run.path} is not shared, since it is not as it was written: {'; '.join(wrong)}")
    files = contents(run)
    for each, content in files.items():
        _refuse_secrets(each, content)
    files[CARD] = card(run, address.name, {each: len(content) for each, content in files.items()}).encode("utf-8")
    token = access().get("token")
    with hub_errors(address):
        api = HfApi(token=token)
        api.create_repo(address.name, repo_type="dataset", private=private, exist_ok=True)
        adds = [CommitOperationAdd(path_in_repo=each, path_or_fileobj=content) for each, content in files.items()]
        api.create_commit(
            address.name,
            adds,
            commit_message=f"{run.path.name}, a run of broca",
            repo_type="dataset",
            revision=address.revision,
        )
    return str(Address(address.name))


def contents(run: Run) -> dict[str, bytes]:
    """The files of a run that are shared, checked against the manifest; what was selected as a file of its own."""
    files = {name: run.file(name) for name in run.manifest["files"]}
    for name in (MANIFEST, LOG, PAGE, WORKS):
        if (run.path / name).is_file():
            files[name] = read(inside(run.path, name))
    try:
        with tempfile.TemporaryDirectory() as folder:
            files.setdefault(SELECTION, read(run.selection.save(Path(folder) / SELECTION)))
    except (RunError, SelectionError):
        # It selected nothing.
        pass
    assert SPEC in files
    return files


def _refuse_secrets(name: str, content: bytes) -> None:
    """Refuse a file in which a secret of this process stands.

    Raises:
        RunError: naming the file, and never the secret.
    """
    text = content.decode("utf-8", errors="replace")
    if hide_secrets(text) != text:
        raise RunError(
            f"{name} holds a key or token of this machine, and is not shared. Take it out, or unset the variable that holds it."
        )
