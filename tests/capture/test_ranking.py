"""Rankings against brute force: every scope, ties, many fractions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broca.capture.ranking import rank_weights
from broca.errors import StatisticsError
from broca.units.weights import Address

ADDRESSES = {"1.q": Address(1, "q", 3, 4), "0.k": Address(0, "k", 2, 4), "0.q": Address(0, "q", 5, 2)}
scores = st.fixed_dictionaries(
    {
        n: st.lists(
            st.sampled_from([0.0, 1e-30, 1.0, 2.5, 3.0]) | st.floats(0, 9, width=32), min_size=a.size, max_size=a.size
        )
        for n, a in ADDRESSES.items()
    }
)
SCOPES = ["matrix", "row", "layer", "kind", "global"]


def group(name, i, scope):
    a = ADDRESSES[name]
    return {"matrix": name, "row": (name, i // a.columns), "layer": a.layer, "kind": a.kind, "global": 0}[scope]


@pytest.mark.parametrize("scope", SCOPES)
@given(values=scores, most=st.sampled_from([0.1, 0.3, 1.0]))
def test_every_slice_is_the_mask_that_a_full_sort_gives(scope, values, most) -> None:
    found = rank_weights(lambda name: np.array(values[name], np.float32), ADDRESSES, scope=scope, most=most)
    order = list(ADDRESSES)
    groups = {}
    for name, some in values.items():
        for i, value in enumerate(np.array(some, np.float32)):
            groups.setdefault(group(name, i, scope), []).append((-value, order.index(name), i, name))
    for m in np.linspace(0, most, 7):
        wanted = {(name, i) for own in groups.values() for _, _, i, name in sorted(own)[: int(len(own) * m)]}
        top = found.top(m)
        assert {(name, int(i)) for name, index in top.at.items() for i in index} == wanted
        assert found.nominal(m) == len(wanted)


def test_nan_is_first_in_a_matrix_and_refused_over_several() -> None:
    values = {n: np.arange(a.size, dtype=np.float32) for n, a in ADDRESSES.items()}
    values["1.q"][5] = np.nan
    found = rank_weights(values.__getitem__, ADDRESSES, most=0.3)
    assert found.lists["1.q"].index.tolist() == [5, 11, 10]
    with pytest.raises(StatisticsError, match="NaN"):
        rank_weights(values.__getitem__, ADDRESSES, scope="global", most=0.3)
