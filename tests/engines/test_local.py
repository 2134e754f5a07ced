from __future__ import annotations

import pytest

from broca.engines.local import Engine, Local


def test_results_come_in_the_order_of_the_parts():
    engine: Engine = Local()
    assert list(engine.map(lambda n: n * n, (3, 1, 2))) == [9, 1, 4]


def test_a_part_is_computed_when_it_is_asked_for():
    done = []
    results = Local().map(done.append, range(3))
    next(results)
    assert done == [0]


def test_an_exception_stands_where_its_part_stands():
    results = Local().map(lambda n: 1 // n, (1, 0))
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
