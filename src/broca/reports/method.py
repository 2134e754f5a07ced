"""The method section, written from the spec: what was done, in the past tense, with who is to be cited.

A field of a spec that has a `Sentence` writes it; every other one is left to a table, so that nothing the run depended on is silent.
Works of others are named where their formula is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from broca.instruments import INSTRUMENTS
from broca.page.words import as_text, count, enumeration, finite, leaves, number
from broca.specs.method import TOPICS, Choices, Sentence, Topic
from broca.specs.spec import asks

Spec = Mapping[str, Any]

_LONGEST = 160
"""Characters of a value in the table: a spec may hold its stimuli, or a mask of thousands of units."""


def method_text(spec: Spec, result: Spec) -> list[str]:
    """Paragraphs on what was shown, what was compared, what was chosen and, in a causal test, what was taken away.

    Args:
        spec: the study's fields: [study] of ``spec.toml``, or the whole document.
        result: what ``result.json`` holds.
    """
    return _text_and_fields(spec, result)[0]


def fields_without_words(spec: Spec, result: Spec) -> list[tuple[str, str]]:
    """The fields of `spec` that `method_text` has no words for, with their values."""
    told_of = _text_and_fields(spec, result)[1]
    study = _study(spec)
    left = [(name, as_text(value)) for name, value in leaves(study) if name not in told_of and name != "kind"]
    return [
        (name, text if len(text) <= _LONGEST else f"{text[:_LONGEST]} … (whole in spec.toml)") for name, text in left
    ]


def _study(spec: Spec) -> Spec:
    study = spec.get("study")
    return study if isinstance(study, Mapping) else spec


def _text_and_fields(spec: Spec, result: Spec) -> tuple[list[str], set[str]]:
    study = _study(spec)
    paragraphs: dict[str, list[str]] = {topic: [] for topic in TOPICS}
    paragraphs["stimuli"] += _stimuli(result)
    said = {"contrast", "localizer.contrast"} if paragraphs["stimuli"] else set()
    for topic, words, names in _sentences(study, result):
        paragraphs[topic].append(words)
        said |= names
    told = [" ".join(sentences) for sentences in paragraphs.values() if sentences]
    if claims := _claims(study, result):
        told, said = [*told, claims], said | {"claims"}
    return told, said


def _sentences(study: Spec, result: Spec) -> Iterator[tuple[Topic, str, set[str]]]:
    """Each sentence that the fields write, those of a study within it first: its topic, its words, and the fields that it says."""
    kind = study.get("kind")
    if kind not in INSTRUMENTS:
        return
    for name, field in INSTRUMENTS[str(kind)].model_fields.items():
        if name not in study:
            continue
        value, choices = study[name], Choices(study, result)
        if isinstance(value, Mapping):
            for topic, words, names in _sentences(value, result):
                yield topic, words, {f"{name}.{part}" for part in names}
        for sentence in (each for each in field.metadata if isinstance(each, Sentence)):
            if words := _words(value, sentence, choices):
                own = {f"{name}.{part}" for part in sentence.covers}
                yield sentence.topic, words, {name, *own, *choices.said}


def _words(value: Any, sentence: Sentence, choices: Choices) -> str:
    try:
        if callable(sentence.words):
            return sentence.words(value, choices)
        if isinstance(sentence.words, str):
            return sentence.words.format(as_text(value)) if asks(value) else ""
        return sentence.words[value]
    except (TypeError, ValueError, LookupError, AttributeError):
        # A spec that other hands wrote may hold anything: what has no words stands in the table.
        return ""


def _stimuli(result: Spec) -> list[str]:
    contrast, model = _part(result, "contrast"), _part(result, "model")
    sentences = []
    if name := contrast.get("name"):
        sides = [contrast.get("n_positive"), contrast.get("n_negative")]
        sizes = (
            f": {number(sides[0])} positive against {number(sides[1])} negative stimuli"
            if all(map(finite, sides))
            else ""
        )
        pictures = contrast.get("pictures")
        beside = f", with {count(pictures, 'picture')}" if finite(pictures) and pictures else ""
        sentences.append(f"The model was shown the contrast “{as_text(name)}”{sizes}{beside}.")
    if contrast.get("source"):
        sentences.append(f"Source of the stimuli: {str(contrast['source']).rstrip('.')}.")
    if model.get("layers") or model.get("n_layers"):
        width = f", {number(model['d_model'])} wide" if finite(model.get("d_model")) else ""
        sentences.append(f"The model has {count(model.get('layers') or model.get('n_layers'), 'layer')}{width}.")
    return sentences


def _claims(study: Spec, result: Spec) -> str:
    ledger, claims = _part(result, "ledger"), study.get("claims", 1)
    if not finite(claims) or claims < 2 or not finite(level := ledger.get("level")):
        return ""
    most = [
        count(ledger[what], one) for what, one in (("draws", "draw"), ("twins", "untrained twin")) if ledger.get(what)
    ]
    rose = f", with at most {enumeration(most)}" if most else ""
    return f"{count(claims, 'claim')} share the level, so that this one was tested at {number(level)}{rose}."


def _part(result: Spec, name: str) -> Spec:
    value = result.get(name)
    return value if isinstance(value, Mapping) else {}
