"""What the command says of a run: show, list and report tell the same."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection

import dspex as library
from dspex.cli import output, resting
from dspex.cli.output import limits
from dspex.clients.budget import Budget
from dspex.evaluation.metrics import ExactMatch
from dspex.hosting.liveness import lock_of
from dspex.kernel.variables import Text
from dspex.optimization.options import SearchOptions
from dspex.storage import runs as rows
from dspex.storage.opening import locate
from dspex.storage.tables import SCHEMA_VERSION, runs, store
from tests.cli.conftest import Dspex
from tests.optimization.simulators import hinted, program, runtime, splits


def test_after_an_end_without_a_confirmation_the_score_is_that_of_the_program_that_is_kept(
    dspex: Dspex, tmp_path: Path
) -> None:
    train, val, confirm = splits()
    # Without a reserve, a search of so many calls leaves too few of them for a confirmation.
    result = library.optimize(
        program(instructions=Text()), train, val, ExactMatch("label"), runtime(hinted), confirm=confirm,
        budget=Budget(calls=330), options=SearchOptions(reserve=0.0), store=tmp_path / ".dspex" / "dspex.db",
    )  # fmt: skip
    assert result.verdict is None
    kept = next(row.score for row in result.tried if row.operator == "seed")
    assert result.tried[0].score > kept, "a better one led, and was not confirmed"
    shown = dspex("runs", "show", result.run, "--json").data
    (listed,) = dspex("runs", "list", "--json").data["runs"]
    assert (shown["best_score"], shown["seed_score"], shown["confirmed"]) == (kept, kept, False)
    assert (listed["best_score"], listed["confirmed"]) == (kept, False)
    assert (
        f"best       {kept:.3f}   seed program {kept:.3f}   on val, not confirmed"
        in dspex("runs", "show", result.run).out
    )
    assert f"{kept:.3f} on val" in dspex("runs", "list").out
    assert f"the seed program has {kept:.3f}; higher scores below" in dspex("runs", "report", result.run).out


def test_what_a_fork_carried_over_is_in_what_it_has_spent_of_its_budget(dspex: Dspex, tmp_path: Path) -> None:
    train, val, confirm = splits()
    result = library.optimize(
        program(instructions=Text()), train, val, ExactMatch("label"), runtime(hinted), confirm=confirm,
        budget=Budget(calls=400), options=SearchOptions(reserve=0.0), store=tmp_path / ".dspex" / "dspex.db",
    )  # fmt: skip
    with library.attach(result.run) as run:
        fork = run.fork(budget=Budget(calls=900, tokens=10**9)).id
    made = dspex("runs", "show", fork, "--json").data
    assert (made["calls"], made["carried"]) == (0, made["spent"])
    assert 0 < made["spent"]["calls"] <= 400
    assert made["spent"]["tokens"] > 0
    shown = dspex("runs", "show", fork).out
    calls, tokens = made["spent"]["calls"], made["spent"]["tokens"]
    assert f"{calls:,} of 900 calls, {tokens:,} of 1,000,000,000 tokens" in shown
    assert f"({calls:,} calls of it carried over)" in shown


def forked(tmp_path: Path) -> str:
    """A run that is queued, and that nothing carries."""
    train, val, confirm = splits()
    result = library.optimize(
        program(instructions=Text()), train, val, ExactMatch("label"), runtime(hinted), confirm=confirm,
        budget=Budget(calls=200), store=tmp_path / ".dspex" / "dspex.db",
    )  # fmt: skip
    with library.attach(result.run) as run:
        return run.fork(budget=Budget(calls=900, usd=1.0, seconds=60)).id


def changed(run: str, *works: Callable[[Connection], object]) -> None:
    async def change() -> None:
        async with await library.aattach(run) as found:
            for work in works:
                await found.database.write(work)

    asyncio.run(change())


def heard(run: str, at: float) -> Callable[[Connection], object]:
    return lambda c: c.execute(runs.update().where(runs.c.id == run).values(heartbeat=at))


def test_the_list_marks_a_run_that_nothing_carries_as_show_does(dspex: Dspex, tmp_path: Path) -> None:
    run = forked(tmp_path)
    changed(run, partial(rows.move, id=run, to="running"))
    assert "running, but nothing carries it" in dspex("runs", "show", run).out
    told = dspex("runs", "list")
    assert told.out.count("running, but nothing carries it  ") == 1
    assert "900 calls, $1, 60 s" in told.out
    marks = {row["id"]: row["orphaned"] for row in dspex("runs", "list", "--json").data["runs"]}
    assert marks.pop(run) is True
    assert list(marks.values()) == [False]


@pytest.mark.parametrize("late", [False, True], ids=["before", "while it is waited for"])
def test_pausing_a_run_whose_process_does_not_move_says_so(
    dspex: Dspex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    run, said = forked(tmp_path), threading.Event()
    lock = lock_of(locate(tmp_path / ".dspex" / "dspex.db"), run)
    assert lock is not None
    lock.acquire()  # plays the process that carries it
    changed(run, partial(rows.move, id=run, to="running"), heard(run, time.time() if late else 1.0))

    def noted(text: str = "", *, colour: str | None = None) -> None:
        output.note(text, colour=colour)
        said.set()

    async def paused() -> None:
        async with await library.aattach(run) as found:
            while (await found.status()).state != "pausing":
                await found.database.hint(run, 0.01)
            if late:
                await found.database.write(heard(run, 1.0))
            await asyncio.to_thread(said.wait, 30)  # where nothing is said, the end of the test tells
            await found.database.write(partial(rows.move, id=run, to="paused"))

    monkeypatch.setattr(resting, "note", noted)
    monkeypatch.setattr(resting, "LOOK_SECONDS", 0.05)
    carrier = threading.Thread(target=lambda: asyncio.run(paused()))
    carrier.start()
    outcome = dspex("runs", "pause", run)
    carrier.join()
    lock.release()
    assert outcome.code == 0
    assert f"run {run} is paused" in outcome.out
    assert outcome.err.count(f"does not move, so it may never rest; to end it: dspex runs stop {run} --now") == 1


@pytest.mark.parametrize("value", ["inf", "nan"])
@pytest.mark.parametrize("option", ["--usd", "--seconds"])
def test_a_limit_is_a_number(dspex: Dspex, option: str, value: str) -> None:
    outcome = dspex("optimize", option, value)
    assert outcome.code == 2
    assert option in outcome.err
    with pytest.raises(ValueError, match="finite number"):
        Budget.model_validate({option.removeprefix("--"): float(value)})


def test_limits_read_well() -> None:
    assert limits({"calls": 1, "tokens": 2000, "usd": 1.0, "seconds": 60.0}) == "1 call, 2,000 tokens, $1, 60 s"
    assert limits({"usd": 0.25}) == "$0.25"


def looked(dspex: Dspex) -> tuple[str, str]:
    (found,) = [item for item in dspex("doctor", "--json").data["checks"] if item["name"] == "store"]
    return found["state"], found["said"]


def test_doctor_looks_at_the_store_and_makes_and_changes_nothing(dspex: Dspex, tmp_path: Path) -> None:
    state, said = looked(dspex)
    assert (state, "none yet at" in said) == ("note", True)
    assert list(tmp_path.iterdir()) == []
    run = forked(tmp_path)
    state, said = looked(dspex)
    assert (state, f"schema {SCHEMA_VERSION}, 2 runs" in said) == ("ok", True)
    older = SCHEMA_VERSION - 1
    changed(run, lambda c: c.execute(store.update().values(schema_version=older)))
    before = sorted(tmp_path.rglob("*"))
    for _ in range(2):  # the second look finds what the first has left
        state, said = looked(dspex)
        assert (state, f"schema {older}, 2 runs; `dspex db upgrade`" in said) == ("note", True)
    assert sorted(tmp_path.rglob("*")) == before
    (tmp_path / ".dspex" / "dspex.db").write_bytes(b"no store at all" * 1000)
    assert looked(dspex)[0] == "fault"
