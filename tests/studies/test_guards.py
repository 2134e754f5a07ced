"""Guards on interventions whose effect is known."""

from __future__ import annotations

from contextlib import contextmanager

import torch

import zoo
from broca.interventions.pattern import PatternPatch, carried_patterns
from broca.models import hooks
from broca.studies import guards

TEXT, OTHER = "ab cd ef? gh", "ab dc ef? gh"


class Returned:
    """Attention patching as Error Mech Analysis published it: the attentions are edited in what the model returns."""

    fingerprint, reads_prompt = "published", False

    @contextmanager
    def applied(self, lm):
        def edit(output):
            assert output.attentions
            output.attentions = tuple(torch.roll(each, 1, -1) for each in output.attentions)

        with hooks.asked(lm.model, edit, output_attentions=True):
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
