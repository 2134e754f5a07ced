"""What is wrong with a value, in a sentence of ours: which field, what was given, what would be right.

Pydantic finds the fault; its own words never reach a person.
"""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import ValidationError

Path = tuple[int | str, ...]
"""Where a value stands: field, key or index, from the outside in."""

IDLE = "idle_fields"
"""The type of the error that `broca.specs.spec.Spec` raises for fields that would do nothing."""

_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "string": "a text",
    "none": "nothing",
    "path": "a path",
    "tuple": "a list",
    "list": "a list",
    "set": "a list",
    "iterable": "a list",
    "frozen": "a list",
    "dict": "a table of names and values",
    "mapping": "a table of names and values",
    "model": "a table of fields",
    "dataclass": "a table of fields",
}
"""What is right, by the first word of pydantic's type of error."""

_LIMITS = {
    "greater_than": ("gt", "more than {:g}"),
    "greater_than_equal": ("ge", "{:g} or more"),
    "less_than": ("lt", "less than {:g}"),
    "less_than_equal": ("le", "{:g} or less"),
}


def dotted_path(path: Path) -> str:
    """``localizer.select.percent``, ``fills[1]``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def sentences(error: ValidationError, model: type | None = None, name: Callable[[Path], str] = dotted_path) -> str:
    """Every fault that pydantic found, a sentence each.

    Args:
        error: what pydantic raised.
        model: the class that was to be made, whose fields would be right where a name is unknown.
        name: what the field at a path is called where it was given.
    """
    found: dict[tuple[Path, int], list[Any]] = {}
    for each in error.errors():
        found.setdefault((_bare(each["loc"]), id(each["input"])), []).append(each)
    paths = [path for path, _ in found]
    told = [
        _sentence(path, group, model, name)
        for (path, _), group in found.items()
        # What is wrong within a value says more than that the value is wrong.
        if not any(len(other) > len(path) and other[: len(path)] == path for other in paths if path)
    ]
    return " ".join(dict.fromkeys(told))


def _bare(path: Path) -> Path:
    """A path without the names of the members of unions, each of which has its own objection to the same value."""
    return (*path[:1], *(part for part in path[1:] if not _is_member(part)))


_MEMBERS = {
    "str",
    "int",
    "float",
    "bool",
    "none",
    "nullable",
    "constrained-str",
    "constrained-int",
    "constrained-float",
}


def _is_member(part: int | str) -> bool:
    """Whether a part of a path is the name of a member of a union: of a plain type, or of a class."""
    return isinstance(part, str) and (part in _MEMBERS or part[:1].isupper() or "[" in part)


def _sentence(path: Path, group: Sequence[Any], model: type | None, name: Callable[[Path], str]) -> str:
    first = group[0]
    kind, context = first["type"], first.get("ctx") or {}
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return _unknown(path, _fields_at(model, path[:-1]))
    if kind.startswith("missing"):
        return f"{name(path)} is missing. Give it."
    if kind in ("value_error", "assertion_error"):
        return f"{str(context.get('error') or f'{name(path)} does not fit').rstrip('.')}."
    if kind == IDLE:
        return idle_of(context, name)
    return f"{name(path) or 'The value'} is {short_repr(first['input'])}.{_right(group, kind, context)}"


def _right(group: Sequence[Any], kind: str, context: Mapping[str, Any]) -> str:
    """What would be right instead."""
    if kind in _LIMITS:
        limit, form = _LIMITS[kind]
        return f" Give {form.format(context[limit])}."
    if kind in ("literal_error", "enum", "union_tag_invalid"):
        words = _words(context)
        near = difflib.get_close_matches(str(group[0]["input"]), words, n=1, cutoff=0.5)
        guess = f" Did you mean {near[0]!r}?" if near else ""
        return f"{guess} Choose one of {', '.join(words)}."
    if kind == "union_tag_not_found":
        return f" It does not say of which kind it is: add {context.get('discriminator', 'kind')}."
    if kind in ("too_short", "too_long"):
        bound = context.get("min_length", context.get("max_length"))
        return f" Give {'at least' if kind == 'too_short' else 'at most'} {bound} value{'s' if bound != 1 else ''}."
    right = list(dict.fromkeys(_KINDS.get(each["type"].split("_")[0], "") for each in group))
    return f" Give {' or '.join(filter(None, right)) or 'a value of another kind'}."


def _words(context: Mapping[str, Any]) -> tuple[str, ...]:
    """The words that a literal allows: pydantic has them as ``'zero', 'mean' or 'noise'``."""
    told = str(context.get("expected") or context.get("expected_tags") or "")
    return tuple(part.strip().strip("'") for part in told.replace(" or ", ", ").split(",") if part.strip())


def _unknown(path: Path, fields: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(str(path[-1]), fields, n=1, cutoff=0.5)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    known = f" The fields are {', '.join(fields)}." if fields else " Correct it, or remove it."
    return f"There is no field {dotted_path(path)!r}.{guess}{known}"


def _fields_at(model: Any, path: Path) -> tuple[str, ...]:
    """The fields of the part of a model, or of a dataclass, at a path; none where the path leads elsewhere."""
    for part in path:
        hint = _hint(model, str(part)) if isinstance(model, type) else None
        parts = [get_args(each)[0] if get_origin(each) is Annotated else each for each in get_args(hint) or (hint,)]
        model = next((each for each in parts if is_dataclass(each) or hasattr(each, "model_fields")), None)
    if model is None:
        return ()
    known = getattr(model, "model_fields", None)
    return tuple(field.name for field in dataclass_fields(model)) if known is None else tuple(known)


def _hint(model: Any, field: str) -> Any:
    """The type of a field; what a model keeps to itself is none, and may be of a type that is not loaded."""
    known = getattr(model, "model_fields", None)
    if known is None:
        return get_type_hints(model).get(field)
    return known[field].annotation if field in known else None


def _need_in_words(need: str, name: Callable[[Path], str]) -> str:
    """``pool=mean`` as it would be given: ``--pool mean`` on the command line."""
    field, is_value, value = need.partition("=")
    called = name(tuple(field.split(".")))
    if not is_value:
        return called
    return f"{called} {value}" if called.startswith("--") else f"{called} = {value}"


def idle_of(context: Mapping[str, Any], name: Callable[[Path], str]) -> str:
    """`idle`, with fields called as they are where they were given."""

    def name_of(field: str) -> str:
        return name(tuple(field.split(".")))

    needs = [_need_in_words(need, name) for need in context["needs"]]
    beside = context["beside"] and name_of(context["beside"])
    return idle([name_of(field) for field in context["fields"]], needs, why=context["why"], beside=beside)


def idle(fields: Sequence[str], needs: Sequence[str], *, why: str = "", beside: str = "") -> str:
    """The sentence for options that would do nothing: what they need, or what they cannot stand beside."""
    fields = list(dict.fromkeys(fields))
    one, because = len(fields) == 1, f" ({why})" if why else ""
    if beside:
        return f"{join_names(fields)} {'does' if one else 'do'} nothing beside {beside}{because}. Leave out the one or the other."
    return (
        f"{join_names(fields)} {'does' if one else 'do'} nothing here{because}: {'it needs' if one else 'they need'} "
        f"{' or '.join(needs)}. Add that, or leave {join_names(fields)} out."
    )


def join_names(names: Sequence[str]) -> str:
    """``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def short_repr(value: Any, width: int = 80) -> str:
    """A value that was given, short: cut between words, and its length told where it is cut."""
    text = repr(value)
    if len(text) <= width:
        return text
    cut = textwrap.shorten(text, width, placeholder=" …").strip()
    size = f"{len(value):,} {'characters' if isinstance(value, str) else 'values'}" if isinstance(value, Sized) else ""
    return f"{cut} ({size})" if size else cut
