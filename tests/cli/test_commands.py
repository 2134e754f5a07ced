"""The commands as a user types them, on a real model directory: what they print, and how they fail."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import zoo
from broca import cli
from broca.models.build import save

CONTRAST = "\n".join(
    ["text,label", *(f"the {'xy'[i % 2]} number {i},{('positive', 'negative')[i % 2]}" for i in range(60))]
)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny"
    save(zoo.build("llama"), zoo.tokenizer(), path)
    return path


@pytest.fixture(scope="module")
def contrast(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("contrasts") / "mine.csv"
    path.write_text(CONTRAST)
    return path


@pytest.fixture(scope="module")
def items(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("items") / "mine.jsonl"
    rows = [
        {"prompt": f"where is {i}?", "choices": ["box", "bag"], "answer": i % 2, "group": str(i % 6)} for i in range(24)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture
def broca(monkeypatch, capsys, tmp_path):
    """Run a command in this process; gives its exit code and what it printed, in a fresh folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli.terminal.out, "_width", 200, raising=False)

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["broca", *map(str, words)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        printed = capsys.readouterr()
        return code, " ".join(printed.out.split()), " ".join(printed.err.split())

    return run


HEAVY = (
    "torch",
    "transformers",
    "pydantic",
    "numpy",
    "scipy",
    "sklearn",
    "polars",
    "altair",
    "huggingface_hub",
    "jinja2",
)
HELP = f"""
import sys, broca, broca.cli
sys.argv = ["broca", *sys.argv[1:]]
try:
    broca.cli.main()
except SystemExit:
    print(sorted({{*{HEAVY}}} & {{*sys.modules}}))
"""


@pytest.mark.parametrize("typed", [[], ["--help"]])
def test_help_needs_nothing_heavy_and_answers_at_once(typed):
    printed = subprocess.run([sys.executable, "-c", HELP, *typed], capture_output=True, text=True, check=True).stdout
    assert "localize" in printed
    assert printed.splitlines()[-1] == "[]"


def test_inspect_prints_the_proof(broca, model):
    code, out, _ = broca("inspect", model)
    assert code == 0
    assert "LlamaForCausalLM" in out
    assert "resid_post − resid_pre = 1 × (attn_out + mlp_out), relative error" in out
    assert "float32 " in out
    for check in ("wiring", "one start", "left to right", "padding", "attention rows", "lesions"):
        assert f"{check} yes: " in out
    assert "next broca localize" in out


def test_localize_lesion_report_and_list(broca, model, contrast, items, tmp_path):
    code, out, err = broca("localize", model, "--contrast", contrast, "--percent", 5, "--sites", "*.mlp_act")
    assert code == 0, err
    assert "selective" in out
    run = next((tmp_path / "runs").iterdir())
    assert f"next broca lesion {model} --localizer runs/{run.name}" in out
    assert (run / "report.html").is_file()
    words = ("lesion", model, "--localizer", run, "--items", items, "--percent", 5, "--draws", 4, "--gate", "mark")
    code, out, err = broca(*words, "--doses", 10, "--dose-draws", 2)
    assert code == 0, err
    for rung in ("selective", "reliable", "learned", "causal", "specific"):
        assert rung in out
    causal = next(path for path in (tmp_path / "runs").iterdir() if path.name.startswith("causal"))
    assert f"report runs/{causal.name}/report.html" in out
    code, out, _ = broca("runs")
    assert (code, out.count("finished")) == (0, 2)
    code, out, _ = broca("report", causal)
    assert (code, f"{causal.name}/report.html" in out) == (0, True)
    # The spec that was written repeats the run: it is found finished and not computed again.
    before = (causal / "manifest.json").read_bytes()
    code, out, err = broca("run", causal)
    assert code == 0, err
    assert (causal / "manifest.json").read_bytes() == before


def test_heads_and_mask_files_can_be_lesioned(broca, model, items, tmp_path):
    from broca.units import UnitMask

    code, out, err = broca("lesion", model, "--heads", "0.1,2.3", "--items", items, "--draws", 3, "--gate", "mark")
    assert code == 0, err
    assert "the given 2 heads" in out
    UnitMask.of({"1.mlp_act": [1, 2]}, n=48).save(tmp_path / "units.safetensors")
    code, out, err = broca(
        "lesion", model, "--units", "units.safetensors", "--items", items, "--draws", 3, "--gate", "mark"
    )
    assert code == 0, err
    assert "the given 2 units" in out


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["localize", "MODEL", "--contrast", "beleif"], 2, "Did you mean 'belief'"),
        (["localize", "MODEL", "--contrast", "nowhere.csv"], 2, "nowhere.csv"),
        (["localize", "MODEL", "--contrast", "CONTRAST", "--sites", "*.resid_pots"], 2, "KIND is one of"),
        (["localize", "MODEL", "--contrast", "CONTRAST", "--sites", "40.resid_post"], 2, "layers 0 to 2"),
        (["localize", "MODEL", "--contrast", "CONTRAST", "--percent", "0.01"], 2, "less than one"),
        (["localize", "MODEL", "--contrast", "CONTRAST", "--percent", "0"], 2, "above 0, up to 100"),
        (["localize", "MODEL", "--contrast", "CONTRAST", "--options.sed", "1"], 2, "sed"),
        (["localize", "MODEL", "--sides", "top"], 2, "--sides"),
        (["localize", "./no-such-model"], 1, "is not a model directory"),
        (["localize", "EMPTY"], 1, "without config.json"),
        (["lesion", "MODEL", "--contrast", "CONTRAST", "--heads", "0.1"], 2, "Give one of"),
        (["lesion", "MODEL", "--contrast", "CONTRAST", "--items", "beliefs/false-beleif"], 2, "Did you mean"),
        (["lesion", "MODEL", "--heads", "0.9"], 2, "0 to 3"),
        (["lesion", "MODEL", "--localizer", "runs/none"], 1, "runs/none"),
        (["report", "runs/none"], 1, "runs/none"),
        (["runs", "nowhere"], 1, "not a folder"),
        (["run", "nowhere.toml"], 1, "does not exist"),
        (["organism", "train", "belief"], 2, "Did you mean 'beliefs'"),
        (["inspekt", "MODEL"], 2, "inspekt"),
    ],
)
def test_mistakes_are_told_in_words(broca, model, contrast, tmp_path, words, code, told):
    (tmp_path / "empty").mkdir()
    names = {"MODEL": model, "CONTRAST": contrast, "EMPTY": tmp_path / "empty"}
    got, out, err = broca(*(names.get(word, word) for word in words))
    assert got == code, err + out
    assert told in err + out
    assert "Traceback" not in err
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("text,lable\na,positive\n", "label"),
        ("text,label\na,positive\nb,positive\n", "negative"),
        ("text,label\na,positive\nb,negative\n", "at least 2"),
        ("", "mine.csv"),
    ],
)
def test_malformed_contrasts_are_told_in_words(broca, model, tmp_path, text, told):
    (tmp_path / "mine.csv").write_text(text)
    code, _, err = broca("localize", model, "--contrast", "./mine.csv")
    assert code == 2
    assert told in err


def test_a_corrupt_checkpoint_is_named(broca, model, tmp_path):
    shutil.copytree(model, tmp_path / "broken")
    file = tmp_path / "broken" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:200])
    code, _, err = broca("localize", "./broken")
    assert code == 1
    assert "safetensors file is corrupt" in err


def test_a_model_without_a_tokenizer_says_how_to_go_on(broca, model, tmp_path):
    shutil.copytree(model, tmp_path / "mute", ignore=shutil.ignore_patterns("tokenizer*", "special*"))
    code, _, err = broca("localize", "./mute")
    assert code == 1
    assert "LM.wrap(model, tokenizer)" in err


def test_nan_activations_stop_with_the_site(broca, model, contrast, tmp_path):
    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(model, tmp_path / "nan")
    file = tmp_path / "nan" / "model.safetensors"
    weights = load_file(file)
    weights["model.layers.1.mlp.down_proj.weight"][0] = float("nan")
    save_file(weights, file, metadata={"format": "pt"})
    code, _, err = broca("localize", "./nan", "--contrast", contrast, "--percent", 5)
    assert code == 1
    assert "NaN" in err
    assert torch.isnan(weights["model.layers.1.mlp.down_proj.weight"][0]).all()


def test_a_run_of_another_spec_is_not_overwritten(broca, model, contrast, tmp_path):
    """Same directory, other spec: refused through Python, where a directory can be named."""
    import broca as package
    from broca.errors import RunError

    lm = package.LM.load(str(model))
    package.run(package.Localize(contrast=str(contrast), select={"percent": 5}), lm, tmp_path / "one")
    with pytest.raises(RunError, match="percent"):
        package.run(package.Localize(contrast=str(contrast), select={"percent": 10}), lm, tmp_path / "one")


def test_a_misspelt_field_of_a_spec_is_named(broca, model, contrast, tmp_path):
    (tmp_path / "spec.toml").write_text(f'[study]\nkind = "localize"\ncontrst = "x"\n[model]\nname = "{model}"\n')
    code, _, err = broca("run", "spec.toml")
    assert code == 2
    assert "contrst" in err
    assert "Did you mean 'contrast'? The fields are kind, contrast" in err


def test_ctrl_c_leaves_a_run_that_resumes(model, contrast, tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-c", _INTERRUPTED, "localize", str(model), "--contrast", str(contrast), "--percent", "5"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 130, done.stderr
    assert "the same command goes on from here" in done.stderr
    assert "Traceback" not in done.stderr
    left = [path.name for path in (tmp_path / "runs").iterdir()]
    assert left
    assert all(name.startswith(".") for name in left)


_INTERRUPTED = """
import sys
from broca import cli
from broca.evidence import maps
def interrupted(*args, **kwargs):
    raise KeyboardInterrupt
maps.pooled_shards = interrupted
sys.argv[0] = "broca"
cli.main()
"""


def test_tables_of_many_runs_are_one_frame(broca, model, contrast, items):
    for dose in (5, 10):
        words = (
            "lesion",
            model,
            "--contrast",
            contrast,
            "--items",
            items,
            "--percent",
            dose,
            "--draws",
            2,
            "--gate",
            "mark",
        )
        assert broca(*words)[0] == 0
    import broca as package

    frame = package.open_runs("runs", table="matrix")
    assert frame["run"].n_unique() == 2
    assert isinstance(frame, pl.DataFrame)
