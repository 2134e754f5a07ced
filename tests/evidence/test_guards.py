"""Guards on interventions whose effect is known."""

from __future__ import annotations

from contextlib import contextmanager

import torch

import zoo
from broca.evidence import guards
from broca.interventions.pattern import PatternPatch, carried_patterns
from broca.items import Item
from broca.models import hooks
from broca.scoring import Generation, Likelihood, Permuted

TEXT, OTHER = "ab cd ef? gh", "ab dc ef? gh"


class Returned:
    """Attention patching as Error Mech Analysis published it: the attentions are edited in what the model returns."""

    fingerprint, reads_prompt = "published", False

    @contextmanager
    def apply(self, lm):
        def edit(output):
            assert output.attentions
            output.attentions = tuple(torch.roll(each, 1, -1) for each in output.attentions)

        with hooks.add_arguments(lm.model, edit, output_attentions=True):
            yield None


def test_the_effect_guard_catches_attention_patching_that_comes_too_late():
    lm = zoo.lm("gemma2", attention="eager")
    source, target = lm.tokenize([TEXT]), lm.tokenize([OTHER])
    guard = guards.effect(lm, Returned(), target)
    assert guard.state == "marked"
    assert "no-op" in guard.text
    identity = [tuple((i,) for i in range(len(source[0])))]
    patterns = carried_patterns(lm, source, target, identity, [((5, 12), (5, 12))])
    assert guards.effect(lm, PatternPatch(patterns), target).state == "passed"


def test_how_choices_were_joined_is_said():
    lm = zoo.lm("llama")
    items = [Item(str(i), prompt, ("A", "B"), 0) for i, prompt in enumerate(("Answer:", "It is", "Answer: (", "Q:\n"))]
    for scorer in (Likelihood(), Permuted(Likelihood())):
        (guard,) = guards.joins(lm, items, scorer)
        assert (guard.name, guard.state) == ("join", "passed")
        assert (
            guard.text
            == "Choices joined to their prompts with a space 4, with nothing 2, with white space of their own 2."
        )
    (given,) = guards.joins(lm, items[:1], Likelihood(join="\n"))
    assert given.text.endswith("with a space 0, with nothing 0, with what was given 2.")
    assert guards.joins(lm, items, Generation()) == ()


def test_choices_of_which_some_follow_white_space_are_marked():
    (guard,) = guards.joins(zoo.lm("llama"), [Item("0", "คำตอบคือ", ("ดี", "Paris"), 0)], Likelihood())
    assert guard.state == "marked"
    assert "Of 1 items some choices stand behind white space" in guard.text
