"""Item response, on scores drawn from known abilities and difficulties, and on scores that are not."""

from __future__ import annotations

import math
from random import Random
from statistics import correlation, fmean, pstdev

import pytest

from dspex.optimization.surrogates.item_response import Key, item_response

ITEMS: list[Key] = [(f"x{number:02}", 0) for number in range(64)]


def logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def drawn(seed: int, candidates: int = 24, spread: float = 1.5) -> tuple[dict[str, float], dict[Key, float]]:
    """Abilities and difficulties."""
    rng = Random(seed)
    return (
        {f"c{number}": rng.gauss(0.5, 0.7) for number in range(candidates)},
        {key: rng.gauss(0, spread) for key in ITEMS},
    )


def answers(
    seed: int, ability: dict[str, float], difficulty: dict[Key, float], size: int = 16
) -> dict[str, dict[Key, float]]:
    """Each candidate on `size` random examples."""
    rng = Random(f"answers/{seed}")
    return {
        who: {key: float(rng.random() < logistic(value - difficulty[key])) for key in rng.sample(ITEMS, size)}
        for who, value in ability.items()
    }


def test_hard_examples_are_not_held_against_a_candidate() -> None:
    """Two equal candidates, one asked the eight hardest examples, the other the eight easiest."""
    ability, difficulty = drawn(0, spread=2.5)
    scores = answers(0, ability, difficulty, 40)
    ordered = sorted(ITEMS, key=difficulty.__getitem__)
    rng = Random(5)
    ability["unlucky"] = ability["lucky"] = 1.5
    for who, asked in (("unlucky", ordered[-16:]), ("lucky", ordered[:16])):
        scores[who] = {key: float(rng.random() < logistic(1.5 - difficulty[key])) for key in asked}
    raw = {who: fmean(scores[who].values()) for who in ("lucky", "unlucky")}
    fit = item_response(scores)
    assert raw["lucky"] - raw["unlucky"] > 0.5
    lucky, unlucky = fit.means([fit.ability("lucky")[0], fit.ability("unlucky")[0]], ITEMS)
    assert abs(lucky - unlucky) < 0.12
    assert 0.2 < fit.chance("unlucky", "lucky") < 0.8


def test_difficulties_and_abilities_are_recovered_better_than_by_means() -> None:
    fits: list[float] = []
    means: list[float] = []
    for seed in range(8):
        ability, difficulty = drawn(seed)
        scores = answers(seed, ability, difficulty)
        fit = item_response(scores)
        names = list(ability)
        asked = [key for key in ITEMS if key in fit.difficulties]
        assert correlation([difficulty[key] for key in asked], [fit.difficulties[key][0] for key in asked]) > 0.6
        fits.append(correlation(list(ability.values()), [fit.ability(name)[0] for name in names]))
        means.append(correlation(list(ability.values()), [fmean(scores[name].values()) for name in names]))
    assert fmean(fits) > fmean(means) + 0.03


def test_its_uncertainty_is_about_right() -> None:
    errors: list[float] = []
    said: dict[bool, list[bool]] = {True: [], False: []}
    for seed in range(20):
        ability, difficulty = drawn(seed)
        fit = item_response(answers(seed, ability, difficulty))
        errors += [(fit.ability(who)[0] - value) / fit.ability(who)[1] for who, value in ability.items()]
        for one in ability:
            for two in ability:
                if one < two and not 0.2 < fit.chance(one, two) < 0.8:
                    said[fit.chance(one, two) >= 0.8].append(ability[one] > ability[two])
    assert 0.8 < pstdev(errors) < 1.5
    assert fmean(said[True]) > 0.8
    assert fmean(said[False]) < 0.2


def test_graded_scores_are_read_as_points() -> None:
    rng = Random(0)
    ability, difficulty = drawn(0)
    scores = {
        who: {
            key: min(1.0, max(0.0, 0.5 + 0.1 * value - 0.08 * difficulty[key] + rng.gauss(0, 0.05)))
            for key in rng.sample(ITEMS, 12)
        }
        for who, value in ability.items()
    }
    fit = item_response(scores)
    assert not fit.binary
    found = [fit.ability(name)[0] for name in ability]
    assert correlation(list(ability.values()), found) > 0.93
    means = [fmean(scores[name].values()) for name in ability]
    assert correlation(list(ability.values()), found) > correlation(list(ability.values()), means) + 0.04
    assert 0.03 < fit.scale.noise < 0.1


def test_an_example_that_everybody_gets_right_tells_nothing() -> None:
    ability, difficulty = drawn(3, candidates=30)
    easy, telling, odd = ITEMS[0], ITEMS[1], ITEMS[2]
    difficulty |= {easy: -6.0, telling: 0.5}
    scores = answers(3, ability, difficulty, 48)
    for who, value in ability.items():
        scores[who][easy] = 1.0
        scores[who][telling] = float(value > 0.5)  # a sharp one
        scores[who][odd] = float(Random(who).random() < 0.5)  # chance alone
    fit = item_response(scores)
    level = fit.scale.centre
    assert fit.information(level, telling) > 3 * fit.information(level, easy)
    assert fit.discriminations[telling] > 1.15 > 0.9 > fit.discriminations[odd]


@pytest.mark.parametrize("scores", [{}, {"a": {}}, {"a": {ITEMS[0]: 1.0}}, {"a": dict.fromkeys(ITEMS, 0.5)}])
def test_little_or_nothing_is_no_trouble(scores: dict[str, dict[Key, float]]) -> None:
    fit = item_response(scores)
    assert 0 <= fit.means([fit.ability("a")[0]], ITEMS)[0] <= 1
    assert fit.chance("a", "b") == pytest.approx(0.5, abs=0.2)
    assert fit.ability("never seen") == (fit.scale.centre, fit.scale.ability)


def test_the_order_of_rows_changes_nothing_that_counts() -> None:
    ability, difficulty = drawn(1)
    scores = answers(1, ability, difficulty)
    shuffled = {who: dict(reversed(found.items())) for who, found in reversed(scores.items())}
    one, two = item_response(scores), item_response(shuffled)
    for who in ability:
        assert one.ability(who) == pytest.approx(two.ability(who), abs=1e-9)
