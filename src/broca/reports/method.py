"""The method section, written from the spec: what was done, in the past tense, with who is to be cited.

Each field of a spec that has words is told in a sentence; every other one is left to a table, so that nothing the run
depended on is silent. Works of others are named where their formula is used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from broca.page.words import as_text, count, enumeration, finite, leaves, number

Spec = Mapping[str, Any]

_LOCALIZER = "localizer."
"""Where a causal test holds the spec of its localizer."""

_POOLS = {
    "last": "its value at the last token",
    "mean": "its mean over the tokens of the stimulus, padding left out",
    "sum": "its sum over the tokens of the stimulus",
    "max": "its largest value over the tokens of the stimulus",
}
_BOS = {
    "with": "Special tokens before the text counted.",
    "without": "Special tokens before the text did not count.",
}
_MAGNITUDES = {
    "signed": "Activations were compared with their sign.",
    "abs-of-mean": "The absolute value of each pooled activation was compared.",
    "mean-of-abs": "Absolute activations were pooled and compared.",
}
_TESTS = {
    "unit": "Positive and negative stimuli were compared unit by unit with Welch’s t (Welch, 1947).",
    "head": "Positive and negative stimuli were compared head by head with a cross-validated linear-discriminant t.",
}
_FILLS = {
    "zero": "zero",
    "mean": "the unit's mean over other stimuli",
    "noise": "Gaussian noise with the unit's mean and spread",
    "resample": "the unit's value on another stimulus",
}
_SIDES = {
    "top": "with the largest t",
    "bottom": "with the smallest t",
    "both": "with the largest |t|",
    "middle": "in the middle of the ranking",
    "random": "drawn at random",
}

_LONGEST = 160
"""Characters of a value in the table: a spec may hold its stimuli, or a mask of thousands of units."""

REFERENCES = {
    "Welch, 1947": "Welch, B. L. (1947). The generalization of ‘Student’s’ problem when several different population "
    "variances are involved. Biometrika, 34, 28–35.",
    "Benjamini & Hochberg, 1995": "Benjamini, Y., & Hochberg, Y. (1995). Controlling the false discovery rate: a "
    "practical and powerful approach to multiple testing. Journal of the Royal Statistical Society B, 57, 289–300.",
    "Westfall & Young, 1993": "Westfall, P. H., & Young, S. S. (1993). Resampling-based multiple testing. Wiley.",
    "Blain et al., 2022": "Blain, A., Thirion, B., & Neuvial, P. (2022). Notip: Non-parametric true discovery proportion control for "
    "brain imaging. NeuroImage, 260, 119492.",
    "Fisher, 1935": "Fisher, R. A. (1935). The design of experiments. Oliver & Boyd.",
    "McNemar, 1947": "McNemar, Q. (1947). Note on the sampling error of the difference between correlated proportions "
    "or percentages. Psychometrika, 12, 153–157.",
    "Phipson & Smyth, 2010": "Phipson, B., & Smyth, G. K. (2010). Permutation p-values should never be zero. "
    "Statistical Applications in Genetics and Molecular Biology, 9, 39.",
}


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


def references(paragraphs: Sequence[str], citations: Sequence[Any]) -> list[str]:
    """The works cited in `paragraphs`, then those the run itself names, each once."""
    text = " ".join(paragraphs)
    cited = [short for short in REFERENCES if short in text]
    # The same work in fewer words is the same work: its first author and its year.
    keys = [(re.split(r"[ ,]", short)[0], short[-4:]) for short in cited]
    others = [c for c in map(str, citations) if not any(author in c and year in c for author, year in keys)]
    return [*(REFERENCES[short] for short in cited), *dict.fromkeys(others)]


class _Fields:
    """The leaves of a spec, which remembers those that were asked for."""

    def __init__(self, study: Spec) -> None:
        self._values = dict(leaves(study))
        self.used: set[str] = set()
        self.lesions = "fills" in study
        """Whether units are lesioned, so that a localizer is a part of the study at most."""

    def take(self, name: str) -> Any:
        """The value of a field of the study; None if it has none."""
        if name not in self._values:
            return None
        self.used.add(name)
        return self._values[name]

    def look(self, name: str) -> Any:
        """The value of a field of the localizer, which is the study itself or a part of it."""
        inner = f"{_LOCALIZER}{name}"
        return self.take(inner if inner in self._values or self.lesions else name)


def _study(spec: Spec) -> Spec:
    study = spec.get("study")
    return study if isinstance(study, Mapping) else spec


def _text_and_fields(spec: Spec, result: Spec) -> tuple[list[str], set[str]]:
    study = _study(spec)
    fields = _Fields(study)
    if result.get("method") and _part(result, "task"):
        # The result tells its own method, in words; the fields stand in the table.
        told = [*_stimuli(fields, result), *_claims(fields, result)]
        return [" ".join(told)], fields.used
    paragraphs = [_stimuli(fields, result), _comparison(fields), _selection(fields, result)]
    paragraphs += [_lesions(fields), _scoring(fields, result), _claims(fields, result)]
    return [text for text in (" ".join(filter(None, p)) for p in paragraphs) if text], fields.used


def _stimuli(fields: _Fields, result: Spec) -> list[str]:
    contrast = _part(result, "contrast")
    name = contrast.get("name") or fields.look("contrast")
    fields.look("contrast")
    model = _part(result, "model")
    sentences = []
    if name:
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


def _comparison(fields: _Fields) -> list[str]:
    sites, pool, grain = fields.look("sites"), fields.look("pool"), fields.look("grain")
    sentences = []
    if sites is not None:
        sentences.append(f"Activations were read at {as_text(sites)}.")
    if pool is not None:
        sentences.append(
            f"Each {'head' if grain == 'head' else 'unit'} was summarised by {_POOLS.get(str(pool), as_text(pool))}."
        )
    sentences.append(_phrase(_BOS, fields.look("bos"), "Special tokens: {}."))
    sinks, truncate = fields.look("sinks"), fields.look("truncate")
    if finite(sinks) and sinks:
        sentences.append(f"The first {count(sinks, 'further token')} were left out.")
    if finite(truncate):
        sentences.append(f"Stimuli were cut to {count(truncate, 'token')}.")
    sentences.append(_phrase(_MAGNITUDES, fields.look("magnitude"), "Magnitude: {}."))
    sentences.append(_phrase(_TESTS, grain, "Grain: {}."))
    alpha = fields.look("alpha")
    if finite(alpha):
        sentences.append(
            f"p values of the map were adjusted over all that were alive, with the false discovery rate held at {as_text(alpha)} "
            "(Benjamini & Hochberg, 1995)."
        )
    shuffles = fields.look("permutations")
    if finite(shuffles) and shuffles:
        sentences.append(
            f"Whether the selection is selective was decided by {count(shuffles, 'arrangement')} of the groups of stimuli at most, with the "
            "largest statistic over all places (Westfall & Young, 1993) and the bound on true discoveries that they calibrate "
            "(Blain et al., 2022)."
        )
    also = fields.take("also")
    if isinstance(also, list) and also:
        sentences.append(
            f"The same was done with other stimuli ({enumeration(list(map(str, also)))}), and the maps compared."
        )
    twins = fields.look("twins")
    if finite(twins) and twins:
        sentences.append(
            f"The same was done in at most {count(twins, 'untrained twin')} of the model (same config, fresh weights), as many as decided, and "
            "in one whose weights were put in random order."
        )
    return sentences


def _selection(fields: _Fields, result: Spec) -> list[str]:
    choice = _part(result, "selection")
    asked = {name: fields.look(f"select.{name}") for name in ("percent", "count", "side", "within")}
    k, side = choice.get("k"), choice.get("side") or asked["side"]
    percent = choice.get("percent") if finite(choice.get("percent")) else asked["percent"]
    if not finite(k) and not finite(percent) and not finite(asked["count"]):
        return []
    unit = "head" if choice.get("grain") == "head" else "unit"
    size = count(k if finite(k) else asked["count"], unit) if finite(k) or finite(asked["count"]) else f"the {unit}s"
    share = f" ({number(percent)} %)" if finite(percent) else ""
    ends = _SIDES.get(str(side), "") if side else ""
    among = {"layer": " within each layer", "model": " over all layers"}.get(str(asked["within"]), "")
    chosen = " ".join(filter(None, (f"{size}{share}", ends))) + among
    sentences = [f"{chosen[:1].upper()}{chosen[1:]} {'was' if k == 1 else 'were'} selected."]
    if finite(choice.get("n_dead")) and finite(choice.get("n_alive")):
        dead, units = choice["n_dead"], count(choice.get("n_units"), unit)
        none = f"None of the {units} was dead."
        some = f"Of the {units}, {number(dead)} never varied and could not be selected."
        sentences.append(some if dead else none)
        if finite(protected := choice.get("n_protected")) and protected:
            sentences.append(f"{number(protected)} with massive activations were kept from being selected.")
    return sentences


def _lesions(fields: _Fields) -> list[str]:
    fills, sides, percent = fields.take("fills"), fields.take("sides"), fields.take("percent")
    further, draws, fewer = fields.take("doses"), fields.take("draws"), fields.take("dose_draws")
    match, among = fields.take("match"), fields.take("among")
    sentences = []
    if isinstance(fills, list) and fills:
        sentences.append(f"Lesioned units were held at {enumeration([_FILLS.get(str(f), str(f)) for f in fills])}.")
    if isinstance(sides, list) and sides:
        sentences.append(f"Lesioned were the ends of the ranking called {enumeration(list(map(str, sides)))}.")
    if finite(percent):
        more = f", and besides {as_text(further)} %" if further else ""
        sentences.append(f"The claim is about {as_text(percent)} % of the units{more}.")
    sizes = fields.take("sizes")
    if isinstance(sizes, list) and sizes:
        times = enumeration([f"{number(size)} times" for size in sizes])
        sentences.append(f"Selections of {times} that size were lesioned too, where they differ in number.")
    if finite(draws) and draws:
        alike = f", matched on {enumeration([str(m) for m in match])}" if isinstance(match, list) and match else ""
        rest = ", drawn from those that were not selected" if among == "rest" else ""
        also = f" ({number(fewer)} at each further dose)" if finite(fewer) and further else ""
        sentences.append(
            f"The lesion was compared with at most {count(draws, 'random draw')}{also} of as many units{alike}{rest}, each another choice; "
            "they ended when the rank of the lesion among all of them was plain, and where too few choices match, the match was loosened as "
            "the rung says. The empirical p counts the observed effect among the draws (Phipson & Smyth, 2010)."
        )
    return sentences


def _scoring(fields: _Fields, result: Spec) -> list[str]:
    items, others, most = fields.take("items"), fields.take("others"), fields.take("n_items")
    scorer = fields.take("scorer.kind") or fields.take("scorer")
    sentences = []
    if items is not None:
        beside = f"; beside it {enumeration(list(map(str, others)))}" if isinstance(others, list) and others else ""
        cut = f", at most {number(most)} items of each" if finite(most) else ""
        sentences.append(f"The ability was tested with {as_text(items)}{beside}{cut}.")
    if scorer is not None:
        sentences.append(f"Answers were scored by {as_text(scorer)}.")
    if _part(result, "estimate") or items is not None:
        draws = fields.take("n_bootstrap")
        boot = f" from {count(draws, 'bootstrap sample')}" if finite(draws) else ""
        sentences.append(
            "The loss was tested by flipping signs of groups of items (Fisher, 1935), positions and answers weighed equally, and against other "
            "abilities as the share lost of what each had above chance and in log-odds, groups shuffled. Beside that stand cells that are paired "
            f"by item (exact test of McNemar, 1947), with 95 % intervals{boot}. The intact model had to answer more items than chance and than "
            "each shortcut would."
        )
    return sentences


def _claims(fields: _Fields, result: Spec) -> list[str]:
    ledger = _part(result, "ledger")
    claims, level = fields.take("claims"), ledger.get("level")
    if not finite(claims) or claims < 2 or not finite(level):
        return []
    most = [
        count(ledger[what], one) for what, one in (("draws", "draw"), ("twins", "untrained twin")) if ledger.get(what)
    ]
    rose = f", with at most {enumeration(most)}" if most else ""
    return [f"{count(claims, 'claim')} share the level, so that this one was tested at {number(level)}{rose}."]


def _phrase(words: Mapping[str, str], value: Any, otherwise: str) -> str:
    return "" if value is None else words.get(str(value), otherwise.format(as_text(value)))


def _part(result: Spec, name: str) -> Spec:
    value = result.get(name)
    return value if isinstance(value, Mapping) else {}
