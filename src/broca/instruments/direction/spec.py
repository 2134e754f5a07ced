"""Does a direction of a contrast move what a model says, more than random directions do, while its text stays fluent?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from broca.errors import SpecError
from broca.evidence.ability_spec import AbilitySpec
from broca.evidence.ledger import SharedLevel
from broca.instruments.direction import method as method_words
from broca.items import Contrast
from broca.page.shell import YOURS, command
from broca.registry import COMPAT
from broca.scoring import AnyScorer, Likelihood
from broca.sites import check_pattern
from broca.specs.command import Call, Form
from broca.specs.expectation import Expected
from broca.specs.fields import Above0, Natural, Positive
from broca.specs.groups import (
    Alpha,
    BootstrapSamples,
    Claims,
    Gate,
    Others,
    SmallestEffect,
    TemplateUse,
    Truncation,
)
from broca.specs.method import Sentence
from broca.specs.spec import Need, Spec
from broca.stimuli.benchmarks import option_types as types_of_items
from broca.stimuli.contrasts import contrast as load_contrast
from broca.stimuli.contrasts import option_types as types_of_contrast
from broca.stimuli.options import deal

_FEATURE = re.compile(r"([0-9]{1,5})\.feature:([0-9]{1,9})")
MOST_DOSES = 41
"""Doses of a curve at most."""


def dose_range(text: str) -> tuple[float, ...]:
    """Doses as they are typed: ``-6:6:2`` (from, to, step), or with commas between.

    Raises:
        SpecError: if they are none, or too many.
    """
    try:
        if ":" not in text:
            return tuple(float(part) for part in text.split(","))
        low, high, step = (float(part) for part in text.split(":"))
        count = int((high - low) / step + 1e-9) + 1
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise SpecError(f"{text!r} are no doses. Write --doses=FROM:TO:STEP, such as -6:6:2, or -2,0,2.") from error
    if not 1 < count <= MOST_DOSES:
        raise SpecError(f"{text!r} are {count} doses. Give 2 to {MOST_DOSES}.")
    return tuple(round(low + i * step, 9) for i in range(count))


Doses = Annotated[tuple[Annotated[float, Field(allow_inf_nan=False)], ...], Field(min_length=1), Form(str, dose_range)]


class DirectionTest(AbilitySpec, SharedLevel, Spec):
    """Fit a direction from a contrast, steer along it by doses, and compare with matched random directions."""

    kind: Literal["direction"] = "direction"
    direction: str | None = None
    """Steer along the direction of this file (.safetensors, .gguf, .pt, .svec), or along what a feature writes ("12.feature:507"), instead
    of one that is fitted."""
    contrast: str | Contrast = "sentiment"
    """What the direction is fitted from: a contrast by name, or a file. Positive doses go towards its positive side."""
    items: str = "sentiment"
    """What steering is judged by: a benchmark or a file of items."""
    others: Others = ()
    n_items: Positive | None = 80
    """Use this many items of each ability at most, spread over the whole list; of the own ones half of the groups choose the layer."""
    options: Mapping[str, str | int | float | bool] = {}
    """Options of the contrast and of the benchmarks, such as seed: each is given those that it takes."""
    scorer: AnyScorer = Likelihood()
    """How an answer is judged."""
    toward: str | None = None
    """What positive doses should move answers towards: one of the choices, or "answer" for the right one. Found out on the items that
    choose the layer when None."""
    sites: str = "*.resid_post"
    """Where to fit, and where steering may take place."""
    layer: Natural | None = None
    """Steer at this layer; chosen among `tries` of the sites when None."""
    tries: Annotated[Positive, Sentence("selection", method_words.tries)] = 6
    """Layers among which one is chosen, spread evenly over the sites."""
    method: Annotated[Literal["mean", "pca", "logistic", "leace"], Sentence("comparison", method_words.method)] = "mean"
    """Difference of means; first component of plus and minus the differences; weights of a logistic regression; LEACE's."""
    pool: Literal["last", "mean"] = "last"
    """Read stimuli at their last token, or as the mean of all their tokens."""
    doses: Annotated[Doses, Sentence("lesion", method_words.doses)] = (-6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0)
    """Of the curve, in distances between the means of the two sides; the claim is about the largest dose below these that keeps text fluent."""
    text: str | None = None
    """Texts of which perplexities are taken: as sensitivity's `general`. Ours ("plain") where the model knows their words, or the prompts of the items."""
    n_text: Positive = 8
    """How many of these texts, up to 64 tokens each."""
    perplexity_limit: Annotated[Above0, Sentence("lesion", method_words.perplexity_limit)] = 1.05
    """Steered text counts as fluent where its perplexity, at the dose and at its negative, is at most so many times the intact model's."""
    also: tuple[str, ...] = ()
    """Further contrasts, whose directions are compared with this one by their cosine."""
    permutations: Natural = 200
    """Deals of the groups' sides, against which separation and halves are held."""
    twins: Natural = 19
    """Untrained networks of the same architecture at most: the first whose own direction parts the sides as far ends the comparison."""
    draws: Annotated[Natural, Sentence("lesion", method_words.draws)] = 39
    """Random directions at most of the norm, and the share of variance, of the direction: drawing stops as soon as the decision is all but certain."""
    beside: Natural = 19
    """Random directions of the same norm alone, and as many fitted where sides were dealt at random: the claim has to hold against both. More
    where claims share the level."""
    dose_draws: Natural = 4
    """Random directions at each dose of the curve."""
    prompts: tuple[str, ...] = ()
    """What is continued under steering, to be read side by side; some openings of our own, or prompts of items, when none is given."""
    max_new_tokens: Natural = 24
    """Of each continuation; 0 writes none."""
    gate: Gate = "stop"
    smallest_effect: SmallestEffect = None
    truncate: Truncation = None
    chat: TemplateUse = "auto"
    alpha: Alpha = 0.05
    claims: Claims = 1
    n_bootstrap: BootstrapSamples = 2000
    seed: Natural = 0
    """Seed of halves, random directions, deals, twins and bootstrap. 0 is a seed."""
    expect: Expected = None

    needs: ClassVar[tuple[Need, ...]] = (
        Need(("contrast", "sites"), (), lambda spec: spec.fits, "nothing is fitted", beside="direction", strict=True),
        Need(("permutations", "twins"), (), lambda spec: spec.fits, "nothing is fitted", beside="direction"),
        Need(("method", "pool"), ("also",), lambda spec: spec.fits or spec.also, "nothing else is fitted"),
        Need(("tries",), (), lambda spec: spec.layer is None, "there is nothing to choose", beside="layer"),
        Need(("prompts",), ("max_new_tokens=1 or more",), lambda spec: spec.max_new_tokens),
    )

    @model_validator(mode="after")
    def _possible(self) -> DirectionTest:
        check_pattern(self.sites)
        if not any(self.doses):
            raise ValueError("every dose is 0, and nothing would be steered. Give some that are not")
        if len(set(self.doses)) > MOST_DOSES:
            raise ValueError(f"{len(set(self.doses))} doses are more than a curve has: give {MOST_DOSES} at most")
        if self.perplexity_limit <= 1:
            raise ValueError("perplexity_limit is 1 or less, and any steering costs some: give 1.05, say")
        return self

    @property
    def fits(self) -> bool:
        """Whether a direction is fitted, and not given."""
        return self.direction is None

    @property
    def feature(self) -> tuple[int, int] | None:
        """Layer and number of the feature that is given as a direction."""
        found = _FEATURE.fullmatch(self.direction or "")
        return (int(found[1]), int(found[2])) if found else None

    @property
    def most(self) -> float:
        """The largest dose of either sign."""
        return max(map(abs, self.doses))

    @cached_property
    def _options(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Options of the contrast, and those of the benchmarks."""
        names = (self.items, *self.others)
        takes = [(name, types_of_items(name)) for name in names]
        named = [self.contrast] if self.fits and isinstance(self.contrast, str) else []
        dealt = deal(self.options, [*((name, types_of_contrast(name)) for name in named), *takes])
        own, rest = dealt[: len(named)], dealt[len(named) :]
        return dict(*own), {name: value for part in rest for name, value in part.items()}

    @cached_property
    def stimuli(self) -> Contrast:
        """The contrast itself.

        Raises:
            StimulusError: if its file is malformed.
            UnknownName: if no contrast has this name, or nothing takes an option.
        """
        return (
            self.contrast if isinstance(self.contrast, Contrast) else load_contrast(self.contrast, **self._options[0])
        )

    @cached_property
    def further(self) -> dict[str, Contrast]:
        """The further contrasts by name."""
        return {name: load_contrast(name) for name in self.also}

    @property
    def ability_options(self) -> Mapping[str, Any]:
        return self._options[1]

    def data_fingerprints(self) -> dict[str, str]:
        """Content hashes of stimuli and items: files may change under their names."""
        prints = {"contrast": self.stimuli.fingerprint} if self.fits else {}
        if self.direction is not None and self.feature is None:
            prints["direction"] = COMPAT["direction"](self.direction).fingerprint
        prints |= {f"contrast {name}": each.fingerprint for name, each in self.further.items()}
        return prints | self.item_fingerprints()

    @classmethod
    def option_types(cls, fields: Mapping[str, Any], /) -> tuple[Mapping[str, Any], ...]:
        names = (fields.get("items", "sentiment"), *fields.get("others", ()))
        contrast = fields.get("contrast", "sentiment")
        own = (types_of_contrast(contrast),) if isinstance(contrast, str) and not fields.get("direction") else ()
        return (*own, *(types_of_items(name) for name in names))

    def following(self, call: Call, /) -> Sequence[str]:
        if self.others:
            return ()
        return [command("direction", call.setting.model, options={**call.given, **call.kept_options, "others": YOURS})]
