"""The gate's rule, case by case."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspex.optimization.confirmation import Gain, confirmed, luck, needed_size


def gain(wins: int, losses: int, n: int) -> Gain:
    """`n` binary pairs, of which the winner has `wins` to itself and the seed `losses`."""
    ties = n - wins - losses
    seed = (0.0,) * wins + (1.0,) * losses + (1.0,) * (ties // 2) + (0.0,) * (ties - ties // 2)
    winner = (1.0,) * wins + (0.0,) * losses + (1.0,) * (ties // 2) + (0.0,) * (ties - ties // 2)
    return Gain(seed, winner)


@pytest.mark.parametrize(
    ("val", "confirm", "contenders", "rule"),
    [
        (gain(20, 2, 60), gain(12, 1, 40), 10, "confirmed"),
        (gain(20, 2, 60), gain(6, 1, 40), 10, "confirmed"),
        (gain(20, 2, 60), gain(7, 4, 40), 1, "together"),
        (gain(20, 2, 60), gain(4, 4, 40), 1, "together"),
        (gain(20, 2, 60), gain(4, 5, 40), 1, "not shown"),
        (gain(8, 3, 60), gain(7, 4, 40), 1, "not shown"),
        (gain(11, 2, 60), gain(7, 4, 40), 1, "together"),
        (gain(11, 2, 60), gain(7, 4, 40), 30, "not shown"),
        (gain(20, 2, 60), gain(0, 0, 40), 1, "not shown"),
        (gain(20, 2, 60), gain(1, 8, 40), 1, "not shown"),
        (gain(20, 2, 60), Gain((), ()), 1, "not shown"),
    ],
)
def test_the_rule(val: Gain, confirm: Gain, contenders: int, rule: str) -> None:
    found = confirmed(val, confirm, contenders)
    assert (found.rule, found.ships) == (rule, rule != "not shown")


def test_a_gain_that_is_not_shown_comes_with_the_size_that_would_show_it() -> None:
    found = confirmed(gain(9, 4, 60), gain(7, 5, 40), 10)
    assert not found.ships
    assert found.needed is not None
    assert found.needed > 40
    assert f"about {found.needed} examples" in found.reason


def test_no_gain_needs_no_size() -> None:
    found = confirmed(gain(9, 4, 60), gain(3, 9, 40), 10)
    assert found.needed is None
    assert "no gain to show" in found.reason


def test_so_many_examples_do_show_the_gain() -> None:
    small = gain(7, 5, 40)
    needed = needed_size(small)
    assert needed is not None
    times = needed // 40 + 1
    assert confirmed(gain(9, 4, 60), gain(7 * times, 5 * times, 40 * times), 10).rule == "confirmed"


def test_the_more_contenders_the_less_val_counts() -> None:
    shrunk = [confirmed(gain(12, 4, 60), gain(7, 4, 40), count).shrunk for count in (1, 5, 50)]
    assert shrunk[0] == pytest.approx(8 / 60)
    assert shrunk == sorted(shrunk, reverse=True)


def test_luck_of_the_best_of_many_is_about_the_expected_maximum_of_normals() -> None:
    assert [round(luck(count), 2) for count in (1, 2, 10, 100)] == [0.0, 0.59, 1.55, 2.5]


@given(st.lists(st.tuples(st.sampled_from((0.0, 0.5, 1.0)), st.sampled_from((0.0, 0.5, 1.0))), min_size=1, max_size=50))
def test_turning_winner_and_seed_around_never_ships_both(pairs: list[tuple[float, float]]) -> None:
    one, two = (tuple(side) for side in zip(*pairs, strict=True))
    there, back = confirmed(Gain(one, two), Gain(one, two), 1), confirmed(Gain(two, one), Gain(two, one), 1)
    assert not (there.ships and back.ships and there.gain != 0)
