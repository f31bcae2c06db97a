"""Demonstrations, rules and reasoning genuinely matter: the demo's tickets, half to learn from and half to test."""

from __future__ import annotations

from statistics import mean

from tests.clients.embedded.tickets import PLAIN, accuracy, answers, rewritten, schema, shuffled

TRAIN, TEST = shuffled()[:180], shuffled()[180:380]
DESCRIBED = f"""{PLAIN}
- billing: invoices, payments and refunds
- technical: devices, connections and software that do not work
- account: login, password and personal data
- shipping: parcels, delivery and returns
- sales: questions before buying, offers
- low: no hurry
- high: must be solved at once"""


def learned(instructions: str, rounds: int) -> str:
    """Instructions after so many rounds with sixty rows each."""
    for turn in range(rounds):
        batch = TRAIN[turn * 60 : turn * 60 + 60]
        present = answers(schema(), instructions, (), [row["ticket"] for row in batch])
        instructions = rewritten(instructions, batch, present)
    return instructions


def random_demonstrations(count: int) -> float:
    """The mean over sets of demonstrations."""
    return mean(accuracy(PLAIN, TRAIN[start : start + count], TEST) for start in range(0, 160, 32))


def test_demonstrations_help_and_more_of_them_help_more() -> None:
    bare, four, sixteen = accuracy(PLAIN, (), TEST), random_demonstrations(4), random_demonstrations(16)
    assert four > bare + 0.05
    assert sixteen > four + 0.05


def test_a_description_of_the_labels_helps() -> None:
    assert accuracy(DESCRIBED, (), TEST) > accuracy(PLAIN, (), TEST) + 0.1


def test_learned_rules_beat_the_plain_program_by_far_and_random_demonstrations_clearly() -> None:
    rules = learned(PLAIN, 3)
    found = accuracy(rules, TRAIN[:8], TEST, reasoning=True)
    assert found > accuracy(PLAIN, (), TEST) + 0.3
    assert found > random_demonstrations(4) + 0.15
    assert found > 0.58
    assert accuracy(learned(PLAIN, 1), (), TEST) + 0.02 < found


def test_rules_are_added_to_a_description_and_help() -> None:
    assert accuracy(learned(DESCRIBED, 2), (), TEST) > accuracy(DESCRIBED, (), TEST) + 0.05


def test_reasoning_helps_where_there_are_rules() -> None:
    rules = learned(PLAIN, 3)
    assert accuracy(rules, (), TEST, reasoning=True) > accuracy(rules, (), TEST) + 0.01
