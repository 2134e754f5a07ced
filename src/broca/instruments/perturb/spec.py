"""Do mistakes and rewordings cost answers; where in the model is the damage done; and what puts it right again?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from broca.errors import StimulusError
from broca.evidence.budget import WithBudget
from broca.evidence.ledger import SharedLevel
from broca.evidence.overlap import ChoosingData
from broca.evidence.pilot import pilot_data, pilot_items
from broca.instruments.perturb import method
from broca.instruments.perturb.stimuli import StudyTexts, load_texts, source_of, way_for
from broca.items import fingerprint
from broca.page.shell import YOURS, command
from broca.scoring.writers import writer
from broca.specs.command import Call
from broca.specs.cost import LARGE
from broca.specs.expectation import Expected
from broca.specs.faults import join_names
from broca.specs.fields import Natural, Positive
from broca.specs.groups import Alpha, BootstrapSamples, BudgetFrom, BudgetTokens, Claims, Pilot, TemplateUse
from broca.specs.method import Sentence
from broca.specs.spec import Need, Spec
from broca.stimuli.benchmarks import BENCHMARKS
from broca.stimuli.benchmarks import option_types as types_of_items
from broca.stimuli.perturb import ALL, KINDS, REWRITTEN, Choice, Severity, is_pairs, pairs
from broca.stimuli.perturb import option_types as types_of_pairs
from broca.stimuli.perturb.draws import check_kinds

if TYPE_CHECKING:
    from broca.models.lm import LM

By = Literal["none", "layers", "heads"]
"""Whose attention patterns are patched."""
What = Literal["heads", "neurons", "features"]
"""What is chosen."""
TWINS = 19
"""Untrained twins of a small model, where no number is asked for: the fewest that decide something."""


class Perturb(SharedLevel, WithBudget, Spec):
    """Perturb texts, compare the answers by item, and patch the runs that turned."""

    kind: Literal["perturb"] = "perturb"
    items: Annotated[str, Sentence("stimuli", method.items)] = "sums"
    """Items by name, or a file of items or of pairs; typo files and paraphrase sets are known by their fields."""
    options: Mapping[str, str | int | float | bool] = {}
    """Options of the generator or reader, such as n, seed or path."""
    pilot: Pilot = ()
    n_items: Positive = 200
    """Use this many items, or clean texts of a file of pairs, at most."""
    kinds: Annotated[tuple[str, ...], Sentence("stimuli", method.kinds)] = ()
    """Kinds of perturbation; all, or all that the file has, where none is named."""
    words: Positive = 1
    """How many words of a text are edited."""
    among: tuple[str, ...] = ()
    """Edit these words only."""
    min_letters: Positive = 3
    """Shorter words are left alone."""
    rewriter: str | None = None
    """An instruct model that writes the styles, instead of templates: directory, hub id, or its name on the server."""
    rewriter_server: str | None = None
    """Address of an OpenAI-compatible server on which the rewriter runs."""
    controls: bool = True
    """Beside each perturbed text ask a valid one with the same change in the number of tokens, where there is one."""
    answers: Literal["auto", "choices", "generated"] = "auto"
    """By the likelihood of an item's choices, or read from what is generated; auto takes choices where there are some."""
    max_new_tokens: Positive = 16
    """Of what is generated."""
    chat: TemplateUse = "auto"
    compare: Natural = 64
    """Pairs of each kind whose runs are compared inside, at most; 0 compares none."""
    probes: Natural = 0
    """Pairs of each kind on which probes learn to tell clean from perturbed, beside baselines that know no model; 0 for none."""
    cases: Annotated[Natural, Sentence("lesion", method.cases)] = 128
    """Texts whose answer turned that are patched, at most; 0 patches none."""
    threshold: Annotated[float, Field(ge=0)] = 0.5
    """What a case must have lost, in logits, to count in a share of recovery."""
    patterns: By = "heads"
    """Patch the attention patterns of whole layers, of heads too, or none."""
    select: What = "heads"
    """Choose heads, neurons or features of dictionaries that restore answers, and let the choice climb the ladder."""
    rank: Literal["patched", "estimated"] = "patched"
    """Rank heads by patching each, or by attribution patching: cheaper in large models."""
    smallest_effect: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Choose the heads that alone restore at least this share of what was lost; the strongest one where none does."""
    percent: Annotated[float, Field(gt=0, lt=100)] | None = None
    """Choose this share of the heads, neurons or features instead; of neurons and features 12.5 where nothing is said."""
    draws: Natural = 100
    """Random choices of the same size and layers."""
    twins: Natural | None = None
    """Untrained networks of the same architecture at most: the first whose choice restores as much ends the comparison. 19 where nothing is
    said, and none of a model of more than 20 million parameters."""
    alpha: Alpha = 0.05
    claims: Claims = 1
    n_bootstrap: BootstrapSamples = 2000
    examples: Natural = 6
    """Texts to show in the report."""
    seed: Natural = 0
    """Seed of edits, controls, cases, bootstrap, draws and twins."""
    budget_tokens: BudgetTokens = None
    budget_from: BudgetFrom = Field(default_factory=dict)
    expect: Expected = None

    renamed: ClassVar[Mapping[str, str]] = {"n": "n_items"}
    needs: ClassVar[tuple[Need, ...]] = (
        Need(("rewriter_server",), ("rewriter",), lambda spec: spec.rewriter is not None, strict=True),
        Need(("max_new_tokens",), ("answers=generated",), lambda spec: spec.answers != "choices"),
        Need(
            ("threshold", "patterns", "select", "rank", "smallest_effect", "percent", "draws", "twins"),
            ("cases=1 or more",),
            lambda spec: spec.cases,
        ),
        Need(
            ("rank",),
            ("select=heads",),
            lambda spec: spec.select == "heads",
            "neurons and features are always estimated",
        ),
        Need(
            ("smallest_effect",),
            ("select=heads",),
            lambda spec: spec.select == "heads",
            "a neuron or feature alone restores next to nothing",
        ),
        Need(
            ("smallest_effect",),
            (),
            lambda spec: spec.percent is None,
            "percent says how many are chosen",
            beside="percent",
        ),
    )

    def fit_to(self, lm: Any, /) -> Perturb:
        """The same study within its budget, with as many twins as the model's size allows where no number was asked for."""
        twins = (0 if lm.n_parameters > LARGE else TWINS) if self.twins is None else self.twins
        return super(Perturb, self.model_copy(update={"twins": twins})).fit_to(lm)

    def data_fingerprints(self) -> dict[str, str]:
        """The content of a file of items or pairs, which may change under its name."""
        prints = {} if self.items in BENCHMARKS else {self.items: self.texts(None).fingerprint}
        looked = self.pilot_data
        return prints | (
            {"pilot": fingerprint([sorted(map(repr, part)) for part in (looked.texts, looked.groups)])}
            if self.pilot
            else {}
        )

    def read(self) -> None:
        if self.rewriter is not None and self.rewriter_server is None:
            from broca.models.load import locate

            locate(self.rewriter)
        idle = self._unheard()
        if idle:
            raise StimulusError(idle)
        texts = self.texts(None)
        if self.max_new_tokens != 16 and self.answers == "auto" and way_for(texts) == "choices":
            raise StimulusError(
                f"max_new_tokens is {self.max_new_tokens}, and the items of {self.items!r} have choices, so nothing is generated. "
                "Leave it out, or read answers from what is generated: answers = 'generated'."
            )

    def _unheard(self) -> str:
        """Which fields about words and styles these items leave nothing to do, in a sentence; nothing where all have."""
        usual = type(self).model_fields
        given = [
            name for name in ("words", "among", "min_letters", "rewriter") if getattr(self, name) != usual[name].default
        ]
        what = "does" if len(given) == 1 else "do"
        if given and self.items not in BENCHMARKS and is_pairs(self.items):
            return f"{join_names(given)} {what} nothing here: {self.items} has its perturbed texts already. Leave out {join_names(given)}."
        unwritten = [kind for kind in self.kinds if kind in REWRITTEN and kind not in ALL]
        if unwritten and not self.rewriter:
            return f"{join_names(unwritten)} is written by a model: name an instruct model with rewriter."
        if self.rewriter and self.kinds and not set(self.kinds) & set(REWRITTEN):
            return f"rewriter does nothing here: it writes {', '.join(REWRITTEN)}, and kinds names none of them. Leave it out."
        edited = [name for name in given if name != "rewriter"]
        if edited and self.kinds and not set(self.kinds) & set(KINDS):
            return f"{join_names(edited)} {what} nothing here: {join_names(self.kinds)} edit no words. Leave {join_names(edited)} out."
        return ""

    @cached_property
    def pilot_data(self) -> ChoosingData:
        """What was looked at before: items, whose prompts are clean texts, or pairs."""
        paired = [name for name in self.pilot if name not in BENCHMARKS and is_pairs(name)]
        found = [pilot_data(pilot_items([n for n in self.pilot if n not in paired], self.options, (self.items,)))]
        found += [pilot_data(pairs(name).pairs) for name in paired]
        return ChoosingData(
            *(frozenset().union(*parts) for parts in zip(*((f.texts, f.groups) for f in found), strict=True))
        )

    def texts(self, lm: LM | None) -> StudyTexts:
        """What is shown; controls need a model, whose tokens they count.

        Raises:
            StimulusError: if the file is malformed, or nothing can be perturbed.
            UnknownName: if there are no such items or kinds.
        """
        check_kinds([kind for kind in self.kinds if kind not in REWRITTEN])
        kinds = self.kinds
        if lm is None and self.rewriter and kinds:  # what is not written yet cannot be shown; the clean texts can
            kinds = tuple(kind for kind in kinds if kind not in REWRITTEN) or ALL
        count = (
            None if lm is None or not self.controls else cache(lambda text: len(lm.tokenize([text], chat="never")[0]))
        )
        write = None if lm is None or self.rewriter is None else writer(self.rewriter, server=self.rewriter_server)
        return load_texts(
            self.items, self.options, write=write, kinds=kinds, severity=Severity(words=self.words),
            choice=Choice(min_letters=self.min_letters, among=frozenset(self.among)), n=self.n_items, seed=self.seed, n_tokens=count,
        )  # fmt: skip

    def first_prompt(self, lm: Any, /) -> Mapping[str, Any] | None:
        pair = self.texts(None).pairs[0]
        return import_module("broca.evidence.first_prompt").of_text(lm, pair.id, pair.perturbed, chat=self.chat)

    def rows_to_capture(self, lm: LM) -> list[tuple[str, str]]:
        """The ids and texts that ``broca perturb capture`` keeps: clean texts, then their variants without controls."""
        texts = self.model_copy(update={"controls": False}).texts(lm)
        rows = [(f"{source_of(pair)}/clean", pair.clean) for pair in texts.clean.values()]
        return rows + [(pair.id, pair.perturbed) for pair in texts.pairs]

    @classmethod
    def option_types(cls, fields: Mapping[str, Any], /) -> tuple[Mapping[str, Any], ...]:
        items = fields.get("items", "sums")
        sources = (items, *fields.get("pilot", ()))
        return tuple(types_of_pairs(n) if n not in BENCHMARKS and is_pairs(n) else types_of_items(n) for n in sources)

    def following(self, call: Call, /) -> Sequence[str]:
        if not self.cases or self.select != "heads":
            heads = {"from_": call.run.path, "items": YOURS, **call.same}
            return [command("lesion", call.setting.model, options=heads)] if "selected" in call.run.masks else []
        asked = {name: value for name, value in call.given.items() if name != "rank"}
        return [command("perturb", call.setting.model, options={**asked, **call.kept_options, "select": "neurons"})]
