"""What makes a run this run and no other: the study, the model and the data; and ``spec.toml``, which repeats it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ValidationError

from broca.cache.cache import Cache, Progress
from broca.errors import RunError
from broca.items import fingerprint
from broca.runs.toml import to_toml
from broca.storage import parse_toml

_FIRST = "# Repeat this run with: broca run spec.toml\n"
_LESIONED = "# Interventions were in force that this file does not hold: repeat it in Python, inside lm.under(...).\n"


class Study(Protocol):
    """A question with every choice it depends on: a frozen pydantic model.

    A study whose data can change under the same name (a file) also has ``data_fingerprints() -> Mapping[str, str]``,
    a content hash by name: it is part of the run's identity.
    """

    kind: str

    def model_dump(self, *, mode: str) -> dict[str, Any]: ...

    def run(self, lm: Any, *, cache: Cache, progress: Progress) -> Any:
        """Do it: pure, no files, every expensive step through `cache`; returns a frozen dataclass."""
        ...


@dataclass(frozen=True, slots=True)
class Identity:
    """What a run's hash is made of."""

    study: Mapping[str, Any]
    model: Mapping[str, Any]
    data: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, study: Study, lm: Any) -> Identity:
        """The identity of `study` on `lm` as it stands, with the interventions in force."""
        hashes = getattr(study, "data_fingerprints", dict)
        return cls(study=_dump(study), model=dict(lm.identity), data=dict(hashes()))

    @property
    def hash(self) -> str:
        """16 hex digits."""
        return fingerprint(asdict(self))

    def differences(self, other: Identity) -> list[str]:
        """What `other` has otherwise, as ``field: there -> here``."""
        here, there = dict(_leaves(asdict(self))), dict(_leaves(asdict(other)))
        names = [*there, *(name for name in here if name not in there)]
        return [
            f"{name.removeprefix('study.')}: {_short(there.get(name))} there, {_short(here.get(name))} here"
            for name in names
            if repr(here.get(name)) != repr(there.get(name))
        ]


def dtype_name(lm: Any) -> str:
    """``float32`` for ``torch.float32``."""
    return str(lm.dtype).removeprefix("torch.")


def spec_toml(study: Study, lm: Any) -> str:
    """The text of ``spec.toml``: [study] with every default written out, and the [model] it was run on.

    A None that the study would not take for granted cannot be left out: it is listed under ``none``, as JSON pointers.
    """
    dumped = _dump(study)
    document: dict[str, Any] = {}
    if pointers := list(_needed_nulls(study, dumped)):
        document["none"] = pointers
    document["study"] = _without_none(dumped)
    file = (getattr(lm, "loaded", None) or {}).get("gguf")
    model = {"name": lm.name or None, "revision": getattr(lm, "revision", None), "dtype": dtype_name(lm), "gguf": file}
    held = getattr(getattr(lm, "anatomy", None), "dictionaries", ())
    if held:
        model["features"] = [str(each.about.get("given") or each.name) for each in held]
    document["model"] = model
    return (_LESIONED if getattr(lm, "condition", ()) else _FIRST) + "\n" + to_toml(document)


def read_spec(path: str | Path) -> dict[str, Any]:
    """A spec file as ``{"study": {...}, "model": {...}}``; the study's fields are checked by the study itself.

    Raises:
        RunError: if the file is missing, is no TOML (with the line), or has no [study] with a kind.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise RunError(f"{path} does not exist. Give the path of a spec, such as runs/NAME/spec.toml.") from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path} could not be read: {error}. Give a text file in UTF-8.") from error
    return parse_spec(content, path)


def parse_spec(content: bytes, path: Path) -> dict[str, Any]:
    """As `read_spec`, from a file's content; `path` is for errors."""
    document = parse_toml(content, dict[str, Any], name=str(path), error=RunError, advice="Correct that line.")
    pointers = document.pop("none", [])
    document.setdefault("model", {})
    if extra := sorted(document.keys() - {"study", "model"}):
        raise RunError(f"{path} has {', '.join(extra)}; a spec has [study] and [model] alone. Remove or rename it.")
    for name in ("study", "model"):
        if not isinstance(document.get(name), dict):
            raise RunError(f"{path} has no table [{name}]. Write one: [study] holds kind and the study's fields.")
    if not isinstance(document["study"].get("kind"), str):
        raise RunError(f'{path}: [study] has no kind. Write which study it is, such as kind = "causal".')
    for pointer in pointers if isinstance(pointers, list) else [pointers]:
        _nullify(document["study"], pointer, path)
    return document


def _nullify(study: dict[str, Any], pointer: object, path: Path) -> None:
    *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in str(pointer).split("/")[1:]] or [""]
    try:
        place: Any = study
        for part in parents:
            place = place[int(part) if isinstance(place, list) else part]
        place[int(last) if isinstance(place, list) else last] = None
    except (LookupError, ValueError, TypeError) as error:
        raise RunError(f"{path}: none = [{pointer!r}] points at nothing in [study]. Remove it.") from error


def _nulls(value: object, pointer: str = "", *, listed: bool = False) -> Iterator[tuple[str, bool]]:
    """JSON pointers to every None, and whether it stands in a list."""
    match value:
        case None:
            yield pointer, listed
        case dict():
            for key, item in value.items():
                yield from _nulls(item, f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}")
        case list():
            for i, item in enumerate(value):
                yield from _nulls(item, f"{pointer}/{i}", listed=True)


def _dump(study: Study) -> dict[str, Any]:
    """The study in JSON's terms, but with infinity and NaN, which TOML can say: pydantic loses those in untyped fields."""
    return _with_infinities(study.model_dump(mode="json"), study.model_dump(mode="python"))


def _with_infinities(told: Any, meant: Any) -> Any:
    if told is None and isinstance(meant, float):
        return meant
    if isinstance(told, dict) and isinstance(meant, Mapping):
        return {key: _with_infinities(item, meant.get(key)) for key, item in told.items()}
    if isinstance(told, list) and isinstance(meant, list | tuple):
        return [_with_infinities(a, b) for a, b in zip(told, meant, strict=True)]
    return told


def _needed_nulls(study: Study, dumped: dict[str, Any]) -> Iterator[str]:
    """Pointers to the None that would not come back if it were left out."""
    nulls = list(_nulls(dumped))
    if not nulls:
        return
    kept: set[str] = set()
    if isinstance(study, BaseModel) and not any(listed for _, listed in nulls):
        # Where a field has no default, leaving its None out is not even valid: then every None is kept.
        with contextlib.suppress(ValidationError):
            again = _dump(type(study).model_validate(_without_none(dumped)))
            kept = {pointer for pointer, _ in _nulls(again)}
    yield from (pointer for pointer, _ in nulls if pointer not in kept)


def _without_none(value: Any) -> Any:
    """Without None: left out of mappings, an empty string in lists."""
    match value:
        case dict():
            return {key: _without_none(item) for key, item in value.items() if item is not None}
        case list():
            return ["" if item is None else _without_none(item) for item in value]
        case _:
            return value


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
