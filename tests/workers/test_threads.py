"""The number of threads is set for everything that computes, and put back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from broca.workers import Local, Ray
from broca.workers.threads import cores, limit_threads, share


def threads():
    np.zeros(1)
    return [torch.get_num_threads(), *(library["num_threads"] for library in threadpool_info())]


def test_threads_are_limited_inside_only():
    before = threads()
    with limit_threads(3):
        assert set(threads()) == {3}
        with limit_threads(None):
            assert set(threads()) == {3}
        with limit_threads(1):
            assert set(threads()) == {1}
        assert set(threads()) == {3}
    assert threads() == before


def test_threads_come_back_after_an_error():
    before = threads()
    with pytest.raises(KeyError), limit_threads(3):
        raise KeyError
    assert threads() == before


def test_workers_share_the_cores_but_use_no_more_than_torch_does_now():
    with limit_threads(8):
        assert share(1) == min(8, cores())
        assert share(10_000) == 1
    with limit_threads(1):
        assert share(1) == 1
        assert Local(workers=2).threads_each == Ray(workers=2).threads_each == 1
