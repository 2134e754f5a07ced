"""What a field writes into the method section of a report: part of the field's ``Annotated`` type, beside its meaning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Topic = Literal["stimuli", "comparison", "selection", "lesion", "scoring"]
"""The paragraphs of a method section, in their order."""

TOPICS: tuple[Topic, ...] = get_args(Topic)


@dataclass(frozen=True, slots=True)
class Choices:
    """What a sentence may ask for beside its own field: the study's other fields, and what came of it."""

    fields: Mapping[str, Any]
    """As ``spec.toml`` holds them."""
    result: Mapping[str, Any]
    """As ``result.json`` holds it."""
    said: set[str] = field(default_factory=set)
    """Names of the fields that a sentence asked for, and so says."""

    def field(self, name: str) -> Any:
        """The value of another field; None where the study has none."""
        self.said.add(name)
        return self.fields.get(name)

    def result_part(self, name: str) -> Mapping[str, Any]:
        """A part of the result; empty where there is none."""
        value = self.result.get(name)
        return value if isinstance(value, Mapping) else {}


@dataclass(frozen=True, slots=True)
class Sentence:
    """A field's words in the method section, in the past tense."""

    topic: Topic
    """The paragraph that it stands in; there in the order of the fields."""
    words: str | Mapping[str, str] | Callable[[Any, Choices], str]
    """A text with ``{}`` for the value, said where the value asks for something; a text for each value; or a function of the value and
    the other choices, whose empty text says nothing."""
    covers: tuple[str, ...] = ()
    """Of a field of parts: those that the sentence says. Every other one stays in the table of fields."""
