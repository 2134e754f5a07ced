"""Runs given and taken through a stand-in for the hub: whole, checked, without tokens, and nothing of a stranger's reaches out."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest

import broca
from broca import cli
from broca.errors import RunError
from broca.runs.manifest import seal
from broca.runs.sharing.address import Address
from broca.runs.sharing.pull import pull
from broca.runs.sharing.push import push
from broca.runs.sharing.strangers import refuse_reaching
from broca.runs.verify import verify
from broca.storage import digest
from hub_server import hub_server
from parity.test_golden import GOLDEN
from reports.synthetic import causal_run

TOKEN = "hf_ThisIsTheTokenOfATest0123456789"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    with hub_server(monkeypatch, tmp_path / "cache") as server:
        yield server


@pytest.fixture
def shared(hub, tmp_path):
    run = Path(shutil.copytree(GOLDEN["language-ll"], tmp_path / "mine"))
    assert push(run, "me/found") == "hf://me/found"
    return run


def test_what_is_pulled_is_what_was_pushed(hub, shared, tmp_path):
    got = pull("me/found", out=tmp_path / "theirs")
    assert got == tmp_path / "theirs" / "found"
    assert all(not found.wrong for found in verify(got))
    for name in broca.open_run(shared).manifest["files"]:
        assert (got / name).read_bytes() == (shared / name).read_bytes()
    assert {each.name for each in got.iterdir()} == {
        "manifest.json",
        "spec.toml",
        "result.json",
        "tensors.safetensors",
        "tables",
    }
    with pytest.raises(RunError, match="exists, and is not overwritten"):
        pull("me/found", out=tmp_path / "theirs")


def test_the_card_says_what_was_found_and_how_to_use_it(hub, shared):
    card = hub.repositories["me/found"]["README.md"].decode()
    assert card.startswith('---\ntags: ["broca"')
    assert "broca pull me/found" in card
    assert "| reliable | failed |" in card
    assert "selection.safetensors" in hub.repositories["me/found"]
    assert hub.made[0].get("private") is True or hub.made[0].get("visibility") == "private"


def test_a_card_in_which_nothing_acts(hub, tmp_path):
    run = causal_run(tmp_path / "run", result=json.loads((causal_run(tmp_path / "other") / "result.json").read_text()) | {
        "claim": "<script>alert(1)</script> [a](javascript:b) | `c`"})  # fmt: skip
    push(run, "me/evil")
    card = hub.repositories["me/evil"]["README.md"].decode()
    assert "<script>" not in card.replace("\\<script\\>", "")
    assert "\\[a\\](javascript:b) \\| \\`c\\`" in card


def test_the_token_goes_to_the_hub_and_nowhere_else(hub, shared, tmp_path):
    assert f"Bearer {TOKEN}" in hub.tokens
    pull("me/found", out=tmp_path / "theirs")
    written = [each for each in tmp_path.rglob("*") if each.is_file()]
    assert written
    assert not [each for each in written if TOKEN.encode() in each.read_bytes()]
    assert not [name for name, content in hub.repositories["me/found"].items() if TOKEN.encode() in content]


def test_a_file_with_a_token_is_not_shared(hub, shared):
    (shared / "report.html").write_text(f"<p>{TOKEN}</p>")
    with pytest.raises(RunError, match=r"report\.html holds a key or token") as error:
        push(shared, "me/again")
    assert TOKEN not in str(error.value)
    assert "me/again" not in hub.repositories


def test_a_damaged_run_is_not_shared(hub, shared):
    table = shared / "tables" / "layers.parquet"
    table.write_bytes(bytes(len(table.read_bytes())))
    with pytest.raises(RunError, match="not as it was written"):
        push(shared, "me/again")


def rewritten(hub, change):
    """The manifest of the shared run, changed and sealed anew, as a stranger could."""
    files = hub.repositories["me/found"]
    manifest = json.loads(files["manifest.json"])
    manifest.pop("seal", None)
    change(manifest)
    files["manifest.json"] = json.dumps(seal(manifest)).encode()


@pytest.mark.parametrize(
    "name",
    [
        "../evil.json",
        "/etc/evil.json",
        "tables/../../evil.parquet",
        "run.py",
        "report.html",
        "a\\b.json",
        "tables/x/y.parquet",
    ],
)
def test_no_name_leads_out_of_the_folder(hub, shared, tmp_path, name):
    hub.repositories["me/found"][name] = b"evil"
    rewritten(hub, lambda m: m["files"].update({name: {"bytes": 4, "sha256": digest(b"evil")}}))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RunError, match="which is no file of a run"):
        pull("me/found", out=tmp_path / "theirs")
    new = [each for each in sorted(tmp_path.rglob("*")) if each not in before and "cache" not in each.parts]
    assert [each for each in new if each.is_file() and each.suffix != ".lock"] == []


def test_a_changed_file_is_not_taken(hub, shared, tmp_path):
    files = hub.repositories["me/found"]
    files["result.json"] = files["result.json"].replace(b"5 of the 5", b"9 of the 9")
    with pytest.raises(RunError, match="does not match its checksum"):
        pull("me/found", out=tmp_path / "theirs")
    assert not (tmp_path / "theirs" / "found").exists()


def test_a_file_larger_than_it_says_is_not_downloaded(hub, shared, tmp_path):
    hub.repositories["me/found"]["result.json"] += b" " * 1000
    hub.asked.clear()
    with pytest.raises(RunError, match="should have"):
        pull("me/found", out=tmp_path / "theirs")
    assert not [each for each in hub.asked if each.startswith("GET") and each.endswith("result.json")]


def test_what_is_not_there_and_what_is_refused(hub, shared, tmp_path):
    with pytest.raises(RunError, match="There is no hf://me/nothing, or it is private"):
        pull("me/nothing", out=tmp_path)
    hub.refuse = 403
    with pytest.raises(RunError, match="a token that may write") as error:
        push(shared, "me/other")
    assert TOKEN not in str(error.value)


@pytest.mark.parametrize(
    "text", ["found", "a/b/c", "../b", "me/..", "me/found@", "me/found@../x", "hf://", "me/fo und", ""]
)
def test_what_is_no_address(text):
    with pytest.raises(RunError, match="is no address of a run"):
        Address.parse(text)


@pytest.mark.parametrize(
    ("study", "model", "said"),
    [
        ({"items": "../../secret.csv"}, "beliefs", "names a file"),
        ({"items": "/etc/passwd"}, "beliefs", "names a file"),
        ({"contrast": "~/mine.csv"}, "beliefs", "names a file"),
        ({"localizer": {"also": ["x", "a.parquet"]}}, "beliefs", "localizer.also of hf://me/found names a file"),
        ({"options": {"path": "C:\\x.csv"}}, "beliefs", "names a file"),
        ({"rewriter_server": "http://evil.example:80"}, "beliefs", "reaches no server"),
        ({"items": "belief"}, "/home/me/model", "is a place on a disk"),
        ({"items": "belief"}, "model.gguf", "is a place on a disk"),
    ],
)
def test_a_spec_of_a_stranger_reaches_for_nothing(study, model, said):
    with pytest.raises(RunError, match=said):
        refuse_reaching({"study": study, "model": {"name": model}}, "hf://me/found")


def test_a_study_from_the_hub_is_run_again_here(hub, shared, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["broca", "run", "hf://me/found", "--dry-run"])
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    assert "broca run hf://me/found" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["broca", "pull", "me/found"])
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    assert (tmp_path / "runs" / "found" / "report.html").exists()
