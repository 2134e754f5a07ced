"""`lesion`: whose options are whose, what it takes from a run, and what it finds wrong before a model is loaded."""

from __future__ import annotations

import pytest

from broca.cli import execute
from broca.instruments.localize import run as localizing
from broca.runs import open_run

FEW = ("--items", "q.jsonl", "--draws", 2, "--gate", "mark")


def study(here, kind="causal"):
    (path,) = [path for path in (here / "runs").iterdir() if path.name.startswith(kind)]
    return open_run(path).spec["study"]


def test_options_go_to_whatever_takes_them(typed, here):
    words = (
        "--contrast",
        "language",
        "--items",
        "beliefs/memory",
        "--others",
        "q.jsonl",
        "--percent",
        5,
        "--draws",
        2,
        "--gate",
        "mark",
    )
    code, _, err = typed(
        "lesion",
        "beliefs",
        *words,
        "--options.n",
        12,
        "--options.words",
        9,
        "--options.answers",
        "index",
        "--options.seed",
        3,
    )
    assert code == 0, err
    made = study(here)
    assert made["localizer"]["options"] == {"n": 12, "seed": 3, "words": 9}
    assert made["options"] == {"n": 12, "seed": 3, "answers": "index"}


def test_options_of_the_contrast_alone_stand_before_shared_ones(typed, here):
    words = ("--contrast", "language", "--items", "beliefs/memory", "--percent", 5, "--draws", 2, "--gate", "mark")
    code, _, err = typed("lesion", "beliefs", *words, "--options.n", 12, "--contrast-options.n", 20)
    assert code == 0, err
    made = study(here)
    assert (made["localizer"]["options"], made["options"]) == ({"n": 20}, {"n": 12})


def test_lists_take_several_values_after_one_flag_and_flags_may_be_repeated(typed, here):
    words = ("--contrast", "c.csv", "--percent", 5, "--fills", "zero", "mean", "--doses", 10, 20, "--dose-draws", 1)
    code, _, err = typed(
        "lesion",
        "tiny",
        *FEW,
        *words,
        "--others",
        "other.jsonl",
        "--sides",
        "top",
        "--sides",
        "bottom",
        "--match",
        "layer",
    )
    assert code == 0, err
    made = study(here)
    assert (made["fills"], made["doses"], made["sides"]) == (["zero", "mean"], [10.0, 20.0], ["top", "bottom"])
    assert (made["others"], made["match"]) == (["other.jsonl"], ["layer"])
    code, _, err = typed("lesion", "--others", "other.jsonl", "tiny")
    assert code == 2
    assert "--others takes all values that follow it" in err


def test_the_maps_of_a_run_are_read_from_it(typed, here, monkeypatch):
    localized = ("--contrast", "c.csv", "--sites", "*.mlp_act")
    code, _, err = typed("localize", "tiny", *localized, "--percent", 5, "--side", "bottom")
    assert code == 0, err
    (run,) = (here / "runs").iterdir()
    code, _, err = typed("lesion", "tiny", *localized, *FEW, "--percent", 5, "--sides", "bottom", "--out", "fresh")
    assert code == 0, err
    with monkeypatch.context() as patch:
        patch.setattr(localizing, "contrast_maps", None)  # to call it would be an error
        code, _, err = typed("lesion", "tiny", "--localizer", run, *FEW, "--out", "read")
    assert code == 0, err
    assert "localized anew" not in err
    (fresh,), (read,) = ((here / name).iterdir() for name in ("fresh", "read"))
    assert fresh.name == read.name
    for file in sorted(path.relative_to(fresh) for path in fresh.rglob("*") if path.is_file()):
        if file.name not in ("manifest.json", "log.jsonl") and "figures" not in file.parts:
            assert (fresh / file).read_bytes() == (read / file).read_bytes() or file.name == "report.html", file
    code, _, err = typed("lesion", "tiny", "--localizer", run, *FEW, "--percent", 10)
    assert code == 0, err
    assert "it is localized anew" in " ".join(err.split())


def test_only_a_localize_run_can_be_a_localizer_and_any_run_gives_its_units(typed, here):
    code, _, err = typed("lesion", "tiny", "--heads", "0.1,2.3", *FEW)
    assert code == 0, err
    (run,) = (here / "runs").iterdir()
    code, _, err = typed("lesion", "tiny", "--localizer", run, *FEW)
    assert code == 1
    assert (
        f"is a run of causal, and --localizer takes one of localize. To lesion what that run selected: --from {run}"
        in err
    )
    code, out, err = typed("score", "tiny", "--items", "q.jsonl", "--units", run)
    assert code == 0, err
    assert "q" in out


def test_the_heads_that_are_selected_are_named(typed):
    code, out, err = typed("localize", "tiny", "--contrast", "c.csv", "--grain", "head", "--count", 2)
    assert code == 0, err
    line = next(line for line in out.splitlines() if line.startswith("heads"))
    assert line.split(maxsplit=1)[1].strip() == "2.1, 2.2"


BEFORE = [
    (("--heads", "x"), "'x' is not a head"),
    (("--heads", ""), "'' is not a head"),
    (("--heads", "0.1,0.1"), "named twice"),
    (("--units", ""), "--units names nothing"),
    (("--units", "0.foo:1"), "'0.foo' is not a site"),
    (("--units", "gone"), "There is no mask at gone"),
    (("--contrast", "gone.csv"), "There is no file 'gone.csv'"),
    (("--contrast", "beleif"), "Did you mean 'belief'"),
    (("--contrast", "q.jsonl"), "needs the columns 'text' and 'label'"),
    (("--contrast", "c.csv", "--items", "c.csv"), "has no column 'prompt'"),
    (("--contrast", "c.csv", "--others", "gone.csv"), "There is no file 'gone.csv'"),
    (("--contrast", "c.csv", "--localizers", "gone.csv"), "There is no file 'gone.csv'"),
    (("--contrast", "c.csv", "--also", "gone.csv"), "There is no file 'gone.csv'"),
    (("--contrast", "c.csv", "--sites", "*.resid"), "names no sites"),
    (("--contrast", "c.csv", "--sites", ""), "'' names no sites"),
    (("--percent", "0"), "--percent is 0.0. Give more than 0."),
    (("--percent", "150"), "--percent is 150.0. Give 100 or less."),
    (("--percent", "nan"), "--percent is nan."),
    (("--doses", "5", "0"), "--doses is 0.0. Give more than 0."),
    (("--n-items", "0"), "--n-items is 0. Give 1 or more."),
    (("--seed", "-1"), "--seed is -1. Give 0 or more."),
    (("--twins", "-1"), "--twins is -1. Give 0 or more."),
    (
        ("--heads", "0.1", "--percent", "5"),
        "--percent does nothing here (a given selection has no ranking): it needs --contrast or --localizer",
    ),
    (("--heads", "0.1", "--twins", "5"), "--twins does nothing beside --heads"),
    (("--dose-draws", "5"), "--dose-draws does nothing here: it needs --doses"),
    (("--options.foo", "5"), "'foo' is not known"),
    (("--options", "x"), "Write --options.NAME VALUE"),
    (("--options.n", "x"), "is 'x'. Give a whole number."),
    (("--device", "foo"), "There is no device 'foo' here that torch can use. There is cpu"),
    (("--device", "cpu:9"), "There is no device 'cpu:9' here"),
    (("--revision", "main"), "--revision does nothing beside tiny, which is a directory"),
    (("--localizer", "gone"), "gone does not exist"),
]


@pytest.mark.parametrize(("words", "told"), BEFORE)
def test_what_needs_no_model_is_found_wrong_before_one_is_loaded(typed, monkeypatch, words, told):
    monkeypatch.setattr(execute, "load_model", None)  # to call it would be an error
    code, _, err = typed("lesion", "tiny", *words)
    assert code in (1, 2)
    assert told in " ".join(err.replace("│", " ").split())
    assert "Input should" not in err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--heads", "31.2"), "There is no head 31.2. This model has layers 0 to 2, each with heads 0 to 3."),
        (("--heads", "0.99"), "There is no head 0.99. This model has layers 0 to 2, each with heads 0 to 3."),
        (("--units", "99.mlp_act:0"), "99.mlp_act: this model has layers 0 to 2."),
        (("--units", "0.mlp_act:48"), "48 is not a unit of 0.mlp_act. Its units are 0 to 47."),
        (("--contrast", "c.csv", "--sites", "7.z"), "'7.z': this model has layers 0 to 2."),
    ],
)
def test_what_the_model_has_not_is_said_before_anything_is_scored(typed, here, words, told):
    code, _, err = typed("lesion", "tiny", *words, *FEW)
    assert code == 2
    assert told in " ".join(err.split())
    assert not (here / "runs").exists() or not list((here / "runs").iterdir())


def test_an_option_is_taken_by_its_former_name_and_says_the_new_one(typed, here):
    words = ("lesion", "tiny", "--contrast", "c.csv", *FEW)
    code, _, err = typed(*words, "--dose", 5)
    assert code == 0, err
    assert "! --dose is called --percent now. The old name works in this version, and in none after it." in err
    assert study(here)["percent"] == 5
    code, _, err = typed(*words, "--dose", 5, "--percent", 5)
    assert code == 2
    assert "--dose is the former name of --percent, and both were given. Leave --dose out." in " ".join(err.split())
    code, _, err = typed(*words, "--dose", 0)
    assert "--percent is 0.0. Give more than 0." in " ".join(err.split())
    assert "--dose " not in typed("lesion", "--help")[1]
    (here / "old.toml").write_text('[study]\nkind = "causal"\ndose = 0\n[study.localizer]\n')
    code, _, err = typed("run", "old.toml", "--model", "tiny")
    assert "dose is called percent now." in " ".join(err.split())
