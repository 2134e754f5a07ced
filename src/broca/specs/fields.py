"""What fields of specs can be: numbers within limits, and the words that choose between ways of doing something. No torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, TypeAdapter

from broca.errors import SpecError

Natural = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Several = Annotated[int, Field(ge=2)]
Above0 = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Percent = Annotated[float, Field(gt=0, le=100)]
Share = Annotated[float, Field(gt=0, le=1)]
Level = Annotated[float, Field(gt=0, lt=1)]
"""Numbers within limits."""

TemplateWhen = Literal["auto", "never", "always"]
"""When the model's chat template is used: for chats only, never (contents joined by blank lines), or always."""


class Template(str):
    """When the model's chat template is used, and what it is told: one text, so that specs, keys and tables can hold it.

    ``always {"system": "Be brief.", "thinking": false}``. Made by `template`.
    """

    __slots__ = ()

    @property
    def when(self) -> TemplateWhen:
        """When it is used."""
        return self.partition(" ")[0]  # type: ignore[return-value]

    @property
    def values(self) -> dict[str, Any]:
        """`system` and `thinking`, those of them that were given."""
        return json.loads(self.partition(" ")[2])

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(
            cls._read, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> Any:
        return {"type": "string"}

    @classmethod
    def _read(cls, value: Any) -> Template:
        if isinstance(value, cls):
            return value
        when, _, told = value.partition(" ") if isinstance(value, str) else ("", "", "")
        fields = _template_values(told)
        if when not in get_args(TemplateWhen) or fields is None:
            raise ValueError(
                f"chat is {str(value)[:60]!r}: give auto, never or always, and what the template is told behind it as JSON, "
                'like always {"system": "Be brief."}'
            )
        made = template(when, **fields)  # type: ignore[arg-type]
        assert isinstance(made, cls)
        return made


def _template_values(text: str) -> dict[str, Any] | None:
    """What a template is told; None where the text says nothing of the kind."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    kinds = {"system": str, "thinking": bool}
    if not isinstance(found, dict) or not found or not found.keys() <= kinds.keys():
        return None
    return found if all(isinstance(value, kinds[name]) for name, value in found.items()) else None


Chat = TemplateWhen | Template
"""When the model's chat template is used, and what it is told where it is told something."""


def template(when: Chat = "auto", *, system: str | None = None, thinking: bool | None = None) -> Chat:
    """When the chat template is used, and what it is told.

    Args:
        when: for chats only (auto), never, or always.
        system: a first message that says how to answer; of a chat that has none itself.
        thinking: whether the model thinks before it answers, where the template has a switch for it; None leaves it as it is.

    Raises:
        SpecError: if nothing would come of what the template is told.
    """
    told = {name: value for name, value in (("system", system), ("thinking", thinking)) if value is not None}
    if not told:
        return when
    if when == "never":
        raise SpecError(
            f"{' and '.join(told)} is told to the chat template, and chat is never. Leave one of the two out."
        )
    if system is not None and not system.strip():
        raise SpecError("system is empty. Give a text, or leave it out.")
    return Template(f"{when} {json.dumps(told, ensure_ascii=False, sort_keys=True)}")


def template_parts(chat: Chat) -> tuple[TemplateWhen, dict[str, Any]]:
    """When the template is used, and what it is told: `system` and `thinking`."""
    return (chat.when, chat.values) if isinstance(chat, Template) else (chat, {})


def template_options(chat: object) -> dict[str, Any]:
    """What is typed for it: `chat`, `system` and `thinking`, without what is usual."""
    made = TypeAdapter(Chat).validate_python(chat)
    when, told = template_parts(made)
    return ({} if when == "auto" else {"chat": when}) | told


Magnitude = Literal["signed", "abs-of-mean", "mean-of-abs"]
"""Activations as they are; the absolute value of the pooled activation (AlKhamissi et al., 2025); or the pooled absolute
value. The last two differ wherever a unit changes sign within a text."""

Positions = Literal["all", "prompt", "generated", "last"] | tuple[int, ...]
"""Which tokens: all; the prompt's; those after the prompt; the prompt's last; or places in the prompt, counted from 0 at
its first real token, or from -1 at its last."""

FillName = Literal["zero", "mean", "noise", "resample"]
"""What lesioned units are held at."""

ObjectiveName = Literal["gold", "contrast", "expectation", "last-token", "full"]
"""What is differentiated: the right answer, its log-odds, the model's choice, the prompt's end, or all."""

Score = Literal["squared-gradient", "gradient-weight", "squared-gradient-weight", "activation-weight"]
"""g² (the diagonal of the empirical Fisher); |w g| (SNIP; Lee et al., 2019); w² g² (Taylor; Molchanov et al., 2019);
|w| times the norm of the weight's input (Wanda; Sun et al., 2024)."""

Mode = Literal["auto", "single", "batched"]
"""One sample at a time, or batches with the same numbers."""

Precision = Literal["float32", "float16"]
"""Of sums of scores."""

EditKind = Literal["zero", "mean", "scale", "flip", "resample", "noise"]
"""What a chosen weight becomes."""


@dataclass(frozen=True, slots=True)
class Edit:
    """What chosen weights become.

    * zero
    * mean: the mean of the matrix's other weights
    * scale: `alpha` times the weight; `about` "mean": mean + alpha (weight - mean), as published
    * flip: the weight with its other sign
    * resample: another weight of the same row, drawn from those not chosen
    * noise: Gaussian, with mean and deviation of the matrix's other weights
    """

    kind: EditKind = "zero"
    alpha: float = 0.0
    about: Literal["zero", "mean"] = "zero"
    mean_of: Literal["others", "zeroed"] = "others"
    """Take the mean of the other weights, or as published of all of them with the chosen ones counted as 0."""
    seed: int = 0

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    @property
    def name(self) -> str:
        """What tables call it."""
        return f"scale {self.alpha:g}" if self.kind == "scale" else self.kind
