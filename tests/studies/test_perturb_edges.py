"""The study of perturbations at its edges: nothing compared, nothing lost enough, too large a choice, chats, generated answers."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import polars as pl
import pytest
import torch
from pydantic import ValidationError
from tests.zoo import lm as tiny

from broca.models.lm import LM
from broca.reports.build import report
from broca.reports.perturbed import section
from broca.reports.record import read_record
from broca.runs import run
from broca.studies.perturb import Perturb
from broca.studies.perturb.probes import PROBES


@pytest.fixture(scope="module")
def lm() -> LM:
    return tiny("llama")


@pytest.fixture(scope="module")
def items(lm, tmp_path_factory) -> str:
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
    path = tmp_path_factory.mktemp("items") / "close.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return str(path)


def spec(items: str, **fields: object) -> Perturb:
    given = {"kinds": ("delete", "transpose"), "n": 30, "compare": 2, "cases": 24, "draws": 19, "twins": 0, "n_bootstrap": 50,
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
    shown = section(type(record)(record.path, record.manifest, record.study, record.model, record.result, tables, {}))
    assert [each["accuracy"] for each in shown["probes"]] == [0.625]


def test_a_choice_of_nearly_all_has_nothing_random_beside_it(lm, items):
    made = spec(items, percent=90.0).run(lm)
    rung = next(rung for rung in made.verdict.rungs if rung.name == "causal")
    assert rung.state == "not tested"
    assert "percent = 90 leaves too few heads" in rung.text


def test_few_wordings_leave_a_rung_untested_and_the_others_standing(lm, items):
    rungs = {rung.name: rung for rung in spec(items, compare=0).run(lm).verdict.rungs}
    assert rungs["selective"].state == "not tested"
    assert "at least 6" in rungs["selective"].text
    assert {rungs[name].state for name in ("causal", "specific")} <= {"passed", "failed"}


def test_a_negative_seed_is_refused():
    with pytest.raises(ValidationError, match="seed"):
        Perturb(seed=-1)
