"""One budget for phases that follow one another, with a part beside for what is begun ahead."""

import asyncio

import pytest

from dspex.clients.budget import Budget
from dspex.clients.scripted import ScriptedLM
from dspex.errors import BudgetExceededError
from dspex.kernel.ports import Message, Request, Runtime, Usage
from dspex.optimization.spending import Purse
from tests.optimization.simulators import runtime

PRICE = {"calls": 1.0, "tokens": 100.0}


def purse(budget: Budget, spent: Usage) -> Purse:
    """With a tenth of the budget beside, and half of it open."""
    found = Purse(budget, runtime(ScriptedLM(lambda _: "fine")), spent)
    assert found.beside(0.1, PRICE) is not None
    found.open(0.5)
    return found


def spent_by(item: Purse) -> tuple[Usage, Usage]:
    return item.asked, item.spent


def test_what_a_phase_may_not_spend_was_paid_beside() -> None:
    item = purse(Budget(calls=100), Usage(60))
    item.rebook(Usage(56))
    assert spent_by(item) == (Usage(50), Usage(60))
    item.rebook(Usage(45))
    assert spent_by(item) == (Usage(50), Usage(60)), "beside there is room for ten"


def test_what_a_later_phase_has_spent_is_not_cut_short() -> None:
    item = purse(Budget(calls=100), Usage(68))
    item.rebook(Usage(66), Usage(20))
    assert spent_by(item) == (Usage(66), Usage(68))


def test_tokens_that_a_phase_may_not_spend_were_paid_beside() -> None:
    item = purse(Budget(tokens=10_000), Usage(60, 4_000, 1_800))
    item.rebook(Usage(56, 3_700, 1_700))
    assert item.asked.input_tokens + item.asked.output_tokens == 5_000
    assert item.spent.input_tokens + item.spent.output_tokens == 5_800


def asked(ready: Runtime, most: int) -> None:
    message: Message = {"role": "user", "content": "?"}
    asyncio.run(ready.lm.complete(Request("scripted/colours", (message,), {"max_tokens": most})))


def test_leeway_lets_a_call_reserve_more_than_it_takes_and_is_over_with_its_round() -> None:
    item = Purse(Budget(tokens=1_000), runtime(ScriptedLM(lambda _: "fine")), Usage())
    ready = item.open(0.5)
    with pytest.raises(BudgetExceededError):
        asked(ready, 600)
    with item.leeway(0.3):
        asked(ready, 600)
    with pytest.raises(BudgetExceededError):
        asked(ready, 600)
    asked(ready, 300)
