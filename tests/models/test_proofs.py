"""What a model passed here before is not proved again; and nothing but that very model, code and machine is taken for it."""

from __future__ import annotations

import pytest
import torch

import zoo
from broca.items import Item
from broca.models import continuation, limits, proofs
from broca.models.lm import LM
from broca.scoring import Likelihood
from broca.storage.user_cache import VARIABLE

ITEMS = [Item(f"q{i}", f"the x number {i} is{' a' * (i % 3)}", (" b", " c and"), i % 2) for i in range(6)]


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Makes the same model anew, and counts what is proved."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    monkeypatch.setattr(proofs, "LEAST", 0)
    monkeypatch.setattr(continuation, "_prove", counted := Counter(continuation._prove))
    return lambda: LM.wrap(zoo.build("llama", positions=1024), zoo.tokenizer()), counted


class Counter:
    def __init__(self, does):
        self.does, self.n = does, 0

    def __call__(self, *args):
        self.n += 1
        return self.does(*args)

    def of(self, lm) -> tuple[int, object]:
        """How many proofs scoring takes, and the scores."""
        before = self.n
        found = Likelihood()(lm, ITEMS)
        return self.n - before, found


def test_the_same_model_is_proved_once_and_scores_the_same(made):
    make, counted = made
    first, scores = counted.of(make())
    again, same = counted.of(make())
    assert (first, again) == (1, 0)
    assert scores.equals(same)


def nudge(lm):
    with torch.no_grad():
        lm.model.lm_head.weight[3, 3] += 1e-3


def configure(lm):
    lm.model.config.rms_norm_eps *= 2


def hook(lm):
    lm.model.model.layers[0].register_forward_hook(lambda _m, _a, out: out)


@pytest.mark.parametrize("change", [nudge, configure, hook], ids=lambda each: each.__name__)
def test_another_model_is_proved_anew(change, made):
    make, counted = made
    counted.of(make())
    other = make()
    change(other)
    assert counted.of(other)[0] == 1


def test_other_code_versions_or_texts_prove_anew(made, monkeypatch):
    make, counted = made
    counted.of(make())
    here = proofs._here()
    monkeypatch.setattr(proofs, "_here", lambda: [*here[:-1], "another line"])
    assert counted.of(make())[0] == 1
    monkeypatch.setattr(proofs, "_here", lambda: here)
    longer = [Item("long", "the x number 3 is a " * 9, (" b", " c and"), 0), *ITEMS]
    before = counted.n
    Likelihood()(make(), longer)
    assert counted.n == before + 1


def test_a_damaged_file_proves_anew_and_is_mended(made, tmp_path):
    make, counted = made
    counted.of(make())
    (file,) = (each for each in (tmp_path / "proofs").iterdir() if b"shared prompts" in each.read_bytes())
    for damage in (
        b"",
        file.read_bytes()[:-1],
        file.read_bytes() + b" ",
        file.read_bytes().replace(b"llama", b"lamma"),
    ):
        file.write_bytes(damage)
        assert counted.of(make())[0] == 1
        assert counted.of(make())[0] == 0


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(made, tmp_path):
    make, counted = made
    (tmp_path / "proofs").write_text("a file")
    assert counted.of(make())[0] == 1
    assert counted.of(make())[0] == 1


def test_what_a_model_does_not_pass_is_never_remembered(made, monkeypatch, tmp_path):
    make, counted = made
    monkeypatch.setattr(continuation, "_TOLERANCE", {torch.float32: -1.0})
    for _ in range(2):
        lm = make()
        assert counted.of(lm)[0] == 1
        assert any("does not give one text's own answer" in note for note in lm.notes)
    assert not any(b"shared prompts" in each.read_bytes() for each in tmp_path.rglob("proofs/*"))


def test_it_is_proved_again_where_that_is_asked_for(made):
    make, counted = made
    counted.of(make())
    lm = make()
    proofs.prove_again(lm.model)
    assert counted.of(lm)[0] == 1


def test_small_models_are_proved_each_time(made, monkeypatch, tmp_path):
    make, counted = made
    monkeypatch.setattr(proofs, "LEAST", 50_000_000)
    assert [counted.of(make())[0] for _ in range(2)] == [1, 1]
    assert not (tmp_path / "proofs").exists()


def test_that_padding_moves_nothing_is_remembered_and_that_it_does_is_not(made, monkeypatch):
    make, _ = made
    monkeypatch.setattr(limits, "_shift", shifted := Counter(lambda _lm, side: 2e-3 if side == "right" else 1e-6))
    for tried in (2, 1, 1):
        before, lm = shifted.n, make()
        assert [limits.pads(lm, "left"), limits.pads(lm, "right")] == [True, False]
        assert [limits.shift(lm, "left"), limits.shift(lm, "right")] == [0.0, 2e-3]
        assert shifted.n - before == tried
        assert "Padding on the right moves this model's logits by up to 0.002" in "".join(lm.notes)
