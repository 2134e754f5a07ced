"""The ledger: claims share the level, what was tried is written, and what chose is left out of what tests."""

from __future__ import annotations

import pytest

import zoo
from broca.evidence.ledger import chosen_groups, group_digest, group_digests, look
from broca.evidence.overlap import ChoosingData, without_choosing
from broca.instruments.lesion.spec import CausalTest
from broca.instruments.localize.spec import Localize
from broca.items import Contrast, Item, Stimulus
from broca.runs.formats import plain
from broca.stats.stopping import stopping_rule
from broca.units import UnitMask

HEAD = UnitMask.of({"1.z": [2]}, n=4, grain="head")


def asked(n=12, ability="places"):
    return [
        Item(str(i), f"where is {'abcdefghijkl'[i]}?", ("box", "bag"), i % 2, ability, f"g{i // 2}") for i in range(n)
    ]


@pytest.mark.parametrize(("claims", "draws", "twins"), [(1, 200, 19), (2, 200, 39), (5, 500, 99), (10, 1000, 199)])
def test_draws_and_twins_rise_with_the_claims(claims, draws, twins):
    spec = CausalTest(selection=HEAD, claims=claims)
    assert spec.enough_draws(200) == draws
    assert spec.enough_twins(19) == twins
    assert stopping_rule(spec.level, draws=spec.enough_draws(19)).limit == 1
    assert spec.enough_draws(0) == spec.enough_twins(0) == 0
    assert spec.enough_twins(5) == 5


def test_the_localizer_of_a_test_shares_its_level():
    spec = CausalTest(localizer=Localize(contrast="pain", claims=7), claims=2)
    assert [each.claims for each in spec.every_localizer] == [2]


def test_items_that_chose_are_left_out_by_text_and_by_group_and_counted():
    items = asked()
    data = ChoosingData(frozenset({items[0].prompt}), frozenset({group_digest("g2")}))
    found = without_choosing({"places": items, "things": asked(2, "things")}, data)
    assert [item.id for item in found.abilities["places"]] == ["1", "2", "3", "6", "7", "8", "9", "10", "11"]
    assert [item.id for item in found.abilities["things"]] == ["1"]
    assert (found.dropped, found.used) == (4, ())
    assert found.reason("places") is None


def test_an_ability_of_which_every_item_chose_is_kept_and_decides_nothing():
    items = asked(4)
    found = without_choosing({"places": items}, ChoosingData(groups=frozenset(group_digests(items))))
    assert (found.abilities["places"], found.dropped, found.used) == (tuple(items), 0, ("places",))
    assert "Every item of places helped to choose" in str(found.reason("places"))


def test_a_look_counts_each_value_once():
    assert look("percentages", (1.0, 5.0, 1.0)).values == ("1", "5")
    assert look("percentages", (5.0, 1.0)).claim == "5"
    assert look("localizers", ()) is None


@pytest.fixture(scope="module")
def lm():
    return zoo.lm("llama", positions=1024)


@pytest.fixture
def files(lm, tmp_path):
    """Items that the random model answers, of two abilities."""
    import polars as pl

    from broca.scoring import Likelihood

    words = [f"{a}{b}" for a in "bcdfgh" for b in "aeiou"]
    made = [Item(str(i), f"where is {word}?", ("box", "bag"), 0) for i, word in enumerate(words)]
    said = Likelihood()(lm, made)["predicted"].to_list()
    rows = [
        {"id": item.id, "prompt": item.prompt, "choices": "box|bag", "answer": item.choices[p], "group": f"g{i}",
         "ability": ("places", "things")[i % 2], "rewording": f"tell me where {word} is"}
        for i, (item, p, word) in enumerate(zip(made, said, words, strict=True))
    ]  # fmt: skip
    pl.DataFrame(rows).write_csv(tmp_path / "items.csv")
    return rows, str(tmp_path / "items.csv")


def contrast_of(prompts):
    return Contrast(
        "where",
        tuple(Stimulus(f"p{i}", text) for i, text in enumerate(prompts)),
        tuple(Stimulus(f"n{i}", f"the y number {i} is {chr(97 + i)}") for i in range(len(prompts))),
    )


def lesion(lm, shown, path):
    spec = CausalTest(
        localizer=Localize(contrast=contrast_of(shown), sites="*.mlp_act", permutations=0), items=path, percent=10,
        doses=(20.0,), sides=("top", "bottom"), draws=19, dose_draws=0, fills=("zero",), sizes=(), gate="mark", n_bootstrap=50,
    )  # fmt: skip
    return spec.run(lm)


def test_a_localizer_is_tested_on_items_that_it_was_not_shown(lm, files):
    rows, path = files
    shown = [row["prompt"] for row in rows[:7]]
    found = lesion(lm, [*shown, "something else"], path)
    assert not set(found.prompts["prompt"]) & set(shown)
    assert found.prompts.height == len(rows) - 7
    (choice,) = found.ledger.choices
    assert (choice.what, choice.on, choice.dropped, choice.apart) == (
        "the units",
        "the texts of the contrast where",
        7,
        True,
    )
    assert any("7 items left out" in text for text in found.warnings)
    assert {each.what: each.values for each in found.ledger.looks} == {
        "localizers": ("where",), "sites": ("*.mlp_act",), "sides": ("top", "bottom"), "percentages": ("10", "20"),
        "sizes": ("1",), "fills": ("zero",),
    }  # fmt: skip


def test_where_every_item_was_shown_nothing_is_decided(lm, files):
    rows, path = files
    found = lesion(lm, [row["prompt"] for row in rows], path)
    assert found.prompts.height == len(rows)
    assert found.verdict["causal"].state == found.verdict["specific"].state == "undecided"
    assert "Every item of places helped to choose what is tested on it" in found.verdict["causal"].text
    assert found.ledger.choices[0].apart is False


def test_a_pilot_tests_nothing_and_is_counted(lm, files, tmp_path):
    """By group and by text; and where it is all that there is, nothing is decided."""
    import polars as pl

    rows, path = files
    few = [rows[0], rows[3] | {"group": "elsewhere"}, {**rows[5], "prompt": "something else", "id": "1"}]
    pl.DataFrame(few).write_csv(tmp_path / "pilot.csv")

    def test(*pilot):
        return CausalTest(
            selection=HEAD, items=path, pilot=pilot, draws=19, fills=("zero",), gate="mark", n_bootstrap=50
        )

    some, all_of_it = (test(name).run(lm) for name in (str(tmp_path / "pilot.csv"), path))
    assert set(some.prompts["prompt"]) == {row["prompt"] for row in rows} - {rows[i]["prompt"] for i in (0, 3, 5)}
    given, beforehand = some.ledger.choices
    assert (given.dropped, beforehand.dropped, beforehand.apart) == (0, 3, True)
    assert beforehand.on == f"the pilot items {tmp_path / 'pilot.csv'}"
    assert any("3 items left out" in text for text in some.warnings)
    assert "helped to choose" not in some.verdict["causal"].text
    assert all_of_it.ledger.choices[-1].apart is False
    for name in ("causal", "specific"):
        assert all_of_it.verdict[name].state == "undecided"
        assert "Every item of places helped to choose what is tested on it" in all_of_it.verdict[name].text
    prints = test(str(tmp_path / "pilot.csv")).data_fingerprints()
    assert prints.keys() - test().data_fingerprints().keys() == {"pilot"}


def test_a_ledger_says_to_a_later_test_which_groups_chose(lm, files):
    _, path = files
    from broca.evidence.ledger import DataChoice, Ledger

    spec = CausalTest(selection=HEAD, items=path)
    made = Ledger.of(spec, [], [DataChoice("the heads", "some", "others", apart=True, groups=group_digests(asked(4)))])
    assert chosen_groups(plain(made)) == tuple(sorted(map(group_digest, ("g0", "g1"))))
    assert chosen_groups(None) == ()
