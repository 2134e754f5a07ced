"""The study of perturbations at its edges: nothing compared, nothing lost enough, too large a choice, chats, generated answers."""

from __future__ import annotations

import copy
import json
import re
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from tests.zoo import lm as tiny
from tests.zoo import tokenizer

from broca.cache.cache import no_cache, silent
from broca.errors import SpecError, StimulusError
from broca.instruments.perturb.answers import ANSWERS, answers
from broca.instruments.perturb.blocks import best_patches, blocks
from broca.instruments.perturb.cases import flipped_pairs
from broca.instruments.perturb.patterns import _rows_to_replace
from broca.instruments.perturb.probes import PROBES
from broca.instruments.perturb.spec import Perturb
from broca.instruments.perturb.stimuli import StudyTexts, source_of
from broca.instruments.perturb.summary import gate
from broca.instruments.perturb.tables import RECOVERY
from broca.interventions.patching import Cell, patch_grid
from broca.items import Item
from broca.models.lm import LM
from broca.page.blocks import Table, every
from broca.reports.build import report
from broca.runs import run
from broca.runs.record import read_record
from broca.sites import Site
from broca.stimuli.edits import edits_between


@pytest.fixture(scope="module")
def lm() -> LM:
    return tiny("llama")


@pytest.fixture(scope="module")
def items(lm, tmp_path_factory) -> str:
    return close(lm, tmp_path_factory.mktemp("items"))


def close(lm: LM, folder: Path) -> str:
    """Questions whose two choices a random model finds nearly alike, the better one right: any typo may turn them."""
    letters = [lm.tokenizer.convert_tokens_to_ids(letter) for letter in "abcdefghijklmnopqrstuvwxyz"]
    rows = []
    for i in range(30):
        prompt = f"Would the {('heavy', 'little', 'purple')[i % 3]} {('bucket', 'garden')[i % 2]} numbered {i} fit so"
        with torch.no_grad():
            logits = lm.next_logits(next(lm.batches(lm.tokenize([f"{prompt} "]))))[0]
        order = sorted(letters, key=lambda token: -float(logits[token]))
        pair = min(pairwise(order), key=lambda two: float(logits[two[0]] - logits[two[1]]))
        rows.append({"id": str(i), "prompt": prompt, "choices": lm.tokenizer.convert_ids_to_tokens(pair), "answer": 0,
                     "group": f"wording {i % 6}"})  # fmt: skip
    path = folder / "close.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return str(path)


def spec(items: str, **fields: object) -> Perturb:
    given = {"kinds": ("delete", "transpose"), "n_items": 30, "compare": 2, "cases": 24, "draws": 19, "twins": 0, "n_bootstrap": 50,
             "threshold": 0.0, "controls": False, "patterns": "none", "rank": "estimated"}  # fmt: skip
    return Perturb(items=items, **{**given, **fields})


@pytest.mark.parametrize("fields", [{"compare": 0}, {"threshold": 90.0, "patterns": "layers"}, {"cases": 0}])
def test_a_page_is_made_where_tables_are_empty(lm, items, tmp_path, fields):
    page = report(run(spec(items, **fields), lm, tmp_path / "run").path).read_text(encoding="utf-8")
    assert "What each kind of perturbation costs" in page
    assert not re.search(r">\s*(nan|None)\s*<", page)


def test_probes_have_their_table_on_the_page(lm, items, tmp_path):
    path = run(spec(items, cases=0, compare=0), lm, tmp_path / "run").path
    row = {"kind": "delete", "site": "1.resid_post", "point": "answer", "pairs": 9, "groups": 9, "accuracy": 0.625, "token": 0.5,
           "text": 0.5, "count": 0.5, "gain": 0.125}  # fmt: skip
    rows = [row | {"split": "wording"}, row | {"split": "rows", "accuracy": 0.75, "gain": 0.25}]
    record = read_record(path)
    tables = {**record.tables, "probes": pl.DataFrame(rows, schema=PROBES)}
    shown = every(blocks(replace(record, tables=tables)))
    (table,) = [block for block in shown if isinstance(block, Table) and block.title == "Probes"]
    at = [column.title for column in table.columns].index("accuracy")
    assert [row[at] for row in table.rows] == [0.625]


def test_a_choice_of_nearly_all_has_nothing_random_beside_it(lm, items):
    made = spec(items, percent=90.0).run(lm)
    rung = made.verdict["causal"]
    assert rung.state == "undecided"
    assert "Of 11 distinct random choices" in rung.text
    assert rung.text.endswith("Undecided: 11 random choices cannot give p ≤ 0.05: choose another number of heads.")


def test_few_wordings_leave_a_rung_untested_and_the_others_standing(lm, items):
    verdict = spec(items, compare=0).run(lm).verdict
    states = {rung.name: rung.state for rung in verdict.rungs}
    assert states == {"selective": "undecided", "reliable": "failed", "learned": "not tested", "causal": "failed",
                      "specific": "undecided"}  # fmt: skip
    assert "at least 6" in verdict["selective"].text


def test_a_negative_seed_is_refused():
    with pytest.raises(SpecError, match=r"seed is -1. Give 0 or more."):
        Perturb(seed=-1)


def test_units_that_a_model_does_not_have_are_said_to_be_missing(tmp_path):
    experts = tiny("mixtral")
    made = spec(close(experts, tmp_path), compare=0, select="neurons").run(experts)
    assert made.task["used"] >= 20
    assert all(rung.state == "not tested" and "no neurons" in rung.text for rung in made.verdict.rungs)


def test_in_a_chat_the_template_behind_the_text_belongs_to_the_answer(items):
    """What predicts the answer is the template's last token, so all that reaches the output stands there after the last layer."""
    lm = LM.wrap(tiny("llama").model, copy.deepcopy(tokenizer()), name="chat")
    lm.tokenizer.chat_template = "{% for m in messages %}Q: {{ m['content'] }}{% endfor %} A: "
    asked = spec(items, chat="always", compare=0)
    texts = asked.texts(lm)
    found = answers(lm, texts, "choices", chat="always", max_new_tokens=1, cache=no_cache, progress=silent)
    cases, _ = flipped_pairs(lm, texts, found, way="choices", chat="always", most=8, seed=0)
    assert cases
    for one in cases:
        places = one.case.places["answer"]
        assert (places[0][-1], places[1][-1]) == (len(one.case.donor) - 1, len(one.case.run) - 1)
    last = Site(lm.anatomy.n_layers - 1, "resid_post")
    patched = patch_grid(lm, [one.case for one in cases], [Cell("answer", {last: None})])
    np.testing.assert_allclose(patched.restoration[:, 0], patched.lost, atol=1e-4)


def test_what_was_generated_is_forced_as_it_was_said(lm, items):
    """No space is put between a prompt and a completion, where items have choices too."""
    texts = spec(items).texts(lm)
    answers = asked_in_turn(texts, ("x9", "y9"))
    cases, left = flipped_pairs(lm, texts, answers, way="generated", chat="auto", most=4, seed=0)
    assert left.used == 4
    letters = {lm.tokenizer.convert_ids_to_tokens(one.case.right) for one in cases}
    assert letters == {"x"}
    assert [one.case.run.ids for one in cases] == [lm.tokenize([one.pair.perturbed])[0].ids for one in cases]
    rows = [_rows_to_replace(one) for one in cases]
    assert all(len(queries[0]) == len(queries[1]) >= 1 for _, queries in rows)


def asked_in_turn(texts: StudyTexts, said: tuple[str, str]) -> pl.DataFrame:
    """Every clean text answered by the first, every variant by the second."""
    clean = [
        {"id": name, "source": name, "kind": "clean", "of": "", "group": "", "gold": said[0], "said": said[0],
         "correct": True, "unparsed": False}
        for name in texts.clean
    ]  # fmt: skip
    varied = [
        clean[0] | {"id": pair.id, "source": source_of(pair), "kind": pair.kind, "said": said[1], "correct": False}
        for pair in texts.pairs
    ]
    return pl.DataFrame([*clean, *varied], schema=ANSWERS)


def test_pairs_that_a_tokenizer_takes_for_the_same_are_one_case(lm, items):
    texts = spec(items, kinds=("homoglyph", "zero-width"), among=("would", "Would"), n_items=8).texts(lm)
    pair = texts.pairs[0]
    double = replace(pair, id=pair.id.replace(pair.kind, "other"), kind="other", perturbed=pair.clean.replace("o", "\u043e", 1),
                     edits=edits_between(pair.clean, pair.clean.replace("o", "\u043e", 1)))  # fmt: skip
    again = replace(double, id=pair.id.replace(pair.kind, "third"), kind="third", perturbed=pair.clean.replace("o", "\u03bf", 1),
                    edits=edits_between(pair.clean, pair.clean.replace("o", "\u03bf", 1)))  # fmt: skip
    both = replace(texts, pairs=(double, again))
    cases, _ = flipped_pairs(lm, both, asked_in_turn(both, ("x9", "y9")), way="generated", chat="auto", most=4, seed=0)
    assert len(cases) == 1


def test_items_with_pictures_are_refused(lm, tmp_path, monkeypatch):
    pictured = [Item("1", "Is the heavy bucket full?", ("yes", "no"), 0, images=("a.png",))]
    monkeypatch.setattr(sys.modules[StudyTexts.__module__], "benchmark", lambda *_args, **_options: pictured)
    with pytest.raises(StimulusError, match="pictures"):
        spec("sums").run(lm)


def test_places_that_no_case_has_are_left_out_of_what_restores_most(lm, items):
    made = spec(items, kinds=("delete",), among=("would", "Would"), compare=0).run(lm)
    found = best_patches(RECOVERY.read(made.recovery, "recovery"))
    assert found is not None
    (table,) = found.blocks
    assert isinstance(table, Table)
    shares = [row[3] for row in table.rows]
    assert shares
    assert None not in shares


def test_where_all_answers_are_alike_no_other_run_is_lent(lm, items, tmp_path):
    rows = [json.loads(line) for line in Path(items).read_text().splitlines()]
    common = max({row["choices"][0] for row in rows}, key=lambda first: sum(row["choices"][0] == first for row in rows))
    alike = tmp_path / "alike.jsonl"
    alike.write_text("\n".join(json.dumps(row) for row in rows if row["choices"][0] == common))
    made = spec(str(alike), compare=0, kinds=("delete", "transpose", "case", "insert", "substitute", "duplicate")).run(
        lm
    )
    assert made.task["used"] >= 2
    assert set(made.recovery["donor"]) == {"own", "elsewhere"}
    assert "another text" not in made.claim


def test_chance_is_that_of_choices_only_where_choices_are_asked(lm, items):
    texts = spec(items).texts(lm)
    answers = asked_in_turn(texts, ("x", "y")).with_columns(correct=pl.int_range(pl.len()) % 3 == 0)
    assert gate(answers, texts, "choices").state == "marked"
    assert gate(answers, texts, "generated").state == "passed"
