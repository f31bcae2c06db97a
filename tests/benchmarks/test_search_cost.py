"""The cost of a search is measured on a real one, and leaves out what has a line of its own."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.search_cost import Cost, Size, rows, search


def test_fits_are_no_part_of_the_price_of_a_call() -> None:
    cost = Cost("beacon", "journal", calls=1000, cpu=0.5, fitting=0.3, rounds=10, candidates=9, evaluations=990,
                megabytes=3.0)  # fmt: skip
    assert cost.a_call == pytest.approx(200)
    assert cost.fits == pytest.approx(30)


def test_the_search_that_is_measured_is_one_that_finds_something() -> None:
    result = asyncio.run(search("reflection", ":memory:", Size(400), (rows(30, 0), rows(100, 10_000))))
    assert result.improved
    assert result.evaluations > 200
