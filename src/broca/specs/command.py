"""How an instrument is called on a command line: what its spec's fields and types cannot say by themselves. Nothing heavy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


def as_is(words: Any) -> Any:
    """What is written, as it stands."""
    return words


@dataclass(frozen=True, slots=True)
class Form:
    """How a field is written on a command line, where its type does not say it: part of the field's ``Annotated`` type."""

    words: Any
    """The type of what is written."""
    value: Callable[[Any], Any] = as_is
    """What the field becomes of it."""


@dataclass(frozen=True, slots=True)
class Part:
    """A field that is a spec itself, and what of it is an option here; its own option takes a finished run of such a spec."""

    kind: str
    """Of the spec that the options are of."""
    options: tuple[str, ...]
    """Its fields."""


@dataclass(frozen=True, slots=True)
class Extra:
    """An option that is no field: something is written beside the run."""

    name: str
    words: Any
    help: str
    check: str
    """``module:function`` of the study and the option's value: refuses what would come to nothing, before the work."""
    done: str
    """``module:function`` of the finished run and the value: does it, and says where, by name."""


@dataclass(frozen=True, slots=True)
class Command:
    """An instrument's command. Its options are the fields of its spec, whose docstrings are their help."""

    kind: str
    """The `kind` of its spec, and the name of its entry point."""
    name: str
    """What is typed."""
    help: str
    """One line."""
    spec: str
    """``module:class``."""
    question: str = ""
    """What its reports answer; without one they begin with its help."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Options called otherwise than their field, or of a field's part: ``{"percent": "select.percent"}``."""
    parts: Mapping[str, Part] = field(default_factory=dict)
    """Fields that are specs themselves, by name."""
    ranks: bool = False
    """Whether its spec is a `broca.evidence.selector.Selector`: its runs rank, and a causal test can take any share of that."""
    selection: str = "selected"
    """The field of its result that holds what it selected, units or weights: what ``broca lesion --from RUN`` lesions."""
    one_of: tuple[str, ...] = ()
    """Options of which one is given at most."""
    flags: Mapping[str, str] = field(default_factory=dict)
    """How messages call fields that no one option gives."""
    examples: bool = False
    """Whether what it shows can have examples before it: its spec has `options`, of benchmarks or contrasts that take `shots`."""
    works: bool = True
    """Whether the work can be shared out: options of engine and workers."""
    features: bool = False
    """Whether it takes dictionaries: it can look at features."""
    extras: tuple[Extra, ...] = ()
    inside: Mapping[str, str] = field(default_factory=dict)
    """Further commands below this one: ``{"capture": "module:function"}``."""


SHOWN = ("chat", "system", "thinking", "shots", "n_items")
"""Options of how stimuli are shown, and how many items: they mean the same in every command that has them."""


@dataclass(frozen=True, slots=True)
class Call:
    """One use of a command, as the study's own words about it see it."""

    setting: Any
    """The model's name as `model`, and `kept`: the options that the next command keeps."""
    given: Mapping[str, Any]
    """What was typed, by option."""
    runs: Mapping[str, Any] = field(default_factory=dict)
    """Finished runs that were named, by option."""
    run: Any = None
    """The run that came of it."""
    budget: str | None = None
    """How long it may take, or how much it may read, as it was typed."""

    @property
    def kept_options(self) -> dict[str, Any]:
        """The options that the next command keeps."""
        return self.setting.kept_options() | ({} if self.budget is None else {"budget": self.budget})

    @property
    def same(self) -> dict[str, Any]:
        """The options that make the next command one of the same study: how stimuli are shown, and what every command keeps."""
        return {name: self.given[name] for name in SHOWN if name in self.given} | self.kept_options
