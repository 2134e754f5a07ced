"""Pickles as data: nothing runs, nothing is believed."""

from __future__ import annotations

import os
import pickle
import pickletools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broca.storage.pickles import plain_pickle

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(value=VALUES, protocol=st.integers(3, pickle.HIGHEST_PROTOCOL))
def test_plain_values_come_back(value, protocol):
    assert plain_pickle(pickle.dumps(value, protocol)) == value


class Runs:
    def __reduce__(self):
        return os.system, ("true",)


HOSTILE = [
    pickle.dumps(Runs()),
    pickle.dumps([Runs()], 0),
    pickle.dumps(os.system),
    pickle.dumps({1, 2}),
    b"\x80\x02]r" + struct.pack("<I", 2**31 - 1) + b".",
    b"\x80\x04]\x8c\xffabc.",
    b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b".",
    b"(" * 100_000 + b".",
    b"\x80\x05" + b"]\x94" * 3 + b"a" * 5 + b".",
    b"",
    b".",
    b"\x80\xff.",
    b"cos\nsystem\n(S'true'\ntR.",
    b"L" + b"9" * 10_000 + b"L\n.",
]


@pytest.mark.parametrize("content", HOSTILE, ids=range(len(HOSTILE)))
def test_whatever_else_is_refused_in_little_room(content):
    with pytest.raises(ValueError, match=r"^it (is damaged|holds|asks)"):
        plain_pickle(content)


@given(content=st.binary(max_size=80))
def test_no_bytes_give_another_error(content):
    try:
        plain_pickle(content)
    except ValueError:
        assert True
    else:
        assert all(op.name != "GLOBAL" for op, _, _ in pickletools.genops(content))
