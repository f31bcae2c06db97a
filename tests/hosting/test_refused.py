"""What keeps a run from being carried at all is said in its row, and mended there: nothing was paid for."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from dspex.clients.budget import Budget
from dspex.errors import ConfigurationError
from dspex.hosting.handle import Run
from dspex.storage import runs
from dspex.storage.budgets import share_budget
from tests.hosting.conftest import made
from tests.hosting.durability import Bench, Prepared
from tests.hosting.nursery import Order
from tests.hosting.project import KEY


def test_a_run_whose_key_is_missing_fails_and_goes_on_once_it_is_there(bench: Bench, tmp_path: Path) -> None:
    hosted = {"base_url": bench.oracle.base_url, "key_env": KEY}  # as a provider of the table, it needs a key
    given = made(bench, str(tmp_path / "dspex.db"), model="groq/colours", more={"providers": {"groq": hosted}})
    log = str(bench.oracle.folder / f"{given.tag}.carrier")
    bench.rests(bench.nursery.start(Order(given.run, given.store, log, environment={KEY: ""})), given.tag)
    status = given.status()
    assert (status.state, status.calls) == ("failed", 0)
    assert KEY in status.reason
    given.change(lambda c: runs.move(c, given.run, "queued", "resumed"))
    bench.rests(bench.carry(given, "again"), given.tag)
    assert given.status().state == "completed"


async def forked_for_dollars(run: Run) -> str:
    return (await run.fork(budget=Budget(usd=5.0))).id


def test_a_teacher_whose_price_a_fork_needs_is_named_before_anything_is_paid(bench: Bench, tmp_path: Path) -> None:
    prices = {"oracle/colours": {"input": 1.0, "output": 4.0}}
    given = made(bench, str(tmp_path / "dspex.db"), answer=40, teacher="oracle/teacher", more={"prices": prices})
    forked = Prepared(given.within(forked_for_dollars), given.store, given.tag)
    bench.rests(bench.carry(forked, ""), forked.tag)
    status = forked.status()
    assert (status.state, status.calls) == ("failed", 0)
    assert "the teacher model: step 'label': a budget in dollars needs the price of oracle/teacher" in status.reason


def test_a_teacher_whose_price_a_shared_budget_needs_is_refused_where_the_run_is_made(
    bench: Bench, tmp_path: Path
) -> None:
    store, prices = str(tmp_path / "dspex.db"), {"oracle/colours": {"input": 1.0, "output": 4.0}}
    given = made(bench, store, answer=40, more={"prices": prices})
    given.change(partial(share_budget, budget=Budget(usd=100.0)))
    made(bench, store, answer=40, more={"prices": prices})
    with pytest.raises(ConfigurationError, match=r"the teacher model: .*needs the price of oracle/teacher.*share"):
        made(bench, store, answer=40, teacher="oracle/teacher", more={"prices": prices})
