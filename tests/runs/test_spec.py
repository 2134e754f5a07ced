from __future__ import annotations

import tomllib
from typing import Any, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from broca.errors import RunError
from broca.models.hashes import tokenizer_hash
from broca.runs.execution import run
from broca.runs.spec import Identity, read_spec, spec_toml
from broca.runs.toml import to_toml
from runs.toy import Choice, Toy, ToyLM

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
integers = st.integers(-(2**63), 2**64 - 1)
scalars = st.booleans() | integers | st.floats() | text
values = st.recursive(scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(text, v, max_size=3), max_leaves=10)
nullable = st.recursive(
    scalars | st.none(), lambda v: st.lists(v, max_size=3) | st.dictionaries(text, v, max_size=3), max_leaves=10
)


@given(st.dictionaries(text, values, max_size=5))
def test_toml_says_what_was_meant(document):
    assert repr(tomllib.loads(to_toml(document))) == repr(document) or _sorted(
        tomllib.loads(to_toml(document))
    ) == _sorted(document)


def _sorted(value):
    """With tables after values, where the writer must put them."""
    if isinstance(value, dict):
        return repr(sorted((repr(k), _sorted(v)) for k, v in value.items()))
    return repr([_sorted(v) for v in value]) if isinstance(value, list) else repr(value)


def test_toml_is_readable():
    document = {
        "study": {"a": 1e-5, "b": [1, "x"], "in": {"deep": {"c": None}}, "empty": {}},
        "model": {"n": 'say "é"\n'},
    }
    assert to_toml(document) == (
        '[study]\na = 1e-05\nb = [\n    1,\n    "x",\n]\n\n[study.in.deep]\n\n[study.empty]\n\n[model]\nn = "say \\"é\\"\\n"\n'
    )


@pytest.mark.parametrize("value", [[None], object(), b"bytes", "\udc80"])
def test_toml_refuses_what_it_cannot_say(value):
    with pytest.raises(RunError, match=r"study.*x.*(TOML cannot hold|no valid Unicode)"):
        to_toml({"study": {"x": value}})


class Anything(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["anything"] = "anything"
    required: int | None
    options: dict[str, Any] = {}
    choice: Choice = Choice()
    many: tuple[float | None, ...] = ()
    choices: tuple[Choice, ...] = ()

    def run(self, lm, *, cache, progress):
        raise NotImplementedError


choices = st.builds(Choice, percent=st.none() | st.floats(), count=st.none() | integers, seed=integers)
specs = st.builds(
    Anything,
    required=st.none() | integers,
    options=st.dictionaries(text, nullable, max_size=3),
    choice=choices,
    many=st.lists(st.none() | st.floats(), max_size=3).map(tuple),
    choices=st.lists(choices, max_size=2).map(tuple),
)


@given(specs)
@example(Anything(required=None, options={"": float("inf"), "x": [{"y": float("-inf")}]}))
def test_every_spec_comes_back_from_its_file(tmp_path_factory, spec):
    path = tmp_path_factory.getbasetemp() / "spec.toml"
    path.write_text(spec_toml(spec, ToyLM()), encoding="utf-8", newline="")
    again = Anything.model_validate(read_spec(path)["study"])
    assert _sorted(again.model_dump()) == _sorted(spec.model_dump())


@pytest.mark.parametrize("seed", [2**64, -(2**63) - 1, 16**5000], ids=["above", "below", "long"])
def test_an_integer_that_could_not_be_read_back_is_not_written(tmp_path, seed):
    with pytest.raises(RunError, match=r"choice\.seed is an integer beyond 64 bits"):
        spec_toml(Anything(required=None, choice=Choice(seed=seed)), ToyLM())
    with pytest.raises(RunError, match=r"study\.seed is an integer beyond 64 bits"):
        run(Toy(seed=seed), ToyLM(), tmp_path / "a")
    assert not [*tmp_path.iterdir()]


def test_a_spec_file_is_complete_and_says_how_to_repeat_it(tmp_path):
    assert spec_toml(Toy(selection=Choice(percent=None, count=5)), ToyLM()) == (
        "# Repeat this run with: broca run spec.toml\n\n"
        'none = [\n    "/selection/percent",\n]\n\n'
        '[study]\nkind = "toy"\nname = ""\ncontrast = "belief <b>"\nn_cells = 12\nseed = 0\n\n'
        "[study.selection]\ncount = 5\nseed = 0\n\n"
        '[model]\nname = "tiny"\nrevision = "abc123"\ndtype = "float32"\n'
    )
    assert spec_toml(Toy(), ToyLM(condition=("ab",))).startswith("# Interventions were in force")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[study]\nkind = \n", "line 2"),
        ("[model]\n", r"no table \[study\]"),
        ("study = 3\n", r"no table \[study\]"),
        ("[study]\na = 1\n", "has no kind"),
        ("[study]\nkind = 'x'\n[modle]\nname = 'x'\n", "has modle"),
        ("none = ['/a/b']\n[study]\nkind = 'x'\n", "points at nothing"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_a_bad_spec_file_says_what_is_wrong(tmp_path, content, said):
    path = tmp_path / "spec.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RunError, match=said):
        read_spec(path)


def test_a_missing_spec_file(tmp_path):
    with pytest.raises(RunError, match="does not exist"):
        read_spec(tmp_path / "none.toml")


def test_the_hash_depends_on_study_model_tokenizer_condition_and_data():
    class Dated(Toy):
        def data_fingerprints(self):
            return {"contrast": "ab"}

    class Tokenizer:
        chat_template = None

        def get_vocab(self):
            return {"a": 0}

    lms = [ToyLM(), ToyLM(fingerprint="x"), ToyLM(dtype="torch.float16"), ToyLM(condition=("l",))]
    hashes = [Identity.of(Toy(), lm).hash for lm in [*lms, ToyLM(tokenizer=Tokenizer())]]
    hashes += [Identity.of(study, ToyLM()).hash for study in (Toy(seed=1), Dated())]
    assert len(set(hashes)) == len(hashes)
    assert Identity.of(Toy(), ToyLM(name="elsewhere", device="cuda")).hash == hashes[0]


def test_a_chat_template_is_part_of_a_tokenizer():
    class Tokenizer:
        chat_template = "{{ a }}"

        def get_vocab(self):
            return {"b": 1, "a": 0}

    plain = Tokenizer()
    plain.chat_template = None
    assert tokenizer_hash(Tokenizer()) != tokenizer_hash(plain)
    assert tokenizer_hash(None) is None
