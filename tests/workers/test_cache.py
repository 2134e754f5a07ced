from __future__ import annotations

import numpy as np

from broca.cache.cache import no_cache, silent


def test_forget_computes_every_time():
    calls = []

    def compute():
        calls.append(1)
        return {"a": np.zeros(1)}

    assert no_cache({"k": 1}, compute) is not no_cache({"k": 1}, compute)
    assert len(calls) == 2


def test_silent_says_nothing(capsys):
    silent("cells", 1, 2)
    assert capsys.readouterr() == ("", "")
