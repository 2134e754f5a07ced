"""What every study is: a frozen value that says every choice it depends on, and one method."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from broca.errors import SpecError
from broca.specs.command import Call
from broca.specs.faults import IDLE, idle, sentences

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Need:
    """Fields that do something only where another field says so."""

    fields: tuple[str, ...]
    """Their names; those of a part with a dot before them (``classifier.k``)."""
    on: tuple[str, ...]
    """What they need, one of these: a field (``doses``), or a value of one (``pool=mean``)."""
    met: Callable[[Any], object]
    """Whether a study has it."""
    why: str = ""
    """What a reader may not know."""
    beside: str = ""
    """The field that leaves nothing for them to do, where what they need is its absence."""
    strict: bool = False
    """Whether a spec that has them in vain is refused, since it would mislead; a command always is."""


class Spec(BaseModel):
    """A frozen pydantic model that refuses unknown fields; its attribute docstrings are the command line's help.

    `needs` says which fields do something only beside others.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, arbitrary_types_allowed=True)

    needs: ClassVar[tuple[Need, ...]] = ()

    renamed: ClassVar[Mapping[str, str]] = {}
    """Fields that had another name in the version before, by that name: it works in this version still, and says the new one."""

    renamed_result: ClassVar[Mapping[str, Mapping[str, str]]] = {}
    """Entries of parts of the result that had another name in the version before, by part and by that name."""

    if not TYPE_CHECKING:  # a reader's editor shall see the fields

        def __init__(self, **fields: Any) -> None:
            """Make a study.

            Raises:
                SpecError: with a sentence for each field that is wrong.
            """
            try:
                super().__init__(**fields)
            except ValidationError as error:
                raise SpecError(sentences(error, type(self))) from error

        # Pydantic makes the parts of a study by itself, and so finds all that is wrong with them at once.
        __init__.__pydantic_base_init__ = True

    @model_validator(mode="before")
    @classmethod
    def _by_name_of_today(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        for old in cls.renamed.keys() & given.keys():
            if cls.renamed[old] in given:
                raise ValueError(f"{old} is the former name of {cls.renamed[old]}, and both are given. Leave {old} out")
            _log.warning("%s", former_name(old, cls.renamed[old]))
        return cls.by_names_of_today(given)

    @classmethod
    def by_names_of_today(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Fields, those under a former name by the name that they have now."""
        return {cls.renamed.get(name, name): value for name, value in given.items()}

    @model_validator(mode="after")
    def _heard(self) -> Self:
        for need, names in self.idle(self._choices()):
            if not need.strict:
                continue
            text = idle(names, [on.replace("=", " = ") for on in need.on], why=need.why, beside=need.beside)
            context = {"fields": names, "needs": need.on, "why": need.why, "beside": need.beside}
            raise PydanticCustomError(IDLE, "{sentence}", {"sentence": text, **context})
        return self

    def idle(self, names: Iterable[str]) -> Iterator[tuple[Need, list[str]]]:
        """Of the fields of these names those that do nothing here, with what they need."""
        given = set(names)
        for need in self.needs:
            if (own := [name for name in need.fields if name in given]) and not need.met(self):
                yield need, own

    def _choices(self) -> Iterator[str]:
        """The fields that ask for something that neither their default nor a preset says."""
        preset = self.preset_fields()
        for need in self.needs:
            for name in need.fields:
                first, _, rest = name.partition(".")
                default = type(self).model_fields[first].get_default(call_default_factory=True)
                value, usual = getattr(self, first), preset.get(first, default)
                if rest:
                    value, usual = getattr(value, rest, None), getattr(usual, rest, None)
                default = getattr(default, rest, None) if rest else default
                if asks(value) and value not in (usual, default):
                    yield name

    def preset_fields(self) -> Mapping[str, Any]:
        """What the study's preset fills in."""
        return {}

    def read(self) -> None:
        """Read and check what the study shows, which needs no model: a mistake in a file is found before one is loaded.

        Raises:
            StimulusError: if a file is missing or malformed, or an option would do nothing with it.
            UnknownName: if there is no such contrast, benchmark or option.
        """
        getattr(self, "data_fingerprints", dict)()

    @classmethod
    def option_types(cls, fields: Mapping[str, Any], /) -> tuple[Mapping[str, Any], ...]:  # noqa: ARG003 - for those that have some
        """The options that what is shown takes, and the type of each: one mapping for each source of stimuli.

        Args:
            fields: the fields that were given.
        """
        return ()

    @classmethod
    def command_fields(cls, fields: dict[str, Any], call: Call, /) -> dict[str, Any]:  # noqa: ARG003 - for those that ask
        """The fields that options of a command amount to, where a type cannot say it."""
        return fields

    def following(self, call: Call, /) -> Sequence[str]:  # noqa: ARG002 - for those that know
        """What to type after a run of this study."""
        return ()

    def first_prompt(self, lm: Any, /) -> Mapping[str, Any] | None:  # noqa: ARG002 - for those that show texts
        """The first prompt as the model gets it, see `broca.evidence.first_prompt`; None where there is none of words."""
        return None

    def knowing(self, found: Any, /) -> Self | None:  # noqa: ARG002 - for those that can
        """The same study, which takes a part of it from what was found before; None where that would be something else."""
        return None

    def without_known(self) -> Self:
        """The same study, which takes nothing from what was found before."""
        return self

    def elsewhere(self) -> Self:
        """The same study on another model than the runs that it takes something from were made on."""
        return self

    def fit_to(self, lm: Any, /) -> Self:  # noqa: ARG002 - for those that hold something of a model
        """The same study, what was written before the model was known made into something of this model."""
        return self

    @classmethod
    def work(cls) -> Callable[..., Any]:
        """What does it: the function `run` in the module ``run`` beside the study's own module ``spec``."""
        home = next(kind.__module__ for kind in cls.__mro__ if kind.__module__.endswith(".spec"))
        return import_module(f"{home.removesuffix('.spec')}.run").run

    def run(self, lm: Any, **how: Any) -> Any:
        """Do it: see `work`, which says what comes of it."""
        return self.work()(self.fit_to(lm), lm, **how)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As pydantic's, but what was worked out from the old fields, such as the stimuli, is not carried over."""
        copy = super().model_copy(update=update, deep=deep)
        values = vars(copy)
        for name in values.keys() - type(self).model_fields.keys():
            del values[name]
        return copy


def former_name(old: str, new: str) -> str:
    """What is said to who uses the name of the version before."""
    return f"{old} is called {new} now. The old name works in this version, and in none after it."


def asks(value: object) -> bool:
    """Whether a value asks for something: 0, False, None, "none" and what is empty do not."""
    return bool(value) and value != "none"
