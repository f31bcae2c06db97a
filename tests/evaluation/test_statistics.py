"""Statistics against published values, simple identities and brute force."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspex.evaluation.statistics import (
    difference_interval,
    incomplete_beta,
    mcnemar,
    mean_interval,
    paired,
    probability_better,
    wilson,
)


def pairs(both: int, only_first: int, only_second: int, neither: int) -> tuple[list[float], list[float]]:
    first = [1.0] * both + [1.0] * only_first + [0.0] * only_second + [0.0] * neither
    second = [1.0] * both + [0.0] * only_first + [1.0] * only_second + [0.0] * neither
    return first, second


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_values_of_newcombe_1998(successes: int, n: int, low: float, high: float) -> None:
    found = wilson(successes, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)
    assert found.method == "wilson"


def test_newcombe_gives_the_published_interval_of_a_paired_difference() -> None:
    first, second = pairs(20, 2, 12, 16)
    found = paired(first, second)
    assert found.difference == pytest.approx(0.2)
    assert (found.interval.low, found.interval.high) == pytest.approx((0.0562, 0.3292), abs=5e-5)
    assert found.interval.method == "newcombe"
    assert (found.wins, found.losses, found.ties, found.n) == (12, 2, 36, 50)
    assert found.interval.excludes(0)


@pytest.mark.parametrize(
    ("wins", "losses", "p"), [(10, 2, 158 / 4096), (0, 5, 2 / 32), (5, 5, 1.0), (0, 0, 1.0), (1, 0, 1.0)]
)
def test_mcnemar_is_the_exact_binomial_test(wins: int, losses: int, p: float) -> None:
    assert mcnemar(wins, losses) == mcnemar(losses, wins) == pytest.approx(p, abs=1e-15)


def test_mcnemar_of_many_agrees_with_the_normal_approximation() -> None:
    z = (550 - 450 - 1) / math.sqrt(1000)
    assert mcnemar(550, 450) == pytest.approx(math.erfc(z / math.sqrt(2)), rel=0.01)
    assert mcnemar(5500, 5400) == pytest.approx(math.erfc(99 / math.sqrt(10900) / math.sqrt(2)), rel=0.01)


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (3, 0), (1, 4), (7, 2), (20, 30)])
def test_probability_better_of_binary_scores_is_the_tail_of_a_beta(wins: int, losses: int) -> None:
    """By numerical integration of the density of Beta(1 + wins, 1 + losses) above 1/2."""
    steps = 20_000
    density: Callable[[float], float] = lambda p: p**wins * (1 - p) ** losses  # noqa: E731
    grid = [density((k + 0.5) / steps) for k in range(steps)]
    first, second = pairs(5, losses, wins, 5)
    assert probability_better(first, second) == pytest.approx(sum(grid[steps // 2 :]) / sum(grid), abs=1e-6)


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (3, 0), (1, 4), (7, 2), (20, 30), (70, 50)])
def test_probability_better_of_graded_scores_has_the_binary_one_as_its_special_case(wins: int, losses: int) -> None:
    first, second = pairs(5, losses, wins, 5)
    half = [item / 2 for item in first], [item / 2 for item in second]
    assert probability_better(*half) == pytest.approx(probability_better(first, second), abs=0.03)


def test_probability_better_of_graded_scores_weighs_sizes_and_is_seeded() -> None:
    first = [0.5] * 12
    few_large = [0.9, 0.9, 0.9, *[0.45] * 9]
    assert probability_better(first, few_large) > 0.8
    assert probability_better(few_large, first) < 0.2
    assert probability_better(first, few_large, seed=1) == probability_better(first, few_large, seed=1)
    assert probability_better([0.3], [0.4]) == pytest.approx(0.75, abs=0.03)
    assert probability_better(first, first) == 0.5


def test_probability_better_changes_little_where_draws_give_way_to_the_normal() -> None:
    rng = random.Random(3)
    differences = [rng.gauss(0.02, 0.2) for _ in range(99)]
    drawn = probability_better([0.5] * 98, [0.5 + item for item in differences[:98]])
    computed = probability_better([0.5] * 99, [0.5 + item for item in differences])
    assert drawn == pytest.approx(computed, abs=0.05)


def test_mean_interval_of_graded_scores_is_student_t() -> None:
    found = mean_interval([0.2, 0.4, 0.6, 0.8, 0.5])
    margin = 2.7764451 * math.sqrt(0.05 / 5)  # t(4) at 0.975 from tables; the variance is 0.05
    assert (found.low, found.high) == pytest.approx((0.5 - margin, 0.5 + margin), abs=1e-6)
    assert found.method == "student_t"


def test_too_little_data_says_so_instead_of_a_width() -> None:
    assert mean_interval([]).method == mean_interval([0.4]).method == "none"
    assert (mean_interval([0.4]).low, mean_interval([0.4]).high) == (0.0, 1.0)
    assert paired([], []).interval.method == paired([0.1], [0.4]).interval.method == "none"
    with pytest.raises(ValueError, match="as many first scores as second"):
        paired([1.0], [])


def test_incomplete_beta_is_the_binomial_tail() -> None:
    for n, most in ((40, 13), (1200, 570)):
        exact = sum(math.comb(n, k) for k in range(most + 1)) / (1 << n)
        assert incomplete_beta(n - most, most + 1, 0.5) == pytest.approx(exact, rel=1e-10)
    assert incomplete_beta(2, 3, 0.0) == 0.0
    assert incomplete_beta(2, 3, 1.0) == 1.0
    assert incomplete_beta(2, 3, 0.3) == pytest.approx(0.3483, abs=1e-10)


def test_intervals_cover_as_often_as_they_say() -> None:
    rng = random.Random(7)
    covered = {"binary": 0, "graded": 0, "paired": 0}
    rounds = 400
    for number in range(rounds):
        binary = [float(rng.random() < 0.7) for _ in range(40)]
        graded = [min(1.0, max(0.0, rng.gauss(0.5, 0.1))) for _ in range(40)]
        shift = [rng.gauss(0.1, 0.2) for _ in range(40)]
        covered["binary"] += not mean_interval(binary).excludes(0.7)
        covered["graded"] += not mean_interval(graded).excludes(0.5)
        covered["paired"] += number % 4 == 0 and not difference_interval(shift, seed=number).excludes(0.1)
    assert 0.92 <= covered["binary"] / rounds <= 0.98
    assert 0.92 <= covered["graded"] / rounds <= 0.98
    assert 0.86 <= covered["paired"] / (rounds / 4) <= 1.0


SCORE = st.integers(0, 10**6).map(lambda millionths: millionths / 10**6)  # smaller steps underflow in the bootstrap


@given(scores=st.lists(st.tuples(SCORE, SCORE), min_size=2, max_size=30), binary=st.booleans())
def test_a_comparison_is_consistent_with_itself_and_its_mirror(scores: list[tuple[float, float]], binary: bool) -> None:
    first = [float(round(a)) if binary else a for a, _ in scores]
    second = [float(round(b)) if binary else b for _, b in scores]
    found, mirror = paired(first, second), paired(second, first)
    assert found.wins + found.losses + found.ties == found.n == len(scores)
    assert (found.wins, found.losses) == (mirror.losses, mirror.wins)
    assert found.difference == pytest.approx(-mirror.difference)
    assert found.interval.low <= found.difference + 1e-9
    assert found.interval.high >= found.difference - 1e-9
    assert found.p_better + mirror.p_better == pytest.approx(1, abs=0.15)
    assert (found.mcnemar_p is None) is not (set(first) | set(second) <= {0.0, 1.0})
