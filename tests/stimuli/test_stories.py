from __future__ import annotations

import pytest

from broca.errors import StimulusError
from broca.stimuli.benchmarks import benchmark
from broca.stimuli.contrasts import contrast, length_match
from broca.stimuli.stories import _stories


def test_pain_stories_are_paired_unique_and_matched_in_length():
    found = contrast("pain")
    assert found.paired
    assert len(found.positive) == len(found.negative) >= 32
    assert len({s.text for s in (*found.positive, *found.negative)}) == 2 * len(found.positive)
    for one, other in zip(found.positive, found.negative, strict=True):
        assert one.group == other.group
        assert abs(len(one.text.split()) - len(other.text.split())) <= 4
    for measure in length_match(found).measures:
        assert abs(measure.percent) < 2
        assert measure.p > 0.2


def test_belief_stories_are_a_contrast_and_two_benchmarks_over_the_same_prompts():
    found = contrast("belief")
    beliefs, photographs = benchmark("belief-stories"), benchmark("photograph-stories")
    assert len(found.positive) + len(found.negative) == len(_stories("belief.jsonl").rows)
    assert [s.text for s in found.positive] == [item.prompt for item in beliefs]
    assert [s.text for s in found.negative] == [item.prompt for item in photographs]
    assert {item.ability for item in beliefs} == {"belief-stories"}
    assert {item.ability for item in photographs} == {"photograph-stories"}
    assert all(item.prompt.endswith("\nAnswer:") and "\nQuestion: " in item.prompt for item in beliefs)
    assert found.paired
    assert [s.group for s in found.positive] == [s.group for s in found.negative]
    assert [s.id for s in found.positive] == [item.id for item in beliefs]


def test_the_first_n_of_the_written_stories():
    assert contrast("pain", n=5).positive == contrast("pain").positive[:5]
    assert benchmark("belief-stories", n=3) == benchmark("belief-stories")[:3]
    assert len(contrast("belief", n=4).negative) == 4


@pytest.mark.parametrize("name", ["pain", "belief"])
def test_more_stories_than_there_are(name):
    with pytest.raises(StimulusError, match=r"9999 .* were asked for, and there are \d+\. Ask for fewer"):
        contrast(name, n=9999)
