"""Whose options are whose: a causal test shows items, and a contrast where one is localized by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from broca.stimuli.benchmarks import option_types as types_of_items
from broca.stimuli.contrasts import option_types as types_of_contrast
from broca.stimuli.options import deal, typed_options


def options_dealt(fields: Mapping[str, Any], localizer: Mapping[str, Any] | None) -> dict[str, Any]:
    """Fields whose options are dealt to the contrast, where one is shown, and to the items.

    Args:
        fields: of the test; `options` as texts.
        localizer: of its localizer; `options` are those of the contrast alone, as texts. None where a selection is given.
    """
    texts, of = fields.get("options"), {} if localizer is None else dict(localizer)
    alone = of.get("options")
    beside = {} if localizer is None else {"localizer": of}
    if texts is None and alone is None:
        return {**fields, **beside}
    takes = [
        (name, types_of_items(name))
        for name in (fields.get("items", "beliefs/false-belief"), *fields.get("others", ()), *fields.get("pilot", ()))
    ]
    kinds = [types for _, types in takes]
    if localizer is None:
        return {**fields, "options": typed_options(texts, *kinds)}
    contrast = of["contrast"]
    own = types_of_contrast(contrast)
    mine = typed_options(alone, own)
    first, *_ = deal(texts or {}, [(contrast, {n: t for n, t in own.items() if n not in mine}), *takes])
    asked = {name: text for name, text in (texts or {}).items() if any(name in types for types in kinds)}
    of["options"] = typed_options({name: str(text) for name, text in first.items()}, own) | mine
    return {**fields, "options": typed_options(asked, *kinds), "localizer": of}
