"""Whether there is anything to gain: measured first, and a reason to stop only where it is certain."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from dspex.errors import VariableError
from dspex.kernel.ports import Request
from dspex.kernel.program import Program
from dspex.kernel.variables import Choice, Float, Text
from dspex.modules.flow import choose
from dspex.modules.prediction import chain_of_thought, predict
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.options import SearchOptions
from dspex.optimization.rows import Pair
from dspex.optimization.strategies.headroom import CALLS, UNLIKELY, WINS, showable
from tests.optimization.searching import rows_of, searched
from tests.optimization.simulators import HINT, Colour, answered, hinted, program, share, splits, text_in


def nearly_right(request: Request) -> str:
    """Right on all but a few texts, whatever it is told."""
    text = text_in(request)
    return answered(text, share(text) < 0.99)


def samples_of(ledger: MemoryLedger) -> list[Pair]:
    return [item.pair for item in ledger.evaluations() if item.sample > 0]


@pytest.mark.parametrize(
    ("asked", "faults", "confirm", "chance"),
    [(0, 0, 2, 0.0), (0, 0, 3, 0.25), (8, 0, 48, 0.591), (48, 0, 24, 0.034), (48, 24, 24, 1.0)],
)
def test_the_chance_that_a_gain_could_be_shown(asked: int, faults: int, confirm: int, chance: float) -> None:
    assert showable(asked, faults, confirm) == pytest.approx(chance, abs=0.005)


@pytest.mark.parametrize(("val", "confirm"), [(100, 75), (140, 100), (80, 24)])
@pytest.mark.parametrize("rate", [0.01, 0.02, 0.05, 0.1])
def test_stopping_loses_next_to_nothing_that_could_have_been_shown(val: int, confirm: int, rate: float) -> None:
    """By draws of seed programs with that rate of faults: it stops, and a flawless program would have been shown."""
    rng = Random(7)
    lost = 0
    for _ in range(600):
        faults = [rng.random() < rate for _ in range(val)]
        stops = any(
            showable(asked, sum(faults[:asked]), confirm) < UNLIKELY
            for asked in (CALLS, val)
            if asked == val or not any(faults[:asked])
        )
        lost += stops and sum(rng.random() < rate for _ in range(confirm)) >= WINS
    assert lost / 600 <= 0.05


def test_a_program_with_next_to_no_faults_is_kept_and_the_reason_said() -> None:
    parts = splits(val=80, confirm=24)
    result = searched(program(instructions=Text()), nearly_right, 1000, splits=parts)
    assert result.stopped.startswith("there is no headroom: the seed program has full marks on 40 of 40 val examples")
    assert not result.improved
    assert result.usage.calls == CALLS
    assert result.stopped in result.report()


@pytest.mark.parametrize("seed", range(8))
def test_draws_and_fixes_that_change_nothing_stop_no_search(seed: int) -> None:
    given = program(instructions=Text(), presence_penalty=Choice(0, 1))
    result = searched(given, hinted, 1200, seed=seed)
    assert result.improved
    assert HINT in result.program.values["label.instructions"]
    note = next(note for note in result.notes if note.startswith("headroom: on the first 8 val examples"))
    assert "the best of 3 draws" in note
    assert "the best cheap fix (label.presence_penalty = 1)" in note


def test_what_the_test_asks_are_rows_of_the_ledger_within_its_share() -> None:
    ledger = MemoryLedger()
    searched(program(instructions=Text()), hinted, 1200, ledger=ledger)
    draws = samples_of(ledger)
    seed = next(iter(ledger.candidates))
    wrong = {item.example for item in ledger.evaluations() if item.round == 0 and item.score == 0}
    assert sorted(draws) == sorted((seed, example, draw) for example in wrong for draw in (1, 2))
    assert {item.round for item in ledger.evaluations() if item.sample} == {1}


def test_a_budget_too_small_for_it_leaves_it_out_and_says_so() -> None:
    ledger = MemoryLedger()
    result = searched(program(instructions=Text()), hinted, 60, ledger=ledger)
    assert samples_of(ledger) == []
    assert any("the headroom test is left out: its" in note for note in result.notes)


def test_a_model_at_temperature_zero_is_not_asked_the_same_again() -> None:
    ledger = MemoryLedger()
    result = searched(program(instructions=Text(), temperature=Float(0, 1)), hinted, 1200, ledger=ledger)
    assert samples_of(ledger) == []
    assert not any("draws" in note for note in result.notes)


def test_other_strategies_have_it_where_it_is_asked_for() -> None:
    found: list[Any] = []
    for headroom in (None, True, False):
        ledger = MemoryLedger()
        options = SearchOptions(headroom=headroom)
        searched(
            program(temperature=Float(0, 1, default=1)), hinted, 400, strategy="random", ledger=ledger,
            options=options,
        )  # fmt: skip
        found.append((bool(samples_of(ledger)), rows_of(ledger)))
    assert [asked for asked, _ in found] == [False, True, False]
    assert found[0] == found[2]


def test_the_strongest_cheap_fixes_are_tried_first() -> None:
    def model(request: Request) -> str:
        reasons = "[[reasoning]]" in request.messages[-1]["content"]
        strong = request.model == "openai/gpt-5"
        text = text_in(request)
        head = "[[reasoning]]\nlet me see\n\n" if reasons else ""
        return head + answered(text, share(text) < 0.3 + 0.3 * reasons + 0.3 * strong)

    models = Choice("openai/gpt-5-mini", "openai/gpt-5")
    step = choose(predict(Colour, model=models), chain_of_thought(Colour, model=models), name="label")
    result = searched(Program(name="c", pipeline=(step,)), model, 600)
    fixes = [item for item in result.ledger.candidates.values() if item.operator == "fix"]
    assert fixes[0].values == {"label.choice": "chain_of_thought", "label.chain_of_thought.model": "openai/gpt-5"}
    assert fixes[0].round == 2
    assert result.improved


def test_a_strategy_within_it_is_checked_as_without() -> None:
    with pytest.raises(VariableError, match="bootstrap"):
        searched(program(instructions=Text()), hinted, strategy="bootstrap", options=SearchOptions(headroom=True))
