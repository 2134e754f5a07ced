"""Every option of every command: it changes what the call does, or it is refused with a sentence that says what it needs.

The options are found in the commands themselves, so a new one stands here too, and fails until somebody says how it is used.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np
import pytest
from pydantic import BaseModel

from broca import cli
from broca.cli.options import Loading, Working
from broca.instruments import COMMANDS as INSTRUMENT_COMMANDS
from broca.models.lm import LM
from broca.runs import open_run
from dictionaries import dictionary

DOCS = Path(__file__).resolve().parents[2] / "docs"
CALLS: dict[tuple[str, ...], dict[str, list[str]]] = {
    ("demo",): {"plain": []},
    ("inspect",): {"plain": ["beliefs"], "hub": ["owner/model"]},
    ("localize",): {
        "units": ["beliefs"],
        "heads": ["beliefs", "--grain", "head"],
        "mean": ["beliefs", "--pool", "mean"],
        "published": ["beliefs", "--preset", "tl-abs"],
        "hub": ["owner/model"],
        "pictured": ["beliefs", "--contrast", "PICTURED", "--pool", "mean"],
        "natural": ["beliefs", "--contrast", "facts/capitals"],
    },
    ("lesion",): {
        "contrast": ["beliefs"],
        "curve": ["beliefs", "--doses", "2"],
        "no draws": ["beliefs", "--draws", "0"],
        "heads": ["beliefs", "--heads", "0.1"],
        "units": ["beliefs", "--units", "0.z:1,2"],
        "run": ["beliefs", "--localizer", "RUN"],
        "from": ["beliefs", "--from", "RUN"],
        "own": ["beliefs", "--heads", "0.1", "--items", "OWN"],
        "hub": ["owner/model"],
    },
    ("probe",): {
        "plain": ["beliefs"],
        "logistic": ["beliefs", "--estimator", "logistic"],
        "lesions": ["beliefs", "--draws", "20"],
        "own": ["beliefs", "--task", "TREES"],
        "hub": ["owner/model"],
    },
    ("perturb",): {
        "plain": ["beliefs"],
        "generated": ["beliefs", "--items", "PAIRS"],
        "no cases": ["beliefs", "--cases", "0"],
        "neurons": ["beliefs", "--select", "neurons"],
        "features": ["beliefs", "--select", "features"],
        "rewritten": ["beliefs", "--rewriter", "beliefs"],
        "own": ["beliefs", "--items", "OWN"],
        "hub": ["owner/model"],
    },
    ("perturb", "capture"): {"plain": ["beliefs", "--n-items", "2"], "hub": ["owner/model", "--n-items", "2"]},
    ("perturb", "score"): {
        "grades": ["DIR", "--items", "maths.json"],
        "reward": ["DIR", "--items", "maths.json", "--reward", "R"],
        "judge": ["DIR", "--items", "maths.json", "--judge", "J"],
    },
    ("sensitivity",): {
        "plain": ["beliefs"],
        "cells": ["beliefs", "--preset", "wu2025", "--task", "cells", "--source", "plain"],
        "scores": ["beliefs", "--published", "DIR", "DIR"],
        "no draws": ["beliefs", "--draws", "0", "--sweep-draws", "0"],
        "one fraction": ["beliefs", "--sweep", "0.01"],
        "own": ["beliefs", "--task", "OWN"],
        "hub": ["owner/model"],
    },
    ("circuit",): {
        "plain": ["beliefs"],
        "gradient": ["beliefs", "--method", "eap"],
        "sized": ["beliefs", "--edges", "9"],
        "paths": ["beliefs", "--paths", "m0->logits"],
        "own": ["beliefs", "--items", "OWN"],
        "hub": ["owner/model"],
    },
    ("direction",): {
        "plain": ["beliefs"],
        "layer": ["beliefs", "--layer", "1"],
        "feature": ["beliefs", "--direction", "0.feature:1"],
        "own": ["beliefs", "--items", "OWN"],
        "hub": ["owner/model"],
    },
    ("selftest",): {
        "plain": ["beliefs"],
        "surface": ["beliefs", "--ds", "1"],
        "own": ["beliefs", "--contrast", "SIDES"],
        "hub": ["owner/model"],
    },
    ("score",): {
        "likelihood": ["beliefs", "--items", "beliefs/reality"],
        "generation": ["beliefs", "--items", "beliefs/reality", "--how", "generation"],
        "sampled": ["beliefs", "--items", "beliefs/reality", "--how", "sampled"],
        "features": ["beliefs", "--items", "beliefs/reality", "--units", "0.feature:1"],
        "all": ["beliefs", "--all", "--options.n", "1"],
        "tasks": ["beliefs", "--lm-eval", "lambada"],
        "server": ["beliefs", "--items", "beliefs/reality", "--server", "http://a"],
        "own": ["beliefs", "--items", "OWN"],
        "hub": ["owner/model", "--items", "beliefs/reality"],
    },
    ("export",): {
        "mask": ["MASK", "--model", "beliefs", "--to", "new"],
        "hub": ["MASK", "--model", "owner/model", "--to", "new"],
    },
    ("select",): {"plain": ["RUN"]},
    ("run",): {"spec": ["SPEC"], "hub": ["SPEC", "--model", "owner/model"]},
    ("report",): {"plain": ["RUN"]},
    ("verify",): {"plain": ["RUN"]},
    ("diff",): {"plain": ["RUN", "OTHER"]},
    ("push",): {"plain": ["RUN", "owner/run"]},
    ("pull",): {"plain": ["owner/run"]},
    ("explain",): {"plain": ["spec"]},
    ("plan",): {"plain": []},
    ("runs",): {"plain": ["RUNS"]},
    ("organism", "list"): {"plain": []},
    ("organism", "train"): {"anew": ["kth"], "tuned": ["kth", "--model", "beliefs"]},
}
"""Calls of each command in which its options do different things; words in capitals stand for what the tests make."""

LAST = ("hub", "pictured", "own", "natural", "features")
"""Calls for options that have no effect in any other."""

ALONE = {"--all"}
"""Options that make a call of their own: they stand in `CALLS`, and any other call refuses them."""

ALIKE = {f"--{each.name.replace('_', '-')}" for group in (Loading, Working) for each in fields(group)} | {"--out"}
"""Options that do the same in all calls of a command, but for a server's."""

VALUES = {
    "--contrast": "pain",
    "--items": "beliefs/memory",
    "--expect.causal": "failed",
    "--figures": "pdf",
    "--options.seed": "12",
    "lesion --options.n": "12",
    "selftest --options.n": "12",
    "organism train --options.k": "3",
    "--contrast-options.n": "12",
    "--counterfactual": "exchange",
    "--sites": "0.z",
    "--also": "pain language",
    "--confounds": "topic year",
    "--localizers": "pain language",
    "--others": "beliefs/memory beliefs/reality",
    "--paths": "input->logits",
    "--pilot": "beliefs/memory",
    "sensitivity --controls": "beliefs/memory beliefs/reality",
    "--revision": "main",
    "--device": "cpu",
    "--gguf": "m.gguf",
    "--features": "routed",
    "--address": "HOST:1",
    "--partition": "long",
    "--account": "lab",
    "--out": "elsewhere",
    "--budget": "20min",
    "--localizer": "RUN",
    "--from": "RUN",
    "--units": "0.z:3",
    "--direction": "0.feature:3",
    "plan --units": "3",
    "plan --items": "7",
    "plan --intact": "0.85",
    "plan --chance": "0.4",
    "plan --others": "2",
    "--heads": "1.0",
    "--weights": "MASK",
    "probe --task": "rules",
    "probe --pilot": "rules",
    "sensitivity --task": "beliefs/memory",
    "--kinds": "delete swap",
    "--among": "what is",
    "--rewriter": "kth",
    "--rewriter-server": "http://a",
    "--general": "beliefs/memory",
    "--source": "beliefs/memory",
    "--perplexity-source": "beliefs/memory",
    "--published": "DIR DIR",
    "--sweep": "0.01,0.02",
    "--sums-on": "cpu",
    "--tree": "tree",
    "--server": "http://b",
    "--rows": "rows.csv",
    "--lm-eval": "arc_easy blimp",
    "--include": "DIR",
    "--cache": "cache.sqlite",
    "--to": "other",
    "--model": "routed",
    "selftest --answers": "box bag",
    "--shots": "2",
    "--columns": "group=topic",
    "--system": "Hello",
    "--label": "good",
    "--reward": "S",
    "--semantic": "E",
    "--judge": "K",
    "--percent": "7.5",
    "--toward": "negative",
    "direction --doses": "0,3",
    "--text": "beliefs/memory",
    "--prompts": "one two",
    "direction --export": "d.gguf",
    "direction --perplexity-limit": "1.2",
    "--shares": "0.3 0.3 0.4",
}
"""Values of options that are texts, or numbers within limits; those of one command stand after its name."""

REFUSED = re.compile(
    r"(?:do|does) nothing (?:here|beside)|would do nothing|were given\. Give one of|Both percent|Give one of --items|stands? beside|needs sampled cells|"
    r"and no stimulus of|so nothing is generated|has its perturbed texts already|takes no options|gives texts and no likelihoods"
)
"""What a refusal says: what the option needs, or what it cannot stand beside."""


class Stopped(Exception):  # noqa: N818 - no error
    """The call has said all that it would do."""


def walk(app: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each command that does something, with its words."""
    for name in app:
        if name.startswith("-"):
            continue
        inner = app[name]
        if inner.default_command is not None:
            yield (*path, name), inner
        yield from walk(inner, (*path, name))


COMMANDS = dict(walk(cli.app))


def options(command: tuple[str, ...]) -> list[Any]:
    """The options of a command, positional ones left out."""
    found = COMMANDS[command].assemble_argument_collection()
    return [one for one in found if one.show and one.field_info.is_keyword_only]


def plain(value: Any) -> Any:
    """A record as plain data, comparable."""
    if isinstance(value, LM):
        return list(value.condition)
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, Path):
        return str(value)
    return value if isinstance(value, int | float | bool | str | None) else type(value).__name__


def samples(option: Any, command: tuple[str, ...]) -> list[list[str]]:
    """Words that give an option a value, some of which are not the usual one."""
    name, hint = option.names[0], option.hint
    several = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    inner = next(part for part in several if part is not type(None))
    listed = get_origin(inner) in (list, tuple)
    kind = get_args(inner)[0] if listed else inner
    own = {each.removeprefix(f"{' '.join(command)} "): value for each, value in VALUES.items()}
    dotted = next((each for each in reversed(own) if each == name or each.startswith(f"{name}.")), None)
    if kind is bool:
        return [[word] for word in option.names]
    if get_origin(kind) is Literal:
        words = list(get_args(kind))
        return [[name, words[-1], words[0]]] if listed else [[name, word] for word in words]
    if dotted is not None:
        return [[dotted, *own[dotted].split()]]
    if kind is int:
        return [[name, *(["7", "9"] if listed else ["7"])]]
    if kind is float:
        return [[name, *(["0.3", "0.7"] if listed else ["0.3"])]]
    pytest.fail(f"Say in VALUES how {name} of {' '.join(command)} is given.")


def without(base: list[str], option: str) -> list[str]:
    """A call without one of its options."""
    if option not in base:
        return base
    at = base.index(option)
    end = next((i for i in range(at + 1, len(base)) if base[i].startswith("--")), len(base))
    return base[:at] + base[end:]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, str]:
    """What the words in capitals stand for."""
    import broca
    from broca.interventions.weights import Edit, WeightMask
    from broca.models.weight_matrices import matrices
    from broca.units.weights import WeightSet

    folder = tmp_path_factory.mktemp("made")
    lm = LM.load("beliefs")
    done = broca.run(broca.Localize(contrast="belief", options={"n": 12}, sites="0.z"), lm, folder / "runs" / "one")
    other = broca.run(broca.Localize(contrast="belief", options={"n": 13}, sites="0.z"), lm, folder / "other")
    found = matrices(lm.model, lm.anatomy)
    chosen = WeightSet(
        {m.name: np.arange(4) for m in found}, {m.name: m.address for m in found}, {"model": lm.fingerprint}
    )
    mask = WeightMask(chosen, Edit("flip")).save(folder / "mask.safetensors")
    pairs = folder / "pairs.csv"
    pairs.write_text("\n".join(["clean,perturbed,answer", *(f"what is {i},whta is {i},{i}" for i in range(9))]))
    rows = [f"where is {i}?,box|bag,{i % 2},{i // 2}" for i in range(12)]
    (folder / "own.csv").write_text("\n".join(["prompt,choices,answer,topic", *rows]))
    sides = [f"Look {i}.,{('positive', 'negative')[i % 2]},{i // 2}" for i in range(24)]
    (folder / "sides.csv").write_text("\n".join(["text,label,topic", *sides]))
    trees = [json.loads(line) for line in (DOCS / "metals.jsonl").read_text().splitlines()]
    named = [{{"group": "topic"}.get(name, name): cell for name, cell in row.items()} for row in trees]
    (folder / "trees.jsonl").write_text("\n".join(map(json.dumps, named)))
    (folder / "dir").mkdir()
    from PIL import Image

    Image.new("RGB", (8, 8)).save(folder / "a.png")
    rows = [f"Look {i}.,{('positive', 'negative')[i % 2]},{folder / 'a.png'},{i // 2}" for i in range(8)]
    (folder / "pictured.csv").write_text("\n".join(["text,label,image,topic", *rows]))
    return {
        "RUN": str(done.path), "OTHER": str(other.path), "RUNS": str(folder / "runs"), "SPEC": str(done.path / "spec.toml"), "MASK": str(mask),
        "PAIRS": str(pairs), "DIR": str(folder / "dir"), "PICTURED": str(folder / "pictured.csv"), "OWN": str(folder / "own.csv"),
        "SIDES": str(folder / "sides.csv"), "TREES": str(folder / "trees.jsonl"),
    }  # fmt: skip


@pytest.fixture(scope="module")
def tiny() -> LM:
    lm = LM.load("beliefs")
    return lm.with_features(dictionary(d=lm.anatomy.d_model, site="0.resid_post"), check=False)


SEAMS = {
    **{f"broca.cli{module}.execute_study": Stopped for module in ("", ".studies")},
    "broca.cli.inspecting.load_model": Stopped,
    **{f"broca.cli.{module}.load_model": "lm" for module in ("answering", "exporting", "captures")},
    "broca.compat.wu2025.tree.check_tree": None,
    "broca.instruments.circuit.entry.check_entry": None,
    "broca.instruments.direction.export.check_export": None,
    "broca.cli.scoring._writer": None,
    "broca.cli.scoring.rows_served": Stopped,
    "broca.cli.answering.tell_cost": None,
    "broca.cli.captures._scorers": Stopped,
    "broca.cli.organism._anew": "train",
    "broca.cli.organism._tuning": "train",
    "broca.scoring.likelihood.Likelihood.__call__": Stopped,
    "broca.scoring.generation.Generation.__call__": Stopped,
    "broca.scoring.sampling.Sampled.repetition_rows": Stopped,
    "broca.scoring.harness.check_tasks": None,
    "broca.scoring.harness.evaluate": Stopped,
    "broca.models.export.export": Stopped,
    "broca.models.load.footprint": {"class": "x", "parameters": 1, "bytes": {}},
    "broca.runs.shards.write_raw": Stopped,
    "broca.compat.error_mechanisms.scores.conditions": (),
    "broca.storage.probe": None,
    "broca.reports.build.report": Stopped,
    "broca.runs.inspect_logs.write_inspect_logs": Stopped,
    "broca.runs.sharing.push.push": Stopped,
    "broca.runs.sharing.pull.pull": Stopped,
}
"""Where commands hand over to the rooms below: what they give is recorded, and the call stopped, or answered with this."""


def owner(place: str) -> tuple[Any, str]:
    """The module or class that holds what a seam names, and its name."""
    home, _, name = place.rpartition(".")
    try:
        return import_module(home), name
    except ModuleNotFoundError:
        module, _, kind = home.rpartition(".")
        return getattr(import_module(module), kind), name


@pytest.fixture
def told(monkeypatch, capsys, tmp_path, made, tiny):
    """What a call would do: its exit code, what reached the rooms below, and what it printed."""
    monkeypatch.chdir(tmp_path)
    seen: list[Any] = []

    def trained(target: Path, **how: Any) -> None:
        seen.append([str(target), plain(how)])
        raise Stopped

    answers = {"lm": tiny, "train": trained}
    done = open_run(made["RUN"])
    for place, answer in SEAMS.items():

        def recorded(*args: Any, place: str = place, answer: Any = answer, **named: Any) -> Any:
            seen.append([place, plain(args), plain(named)])
            if place.endswith(".execute_study"):
                following = named.get("then", args[2] if len(args) > 2 else None)
                seen.append(["next", *(following(done) if following else [])])
            if answer is Stopped:
                raise Stopped
            return answers.get(answer, answer) if isinstance(answer, str) else answer

        monkeypatch.setattr(*owner(place), recorded)

    def run(*words: str) -> tuple[int, list[Any], str]:
        seen.clear()
        monkeypatch.setattr(sys, "argv", ["broca", *(made.get(word, word) for word in words)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        except Stopped:
            pass
        printed = capsys.readouterr()
        return code, json.loads(json.dumps(seen)), printed.out + " ".join(printed.err.split())

    return run


def test_every_command_is_walked():
    assert COMMANDS.keys() == CALLS.keys()


SLOW = (("score",), ("sensitivity",), ("plan",))
"""Commands whose calls take many seconds together."""


@pytest.mark.parametrize(
    "command",
    [pytest.param(each, marks=pytest.mark.slow) if each in SLOW else each for each in COMMANDS],
    ids=" ".join,
)
def test_an_option_does_something_or_says_what_it_needs(command, told):
    usual = {call: told(*command, *base) for call, base in CALLS[command].items()}
    assert not [printed for code, _, printed in usual.values() if code], "a call without further options fails"
    for option in options(command):
        name, heard = option.names[0], set()
        for call, base in CALLS[command].items():
            if heard and (call in LAST or (name in ALIKE and command != ("score",))):
                continue
            tried = changed = refused = False
            for words in samples(option, command):
                if all(word in base for word in words):
                    continue
                if changed or refused:
                    break
                tried = True
                code, seen, printed = told(*command, *without(base, words[0]), *words)
                what = f"{' '.join(command)} ({call}) {' '.join(words)}"
                if code:
                    assert REFUSED.search(printed), f"{what}: {printed}"
                    assert re.search(r"--\w", printed), f"{what} does not say what it needs: {printed}"
                    refused = True
                elif (seen, printed) != usual[call][1:]:
                    changed = True
            assert changed or refused or not tried, (
                f"{name} of {' '.join(command)} ({call}) does nothing and says nothing"
            )
            heard |= {call} if changed else set()
        assert heard or name in ALONE, f"{name} of {' '.join(command)} does nothing in any call"


STUDIES = {each.name for each in INSTRUMENT_COMMANDS.values()}
KEPT = ["--dtype", "float32", "--device", "cpu", "--trust-remote-code"]
WORK = ["--workers", "2", "--threads", "1"]
BUDGET = ["--budget", "2h"]
SHOWN = [["--chat", "never"], ["--n-items", "8"]]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_next_command_parses_and_keeps_what_was_given(command, told):
    taken = {option.names[0] for option in options(command)}
    for call, base in CALLS[command].items():
        words = [*(KEPT if "--dtype" in taken and call != "server" else []), *(WORK if "--workers" in taken else [])]
        words += ["--out", "else where"] if "--out" in taken else []
        if command[0] in STUDIES:
            takes = taken - ({"--n-items"} if command == ("probe",) else set())  # which needs more beside it
            words += BUDGET if "--budget" in taken else []
            words += [word for each in SHOWN if each[0] in takes and each[0] not in base for word in each]
        code, seen, printed = told(*command, *base, *words)
        assert code == 0, printed
        lines = [line for entry in seen if entry[0] == "next" for line in entry[1:]]
        lines += re.findall(r"^(?:next)?\s*(broca .*)$", printed, flags=re.MULTILINE)
        for line in lines:
            typed = shlex.split(line)
            assert typed[0] == "broca"
            cli.app.parse_args(typed[1:], exit_on_error=False, print_error=False)
            name = tuple(typed[1 : 3 if tuple(typed[1:3]) in COMMANDS else 2])
            known = {each.names[0] for each in options(name)}
            if typed[2] != "MODEL" and command not in (("run",), ("report",), ("select",)):
                assert {word for word in words if word in known} <= {word.partition("=")[0] for word in typed}, line
                assert "beliefs/false-belief" not in line or base[0] == "beliefs", (
                    "items of the shipped organisms, for another model"
                )


@pytest.mark.parametrize(
    ("words", "keeps", "drops"),
    [
        (["localize", "beliefs", "--contrast", "beliefs/outdated", "--options.detail", "0", "--options.n", "20"],
         ["--options.detail", "0"], ["--options.n"]),
        (["selftest", "beliefs", "--contrast", "language", "--options.words", "9", "--sites", "0.z"],
         ["--options.words", "9", "--sites", "0.z"], []),
        (["perturb", "beliefs", "--options.detail", "0", "--items", "beliefs/memory", "--shots", "1"],
         ["--options.detail", "0", "--shots", "1"], []),
        (["probe", "beliefs", "--options.n", "9"], ["--options.n", "9"], []),
        (["direction", "beliefs", "--options.detail", "0", "--items", "beliefs/memory"], ["--options.detail", "0"], []),
        (["circuit", "beliefs", "--items", "beliefs/memory", "--shots", "1"], ["--shots", "1"], []),
    ],
)  # fmt: skip
def test_the_next_command_keeps_what_stimuli_are_like(words, keeps, drops, told):
    code, seen, printed = told(*words)
    assert code == 0, printed
    (line,) = (line for entry in seen if entry[0] == "next" for line in entry[1:])
    typed = shlex.split(line)
    text = " ".join(typed)
    for flag, value in zip(keeps[::2], keeps[1::2], strict=True):
        assert f"{flag} {value}" in text
    assert not set(drops) & set(typed)
    cli.app.parse_args(typed[1:], exit_on_error=False, print_error=False)
