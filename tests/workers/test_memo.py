from __future__ import annotations

import numpy as np

from broca.cache.memo import forget, silent


def test_forget_computes_every_time():
    calls = []

    def compute():
        calls.append(1)
        return {"a": np.zeros(1)}

    assert forget({"k": 1}, compute) is not forget({"k": 1}, compute)
    assert len(calls) == 2


def test_silent_says_nothing(capsys):
    silent("cells", 1, 2)
    assert capsys.readouterr() == ("", "")
