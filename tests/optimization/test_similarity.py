"""Few examples that stand for many."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspex.optimization.similarity import pool_of, representatives
from dspex.optimization.stages import Worked

TEXTS = {
    "fruit": ["ripe apple and pear", "sour apple juice", "pear and plum tart", "apple pear plum"],
    "tools": ["hammer and nails", "steel hammer set", "nails and screws", "hammer nails screws"],
    "birds": ["heron at the lake", "young heron nest", "lake with a swan", "heron swan lake"],
}


def shown(text: str, label: str) -> Worked:
    return Worked(text, {"text": text, "label": label})


POOL = [shown(text, label) for label, texts in TEXTS.items() for text in texts]


def test_sets_cover_every_outcome() -> None:
    pool = pool_of(POOL * 4, ["text"], ["label"])
    sets = [representatives(pool, 4, Random(seed)) for seed in range(50)]
    labels = [{pool.items[index].values["label"] for index in taken} for taken in sets]
    assert sum(found == set(TEXTS) for found in labels) >= 49  # at random: 22


def test_what_is_wanted_more_is_shown_more() -> None:
    pool = pool_of(POOL, ["text"], ["label"])
    weights = [20.0 if item.values["label"] == "birds" else 0.1 for item in POOL]
    counts = [
        sum(pool.items[index].values["label"] == "birds" for index in representatives(pool, 3, Random(seed), weights))
        for seed in range(20)
    ]
    assert min(counts) >= 2


def test_other_seeds_give_other_sets_and_the_same_seed_the_same() -> None:
    pool = pool_of(POOL, ["text"], ["label"])
    found = [frozenset(representatives(pool, 4, Random(seed))) for seed in range(12)]
    assert len(set(found)) > 3
    assert found == [frozenset(representatives(pool, 4, Random(seed))) for seed in range(12)]


@given(st.integers(0, 20), st.integers(0, 9), st.lists(st.integers(0, 11), max_size=3, unique=True))
def test_a_set_has_no_more_than_asked_nothing_twice_and_what_is_kept(size: int, seed: int, kept: list[int]) -> None:
    pool = pool_of(POOL, ["text"], ["label"])
    taken = representatives(pool, size, Random(seed), kept=kept)
    assert len(taken) == len(set(taken)) <= max(size, len(kept))
    assert taken[: len(kept)] == kept


def test_the_gain_is_that_of_plain_greedy() -> None:
    pool = pool_of(POOL, ["text"], [])

    def worth(taken: list[int]) -> float:
        best = [0.0] * len(POOL)
        for index in taken:
            for j, likeness in pool.near[index]:
                best[j] = max(best[j], likeness)
        return sum(best)

    class Even(Random):
        """Neither weights nor eligibility vary."""

        def expovariate(self, lambd: float = 1.0) -> float:
            return 1.0

        def random(self) -> float:
            return 0.0

    plain: list[int] = []
    for _ in range(4):
        plain.append(max((i for i in range(len(POOL)) if i not in plain), key=lambda i: (worth([*plain, i]), -i)))
    assert worth(representatives(pool, 4, Even())) == pytest.approx(worth(plain))
