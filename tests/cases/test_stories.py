"""What users met, one story a test: a model that would not load, a run that was another's, words cut at their accents.

Passes, decoding, compilation and padding have a file of their own, as have the limits of what a model can be shown.
"""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch

import broca
import zoo
from broca.cli import main
from broca.instruments.lesion.spec import CausalTest
from broca.instruments.localize.spec import Localize
from broca.instruments.perturb.spec import Perturb
from broca.items import Contrast, Item, Stimulus
from broca.models.build import save
from broca.models.lm import LM
from broca.runs.formats import json_to_bytes
from broca.runs.manifest import seal
from broca.scoring.likelihood import Likelihood
from broca.stimuli.benchmarks import benchmark
from broca.stimuli.perturb.words import words

pytestmark = pytest.mark.filterwarnings("ignore")

SIDES = [tuple(Stimulus(f"{side}{i}", f"{side} {i}") for i in range(12)) for side in ("the cat sat", "qz vb xx trr")]
STUDY = Localize(contrast=Contrast("c", *SIDES), sites="*.resid_post")


def massive(dtype):
    """A sound model whose rare tokens hold activations that half precision can hardly add anything to."""
    model = zoo.build("llama")
    with torch.no_grad():
        model.model.embed_tokens.weight[3:17, 3] = 3000 * (
            0.2 + torch.rand(14, generator=torch.Generator().manual_seed(0))
        )
        for block in model.model.layers:
            block.self_attn.o_proj.weight[3] *= 10
            block.mlp.down_proj.weight[3] *= 10
    return model.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_massive_activations_on_rare_tokens_are_no_wrong_wiring(dtype):
    found = LM.wrap(massive(dtype), zoo.tokenizer()).anatomy.blocks[0]
    assert (found.attn_out, found.mlp_out) == ("self_attn", "mlp")


def same_weights(model):
    """The model with weights that depend on nothing but their shapes."""
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(std=0.2, generator=draw)
    return model


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("llama", "hidden_act", "gelu"),
        ("llama", "rms_norm_eps", 0.5),
        ("mixtral", "num_experts_per_tok", 1),
        ("gemma2", "query_pre_attn_scalar", 1),
    ],
)
def test_a_finished_run_is_not_that_of_the_same_weights_under_another_config(tmp_path, name, field, value):
    first = LM.wrap(same_weights(zoo.build(name)), zoo.tokenizer(), name="one name")
    config = type(first.model.config).from_dict({**first.model.config.to_dict(), field: value})
    other = LM.wrap(same_weights(type(first.model)(config)).eval(), zoo.tokenizer(), name="one name")
    assert first.fingerprint == other.fingerprint
    broca.run(STUDY, first, out=tmp_path)
    stored, direct = broca.run(STUDY, other, out=tmp_path), STUDY.run(other)
    for site, t in direct.t.items():
        np.testing.assert_allclose(stored.at("t")[site], t, rtol=1e-5)
    assert len(list(tmp_path.iterdir())) == 2


def test_nor_that_of_the_model_before_it_was_trained_on(tmp_path):
    lm = zoo.lm("llama")
    broca.run(STUDY, lm, out=tmp_path)
    with torch.no_grad():
        for weight in lm.model.parameters():
            weight.mul_(1.1)
    stored, direct = broca.run(STUDY, lm, out=tmp_path), STUDY.run(lm)
    for site, t in direct.t.items():
        np.testing.assert_allclose(stored.at("t")[site], t, rtol=1e-5)
    with pytest.raises(broca.BrocaError, match=r"made by another spec .*model\.fingerprint"):
        broca.run(STUDY, zoo.lm("llama", seed=7), next(tmp_path.iterdir()))


def table(path: Path, name: str, n: int = 40) -> str:
    rows = [
        f'"{item.prompt}",{"|".join(item.choices)},{item.choices[item.answer]}'
        for item in benchmark(f"beliefs/{name}", n=n)
    ]
    path.write_text("\n".join(["prompt,choices,answer", *rows]), encoding="utf-8")
    return str(path)


@pytest.mark.slow
def test_tables_without_groups_are_compared(tmp_path):
    own, other = table(tmp_path / "own.csv", "false-belief"), table(tmp_path / "other.csv", "photograph")
    how = {"draws": 2, "fills": ("zero",), "gate": "mark", "n_bootstrap": 20}
    study = CausalTest(localizer=Localize(contrast="belief", sites="*.mlp_act"), items=own, others=(other,), **how)
    specific = {rung.name: rung for rung in study.run(LM.load("beliefs")).verdict.rungs}["specific"]
    assert specific.state in ("passed", "failed")


@pytest.mark.parametrize("text", [unicodedata.normalize("NFD", "Amélie"), "हिन्दी", "ที่ไหน", "조선어"])
def test_a_word_keeps_its_marks(text):
    assert [word.text for word in words(text, ())] == [text]


@pytest.mark.parametrize(
    ("prompt", "between"),
    [("Answer: (", ""), ('He said "', ""), ("well-", ""), ("the so-called '", ""), ("Answer:", " "), ('"Yes"', " ")],
)
def test_a_choice_follows_its_prompt_as_one_would_write_it(prompt, between):
    lm = zoo.lm("llama")
    (question,) = Likelihood().questions(lm, [Item("1", prompt, ("A", "B"), 0)])
    whole = [
        lm.tokenizer.decode([*question.shared.ids, *option], skip_special_tokens=True) for option in question.options
    ]
    assert whole == [f"{prompt}{between}A", f"{prompt}{between}B"]


def test_an_interval_that_cannot_be_had_stands_nowhere_as_nan(tmp_path):
    items = tmp_path / "q.csv"
    items.write_text(
        "prompt,choices,answer,group\n"
        + "\n".join(f"Where is Ann with the key {i}?,box|bag|tin,{i % 3},one" for i in range(20))
    )
    found = Perturb(items=str(items), n_items=20, kinds=("substitute",), compare=0, cases=0, n_bootstrap=20).run(
        zoo.lm("llama")
    )
    assert "nan" not in found.claim


@pytest.fixture
def typed(tmp_path, monkeypatch, capsys):
    """The command line, in a folder with a model and tables."""
    monkeypatch.chdir(tmp_path)
    save(zoo.build("llama"), zoo.tokenizer(), tmp_path / "tiny")
    Path("q.csv").write_text(
        "prompt,choices,answer\n" + "\n".join(f"Where is Ann {i}?,box|bag|tin,{i % 3}" for i in range(9))
    )
    Path("c.csv").write_text("text,label\n" + "\n".join([f"the cat {i},pos\nqz {i} vb,neg" for i in range(12)]))

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["broca", *arguments])
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def test_rows_on_a_full_disk_are_a_sentence_after_what_was_scored(typed):
    Path("rows.csv").symlink_to("/dev/full")
    code, said = typed("score", "tiny", "--items", "q.csv", "--rows", "rows.csv")
    assert code == 1
    assert "accuracy" in said
    assert "rows.csv could not be written" in " ".join(said.split())


def test_a_run_of_another_version_says_so_when_it_is_opened_again(typed):
    command = ("localize", "tiny", "--contrast", "c.csv", "--out", "runs")
    assert typed(*command)[0] == 0
    (place,) = Path("runs").glob("*/manifest.json")
    manifest = json.loads(place.read_text())
    place.write_bytes(json_to_bytes(seal(manifest | {"broca": "0.0.1"})))
    assert "0.0.1" in typed(*command)[1]
