"""The page that a repository of a run begins with, made from the run: YAML for the hub, Markdown for people."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from broca import __version__
from broca.page.words import visible
from broca.runs.reading import Run

TAGS = ("broca", "interpretability")


def card(run: Run, name: str, files: Mapping[str, int]) -> str:
    """``README.md`` of the repository `name` that holds a run.

    Args:
        run: that is shared.
        name: ``user/name`` of the repository.
        files: bytes of each file, by name.
    """
    verdict = run.verdict or {}
    model = str(run.spec["model"].get("name") or run.manifest["model"].get("name") or "MODEL")
    rows = "".join(
        f"| {_text(rung.get('name'))} | {_text(rung.get('state'))} | {_text(rung.get('text'))} |\n"
        for rung in verdict.get("rungs", ())
        if isinstance(rung, Mapping)
    )
    ladder = f"\n| rung | state | why |\n|---|---|---|\n{rows}" if rows else ""
    listed = "".join(f"| `{_code(each)}` | {size:,} |\n" for each, size in sorted(files.items()))
    front = {
        "tags": [*TAGS, f"broca-{run.manifest['kind']}"],
        "viewer": False,
        "pretty_name": f"{run.manifest['kind']} of {visible(model)}",
    }
    yaml = "".join(f"{key}: {json.dumps(value)}\n" for key, value in front.items())
    return (
        f"---\n{yaml}---\n# {_text(run.manifest['kind'])} of {_text(model)}\n\n"
        f"{_text(run.result.get('claim') or 'A run of broca.')}\n\n**{_text(verdict.get('sentence') or 'It gives no verdict.')}**\n{ladder}\n"
        "## Use it\n\n"
        f"```console\npip install broca-interp\nbroca pull {name}                  # the run, checked against its checksums\n"
        f"broca run hf://{name}           # the same study again, on your machine\n```\n\n"
        "`tensors.safetensors` holds maps by `FIELD/LAYER.KIND`, and masks of units as 0 and 1; `selection.safetensors`, where there is one, what was "
        "selected: `broca lesion MODEL --units selection.safetensors`. `spec.toml` holds every choice.\n\n"
        f"## Files\n\n| file | bytes |\n|---|---|\n{listed}\n"
        f"Made by broca {_text(run.manifest.get('broca'))}, shared by {__version__}. Hash of the study, model and data: `{_code(run.manifest['hash'])}`.\n"
    )


def _text(value: object) -> str:
    """A text in a line of Markdown in which nothing acts."""
    said = " ".join(visible(str(value)).split())
    return re.sub(r"([\\`*_{}\[\]<>#|!~$])", r"\\\1", said)


def _code(value: object) -> str:
    return visible(str(value)).replace("`", "'").replace("|", "¦")
