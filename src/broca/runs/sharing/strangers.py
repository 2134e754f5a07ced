"""What a spec of somebody else's may not say: it is data, and asks nothing of this machine but the study itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from broca.errors import RunError
from broca.page.words import leaves
from broca.stimuli.options import looks_like_path
from broca.stimuli.tables import SUFFIXES

_MODEL = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?")
_ENDINGS = (*SUFFIXES, ".safetensors", ".gguf", ".toml", ".txt", ".pkl", ".pt", ".svec")


def refuse_reaching(document: Mapping[str, Any], whose: str, *, model: str | None = None) -> None:
    """Refuse a spec that names files, folders or servers, or a model by a path.

    Args:
        document: the spec, with its study and its model.
        whose: where it comes from, for the error.
        model: the model that was given in place of its own, which may be anything.

    Raises:
        RunError: naming the field and what to do.
    """
    for name, value in leaves(document["study"]):
        for text in _texts(value):
            if "://" in text:
                raise RunError(
                    f"{name} of {whose} is an address, {text[:80]!r}, and a spec of somebody else's reaches no server. {_YOURSELF}"
                )
            if (
                looks_like_path(text, suffixes=_ENDINGS)
                or text.startswith(("/", "\\"))
                or ".." in re.split(r"[/\\]", text)
            ):
                raise RunError(
                    f"{name} of {whose} names a file, {text[:80]!r}, which is not part of the run. {_YOURSELF}"
                )
    own = model or document["model"].get("name")
    if model is None and own and (not _MODEL.fullmatch(str(own)) or str(own).lower().endswith(_ENDINGS)):
        raise RunError(
            f"{whose} was made on the model {str(own)[:80]!r}, which is a place on a disk. Give yours with --model."
        )
    if model is None and document["model"].get("gguf"):
        raise RunError(
            f"{whose} takes the model from a file, {str(document['model']['gguf'])[:80]!r}. Give yours with --model."
        )


_YOURSELF = "Pull it (broca pull), put what you mean into its spec.toml, and run that."


def _texts(value: Any) -> list[str]:
    match value:
        case str():
            return [value]
        case list() | tuple():
            return [text for each in value for text in _texts(each)]
        case Mapping():
            return [text for key, each in value.items() for text in (str(key), *_texts(each))]
    return []
