"""The simulated worlds: answers are functions of requests, true scores are expectations, optima are optima."""

from __future__ import annotations

from random import Random

import pytest

from benchmarks.optimizers.families import FAMILIES, world
from benchmarks.optimizers.reading import read
from benchmarks.optimizers.server import Session, answer
from benchmarks.optimizers.worlds import Case, View, World
from tests.benchmarks.optimizers.prompts import question, reflection

RULES = world("rules", 3)
STAGE = RULES.stages[0]


def test_equal_requests_get_equal_answers_and_repeated_ones_are_drawn_anew() -> None:
    asked = [question(STAGE, case) for case in RULES.splits["val"]]
    first, second = Session(RULES, 10**6), Session(RULES, 10**6)
    drawn = [answer(first, item) for item in asked]
    assert drawn == [answer(second, item) for item in asked]
    again = [answer(first, item) for item in asked]
    assert again != drawn
    cold = [{**item, "temperature": 0} for item in asked]
    assert [answer(first, item) for item in cold] == [answer(first, item) for item in cold]


def test_the_true_score_is_what_many_answers_come_to() -> None:
    right = 0
    cases = RULES.splits["test"]
    session = Session(RULES, 10**6)
    for case in cases:
        for _ in range(5):
            right += case.truth["team"] in answer(session, {**question(STAGE, case), "temperature": 1.0})
    expected = RULES.score([RULES.view(read(question(STAGE, cases[0])), STAGE)])
    assert abs(right / (5 * len(cases)) - expected) < 0.05


def test_the_oracle_notes_what_a_request_tells() -> None:
    session = Session(RULES, 10)
    case = RULES.splits["test"][0]
    said = answer(session, question(STAGE, case), oracle=True)
    assert case.truth["team"] in said
    assert session.views["route"].tips == RULES.given(STAGE.instructions)


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("seed", [0, 7])
def test_no_view_is_better_than_the_best(family: str, seed: int) -> None:
    found = world(family, seed)
    rng, best = Random(seed), found.best()
    seeds = found.score([found.bare(stage) for stage in found.stages])
    assert best >= seeds
    for _ in range(40):
        assert found.score([_random(found, place, rng) for place in range(len(found.stages))]) <= best + 0.005


def _random(found: World, place: int, rng: Random) -> View:
    """Some advice of all kinds, and some demonstrations."""
    stage = found.stages[place]
    there = [tip for tip in found.tips if tip.stage == stage.name]
    good = [tip for tip in there if tip.kind == "right" and rng.random() < 0.9]
    rest = rng.sample([tip for tip in there if tip not in good], min(2, len(there) - len(good)))
    shown = rng.sample(found.splits["train"], rng.choice((0, 4, 8)))
    demos = tuple((case.code, case.truth[stage.output]) for case in shown)
    return found.bare(stage, tips=frozenset([*good, *rest[: rng.randrange(3)]]), demos=demos)


def test_a_misleading_seed_is_worse_than_none_and_its_rules_can_be_taken_back() -> None:
    silent = RULES.score([RULES.bare(STAGE, tips=frozenset())])
    assert RULES.score([RULES.bare(STAGE)]) < silent - 0.05 < RULES.best()


def test_right_demonstrations_help_and_wrong_ones_do_harm() -> None:
    found = world("demonstrations", 2)
    stage = found.stages[0]
    shown = found.splits["train"][:6]
    right = tuple((case.code, case.truth["team"]) for case in shown)
    wrong = tuple((case.code, next(item for item in stage.answers if item != case.truth["team"])) for case in shown)
    none, good, bad = (found.score([found.bare(stage, demos=demos)]) for demos in ((), right, wrong))
    assert bad < none < good


def test_remarks_in_a_request_make_the_writer_find_the_rule() -> None:
    """The proposer finds what the request shows and hardly what it does not show."""
    tip = next(item for item in RULES.tips if item.kind == "right" and item.topic == RULES.topics[3])
    cases = [case for case in RULES.splits["train"] if case.topics == (tip.topic,)][:2]
    other = [case for case in RULES.splits["train"] if tip.topic not in case.topics][:2]

    def found(told: list[tuple[Case, str, str]]) -> int:
        session = Session(RULES, 10**6)
        asked = reflection(STAGE, STAGE.instructions, told)
        return sum(tip.text in answer(session, asked) for _ in range(60))

    wrong = next(item for item in STAGE.answers if item != cases[0].truth["team"])
    named: list[tuple[Case, str, str]] = [(case, wrong, tip.text) for case in cases]
    shown: list[tuple[Case, str, str]] = [(case, wrong, f"Expected {case.truth['team']}") for case in cases]
    absent: list[tuple[Case, str, str]] = [(case, wrong, f"Expected {case.truth['team']}") for case in other]
    assert found(named) > found(shown) > found(absent) == 0
