"""JSON and TOML of anybody: whatever is wrong with it is one error of the caller's own."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from broca.errors import BrocaError, SelectionError, StimulusError
from broca.storage import parse_json, parse_toml, read_json

HOSTILE = [
    b"",
    b"\xff\xfe",
    b"{",
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"9" * 10_000,
    b'"\\ud800"',
    b'{"a": 1, }',
    b"\0",
    b"null",
    b"[1, 2]",
    b'{"rows": 3}',
    b'{"rows": ["a"]}',
    b'{"rows": {"0": 1}}',
]


class Rows(BaseModel):
    rows: list[int]


def parsed(content, read=parse_json):
    return read(content, Rows, name="x.json", error=StimulusError, advice="Get it again.")


@pytest.mark.parametrize("content", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_no_such_thing_is_the_callers_error(content):
    for read in (parse_json, parse_toml):
        with pytest.raises(StimulusError, match=r"x\.json.* Get it again\.") as caught:
            parsed(content, read)
        assert len(str(caught.value)) < 500


def test_what_is_right_comes_back():
    assert parsed(b'{"rows": [1, 2]}').rows == [1, 2]
    assert parsed(b"rows = [1, 2]", parse_toml).rows == [1, 2]


LONG = ["18446744073709551616", "-9223372036854775809", "0x" + "f" * 5000, "0o" + "7" * 9000, "0b" + "1" * 65]


@pytest.mark.parametrize(
    ("read", "text"),
    [(parse_json, f'{{"a": {{"b": [[1, {n}]]}}}}') for n in LONG[:2]]
    + [(parse_toml, f"a = {{b = [[1, {n}]]}}") for n in LONG],
    ids=lambda value: value[:30] if isinstance(value, str) else value.__name__,
)
def test_integers_beyond_64_bits_are_refused_before_anybody_prints_them(read, text):
    with pytest.raises(StimulusError, match=r"an integer in it is beyond 64 bits\. Get it again\."):
        read(text, dict, name="x", error=StimulusError, advice="Get it again.")


@pytest.mark.parametrize("number", [-(2**63), 2**63, 2**64 - 1])
def test_integers_of_64_bits_are_read(number):
    assert parse_toml(f"a = {number}", dict, name="x", error=StimulusError, advice="") == {"a": number}
    assert parse_json(f"[{number}]", list, name="x", error=StimulusError, advice="") == [number]


def test_the_place_of_the_first_fault_is_named():
    with pytest.raises(StimulusError, match=r"rows\.1: Input should be a valid integer.*given 'x'"):
        parsed(b'{"rows": [1, "x"]}')


@given(content=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_bytes_at_all_give_another_error(content):
    for read in (parse_json, parse_toml):
        with contextlib.suppress(BrocaError):
            parsed(content, read)


def test_a_file_of_json_is_read_or_says_what_is_wrong_with_it(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": 1}')
    asked = {"largest": 8, "error": SelectionError, "advice": "Get it again."}
    assert read_json(path, dict[str, int], **asked) == {"a": 1}
    path.write_text('{"a": 10}')
    with pytest.raises(SelectionError, match=r"has 9 bytes, and 8 are read at most\. Get it again\."):
        read_json(path, dict[str, int], **asked)
    with pytest.raises(SelectionError, match="could not be read: No such file"):
        read_json(tmp_path / "gone.json", dict[str, int], **asked)
