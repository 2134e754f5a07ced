"""The method section says what the spec says, and leaves nothing out."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from broca.instruments import INSTRUMENTS
from broca.instruments.circuit import method as circuit_method
from broca.instruments.circuit import run as circuit
from broca.instruments.direction import method as direction_method
from broca.instruments.direction import run as direction
from broca.instruments.probe import findings as probe_findings
from broca.page.words import leaves
from broca.reports.method import fields_without_words, method_text
from broca.reports.works import references
from broca.specs.method import Choices, Sentence
from reports.synthetic import parts


def written(kind, **more):
    values = parts(kind=kind)
    study = values["spec"]["study"] | more
    return study, values["result"], " ".join(method_text(study, values["result"]))


def test_a_localizer_in_words():
    _, _, text = written("localize")
    for words in ("“belief”: 40 positive against 40 negative", "*.resid_post", "last token", "Welch’s t (Welch, 1947)",
                  "false discovery rate held at 0.05", "with the largest t over all layers were selected"):  # fmt: skip
        assert words in text
    assert "esion" not in text


def test_a_causal_test_in_words():
    _, _, text = written("causal")
    for words in ("held at zero", "claim is about 1 %", "20 random draws (5 at each further dose)",
                  "at most 20", "matched on layer and size", "beliefs/false-belief", "likelihood", "Fisher, 1935",
                  "2,000 bootstrap samples"):  # fmt: skip
        assert words in text


@pytest.mark.parametrize(
    ("kind", "result", "words"),
    [
        ("probe", {}, ["the question's last token, then the mean over a statement's tokens, then the mean over heads, divided by",
                       "8 nearest neighbours weighted by distance (Euclidean) in 5 folds", "at most 19 random initialisations",
                       "p counts 200 shuffles", "2,000 bootstrap samples of theories"]),
        ("sensitivity", {"selection": {"mask_fraction": 0.032, "n_scored": 18, "n_fractions": 2, "n_choice": 4, "n_tested": 18}},
         ["scored by the sum of its squared gradients over 18 samples (the negative log-probability of the right answer)",
          "Of each matrix the share", "as large a share of those that plain ranks first", "share 0.032 was chosen from 2 fractions on 4 items",
          "within 1.05 times", "tested on 18 items that neither", "Perplexities are of further texts of plain"]),
        ("perturb", {"task": {"texts": 120, "controls": 118, "turned": 85, "used": 60, "counted": 59, "spared": 0.65, "agreement": "It agrees."}},
         ["120 texts of sums were asked clean", "118 valid controls", "Of 85 answers that turned, 60 were patched (59 had lost",
          "spared 65% of the work", "It agrees."]),
        ("direction", {}, ["At *.resid_post, read at the last token", "difference between the means", "chosen among 6 layers", "doses −6, −4, −2",
                           "at most 1.05 times", "over 8 texts", "at most 39 random directions", "with 19 of the same norm alone"]),
        ("circuit", {"pairs": {"chose": 24, "tested": 20, "edges": 110, "margin": 9.25, "margin_patched": -8.5},
                     "graph": {"heads": 4, "groups": 2, "norm_behind_heads": False}},
         ["24 pairs of ioi chose the circuit, and 20", "9.25 in the model, -8.50 with all 110 edges patched", "not one a head as in MIB"]),
        ("circuit", {}, ["the run of a text with another right answer", "at 5 points (midpoint rule)", "that alone keeps 80% of the margin",
                         "at most 200 random circuits"]),
    ],
)  # fmt: skip
def test_every_instrument_writes_its_method_by_its_fields(kind, result, words):
    study = INSTRUMENTS[kind]().model_dump(mode="json")
    text = " ".join(method_text(study, result))
    assert [each for each in words if each not in text] == []


@pytest.mark.parametrize(
    ("kind", "fields", "citations"),
    [
        *(("circuit", {"method": how}, (*circuit.CITATIONS, *circuit.OF_ACTIVATIONS)) for how in circuit_method.METHODS),
        *(("direction", {"method": how}, (*direction.OWN, "Phipson & Smyth (2010)")) for how in direction_method.METHODS),
        ("probe", {}, probe_findings.CITATIONS),
    ],
)  # fmt: skip
def test_each_work_that_a_method_names_is_cited(kind, fields, citations):
    study = INSTRUMENTS[kind]().model_dump(mode="json") | fields
    named = re.findall(r"(\w+) (?:et al\.|& \w+)?,? ?(\d{4})\)", " ".join(method_text(study, {})))
    lines = [*references(" ".join(method_text(study, {})), ()), *citations]
    assert named
    assert [work for work in named if not any(work[0] in line and work[1] in line for line in lines)] == []


def test_a_method_keeps_silent_about_what_was_not_done():
    probe = INSTRUMENTS["probe"](twins=0, permutations=0, pooling="llama-code").model_dump(mode="json")
    text = " ".join(method_text(probe, {}))
    assert "the maximum over the question's tokens" in text
    assert not [words for words in ("random initialisation", "shuffles") if words in text]
    perturb = INSTRUMENTS["perturb"](cases=0, kinds=("delete",)).model_dump(mode="json")
    text = " ".join(method_text(perturb, {"task": {}}))
    assert "Kinds of perturbation: delete." in text
    assert not [words for words in ("patched", "controls") if words in text]


def test_claims_that_share_the_level_are_told_with_the_draws_that_they_take():
    values = parts(kind="causal")
    study, result = values["spec"]["study"] | {"claims": 5}, values["result"]
    result = result | {"ledger": {"claims": 5, "level": 0.01, "draws": 500, "twins": 0}}
    words = "5 claims share the level, so that this one was tested at 0.01, with at most 500 draws."
    assert words in " ".join(method_text(study, result))
    assert "claims" not in dict(fields_without_words(study, result))
    assert "share the level" not in " ".join(method_text(study | {"claims": 1}, result))


def test_dead_units_are_counted_once_there_are_any():
    values = parts(kind="localize")
    assert "Of the 1,152 units, 12 never varied" in " ".join(method_text(values["spec"]["study"], values["result"]))
    values["result"]["selection"]["n_dead"] = 0
    assert "None of the 1,152 units was dead" in " ".join(method_text(values["spec"]["study"], values["result"]))


def test_the_localizers_alpha_is_not_the_tests():
    study, result, _ = written("causal", alpha=0.2)
    assert "held at 0.05" in " ".join(method_text(study, result))
    assert ("alpha", "0.2") in fields_without_words(study, result)


def test_every_field_is_in_the_words_or_in_the_table():
    study, result, _ = written("causal", brand_new={"thing": 7})
    told = dict(fields_without_words(study, result))
    assert told["brand_new.thing"] == "7"
    assert "localizer.select.ties" in told
    known = {name for name, _ in leaves(study)}
    assert set(told) < known
    assert "localizer.pool" not in told


def test_the_whole_document_is_taken_too():
    study, result, _ = written("localize")
    assert method_text({"study": study, "model": {}}, result) == method_text(study, result)


def test_a_spec_of_an_unknown_kind_is_a_table():
    assert method_text({"kind": "other", "x": 1}, {}) == []
    assert fields_without_words({"kind": "other", "x": 1}, {}) == [("x", "1")]


@pytest.mark.parametrize("kind", list(INSTRUMENTS))
def test_each_sentence_of_a_field_has_words_for_what_is_usual(kind):
    fields = INSTRUMENTS[kind].model_fields
    usual = {name: field.get_default(call_default_factory=True) for name, field in fields.items()}
    usual |= {"localizer": {"kind": "localize"}} if "localizer" in usual else {}
    for name, field in fields.items():
        for sentence in (each for each in field.metadata if isinstance(each, Sentence)):
            words = sentence.words
            said = words(usual[name], Choices(usual, {})) if callable(words) else words
            assert isinstance(said, str) or set(said) == set(get_args(field.annotation))


def test_what_has_no_words_stands_in_the_table():
    study, result, text = written("localize", pool=["by", "hand"], sinks="three")
    assert "summarised" not in text
    assert {"pool", "sinks"} <= dict(fields_without_words(study, result)).keys()


def test_a_value_as_long_as_a_mask_is_cut():
    ((_, value),) = fields_without_words({"kind": "causal", "selection": {"units": list(range(5000))}}, {})
    assert len(value) < 200
    assert "spec.toml" in value


def test_a_work_is_cited_once():
    cited = references("by t (Welch, 1947)", ["Welch (1947), Biometrika 34:28-35.", "Field (2007).", "Field (2007)."])
    assert len(cited) == 2
    assert cited[0].startswith("Welch, B. L. (1947)")
