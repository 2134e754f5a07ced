"""The options of a command that runs a study, made from the fields of its spec."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from broca.cli.options import CALLED, SHOTS, SYSTEM, THINKING, Loading, Working
from broca.cli.selections import FORMS
from broca.instruments import INSTRUMENTS
from broca.page.shell import flag
from broca.specs.command import Command, Form, as_is
from broca.units import UnitMask

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_OURS = {
    "kind",
    "model",
    "loading",
    "features",
    "working",
    "out",
    "verbose",
    "dry_run",
    "budget",
    "budget_tokens",
    "budget_from",
    *(each.name for group in (Loading, Working) for each in fields(group)),
}
"""Options of every command: a field of one of these names is given in a spec file or in Python."""


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a command, and the field that it fills."""

    name: str
    path: tuple[str, ...]
    """The field, and the parts of it that lead to what is filled."""
    words: Any
    help: str
    value: Callable[[Any], Any] = as_is
    read: Literal["plain", "mask", "run", "beside"] = "plain"
    former: tuple[str, ...] = ()
    """What it was called in the version before."""


def options_of(declared: Command) -> Iterator[Option]:
    """The options of a command, in the order of the fields; those of what the chat template is told behind that of the template."""
    for each in _fields(declared):
        yield each
        if each.name == "chat":
            yield Option("system", each.path, str, SYSTEM, read="beside")
            yield Option("thinking", each.path, bool, THINKING, read="beside")
        if each.name == "options":
            if declared.examples:
                yield Option("shots", each.path, int, SHOTS, read="beside")
            yield Option("columns", each.path, str, CALLED, read="beside")


def _fields(declared: Command) -> Iterator[Option]:
    spec = INSTRUMENTS[declared.kind]
    renamed: dict[str, str] = {path: option for option, path in declared.options.items()}
    for name, info in spec.model_fields.items():
        if part := declared.parts.get(name):
            inner = INSTRUMENTS[part.kind]
            for each in part.options:
                yield from _plain(each, (name, each), inner.model_fields[each], _former(inner, each))
            yield Option(name, (name,), Path, f"A finished run: {_help(info)}", read="run")
        elif _is_selection(info.annotation):
            yield Option(
                "from_", (name,), Path, f"{_help(info)} What a finished run of any instrument selected.", read="run"
            )
            for form, words in FORMS.items():
                yield Option(form, (name,), str, f"{_help(info)} {words}", read="mask")
        elif name not in _OURS:
            yield from _plain(renamed.get(name) or name, (name,), info, () if name in renamed else _former(spec, name))
        for option, path in declared.options.items():
            first, _, rest = path.partition(".")
            if first == name and rest:
                part = declared.parts.get(name)
                yield from _part(option, name, rest, INSTRUMENTS[part.kind] if part else info.annotation)


def _former(spec: Any, name: str) -> tuple[str, ...]:
    """The names that a field had before."""
    return tuple(old for old, new in spec.renamed.items() if new == name)


def _plain(name: str, path: tuple[str, ...], info: FieldInfo, former: tuple[str, ...] = ()) -> Iterator[Option]:
    form = next((each for each in info.metadata if isinstance(each, Form)), None)
    words = words_of(info.annotation) if form is None else form.words
    if words is not None:
        example = f", as in {flag(name)}.seed 1" if name.endswith("options") else ""
        by_name = f" By name: {flag(name)}.NAME VALUE{example}." if words == dict[str, str] else ""
        value = as_is if form is None else form.value
        yield Option(name, path, words, _help(info) + by_name, value, former=former)


def _part(option: str, name: str, rest: str, hint: Any) -> Iterator[Option]:
    """An option of a field of a part: of a spec, a model, or a dataclass."""
    from pydantic import TypeAdapter

    part = next(each for each in (hint, *get_args(hint)) if isinstance(each, type) and hasattr(each, "__annotations__"))
    if hasattr(part, "model_fields"):
        yield from _plain(option, (name, rest), part.model_fields[rest])
        return
    from typing import get_type_hints

    told = TypeAdapter(part).json_schema()["properties"][rest].get("description", "")
    yield Option(option, (name, rest), words_of(get_type_hints(part)[rest]), _sentence(told))


def _is_selection(hint: Any) -> bool:
    """Whether units, heads or weights are among what a type allows."""
    return hint is UnitMask or any(map(_is_selection, get_args(hint)))


def words_of(hint: Any) -> Any:
    """What is written on a command line for a field of a type; None where nothing can be."""
    origin, inner = get_origin(hint), get_args(hint)
    words: Any = None
    if hint in (bool, int, float, str, Path) or origin is Literal:
        words = hint
    elif origin is Annotated:
        words = words_of(inner[0])
    elif origin in (Union, UnionType):
        found = [each for each in map(words_of, inner) if each is not None]
        words = found[0] if len(found) == 1 else None
    elif origin is tuple:
        parts = [words_of(each) for each in inner if each is not Ellipsis]
        if None not in parts:
            words = list[parts[0]] if Ellipsis in inner else tuple[tuple(parts)]
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        words = dict[str, str]
    return words


def _help(info: FieldInfo) -> str:
    """A field's docstring, and its default where it is a plain value."""
    told, usual = _sentence(info.description or ""), info.get_default(call_default_factory=True)
    if isinstance(usual, tuple) and all(isinstance(each, int | float | str) for each in usual):
        usual = " ".join(map(str, usual))
    plain = isinstance(usual, int | float | str) and usual != "" and not isinstance(usual, bool)
    return f"{told} ({usual:g})" if isinstance(usual, float) else f"{told} ({usual})" if plain else told


def _sentence(text: str) -> str:
    return " ".join(text.replace("``", "").replace("`", "").split())
