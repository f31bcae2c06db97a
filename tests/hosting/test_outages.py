"""The model is gone: the run rests and says so, and where it is wanted asks again and goes on by itself."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dspex.hosting.handle import Run
from dspex.hosting.supervisor import Supervisor
from tests.hosting.conftest import made
from tests.hosting.durability import Bench, Prepared, Uninterrupted, until
from tests.hosting.test_steering import resumed, started
from tests.hosting.test_supervisor import EAGER, Carriers

GONE = {"outage_seconds": 0.2}
WAIT = {**GONE, "on_outage": "wait", "probe_seconds": 0.05}
PATIENT = {**GONE, "on_outage": "wait", "probe_seconds": 1000.0}


def gone(bench: Bench, tmp_path: Path, **outage: Any) -> tuple[Prepared, int]:
    """A run whose model has just stopped to answer, and its process."""
    given = made(bench, str(tmp_path / "dspex.db"), retries=0, outage=outage)
    pid = started(bench, given)
    bench.oracle.behave(given.tag, refuse=True, delay=0.001)
    return given, pid


def waiting(bench: Bench, tmp_path: Path, **outage: Any) -> tuple[Prepared, int]:
    """Such a run, once it waits."""
    given, pid = gone(bench, tmp_path, **outage)
    until(lambda: given.status().waiting)
    return given, pid


def as_uninterrupted(bench: Bench, given: Prepared, uninterrupted: Uninterrupted) -> None:
    """It ended as it would have; what failed for the outage alone is noted, and nothing was answered twice."""
    facts = given.facts()
    assert replace(facts, failures=0) == uninterrupted.facts
    assert facts.failures > 0
    journal = given.journal()
    assert journal.unfinished == 0
    asked = {item.number: item.body for item in bench.oracle.asked(given.tag)}
    assert Counter(asked[number] for number in journal.answers.values()) == uninterrupted.bodies


def explained(given: Prepared) -> int:
    """How often the run has said anew why it rests: once for each time that it asked in vain."""
    return sum(item.kind == "run.explained" for item in given.within(Run.events))


def test_an_outage_pauses_and_says_so(bench: Bench, tmp_path: Path, uninterrupted: Uninterrupted) -> None:
    given, pid = gone(bench, tmp_path, **GONE)
    bench.rests(pid, given.tag)
    status = given.status()
    assert (status.state, status.waiting) == ("paused", False)
    assert status.reason.startswith("outage: ")
    assert given.journal().unfinished == 0  # what was refused was not billed, and is not counted
    resumed(bench, given)
    as_uninterrupted(bench, given, uninterrupted)


def test_a_run_that_waits_asks_with_one_call_and_goes_on_by_itself(
    bench: Bench, tmp_path: Path, uninterrupted: Uninterrupted
) -> None:
    given, pid = waiting(bench, tmp_path, **WAIT)
    status = given.status()
    assert (status.state, status.alive, status.orphaned) == ("paused", True, False)
    assert "it asks again in" in status.reason
    assert "goes on by itself" in status.reason
    begun = given.facts().failures - explained(given)
    until(lambda: explained(given) >= 3)
    facts = given.facts()
    assert facts.failures - begun in (explained(given), explained(given) + 1)  # one call each time
    bench.oracle.behave(given.tag, refuse=False)
    bench.rests(pid, given.tag)
    as_uninterrupted(bench, given, uninterrupted)


def test_resuming_asks_at_once(bench: Bench, tmp_path: Path, uninterrupted: Uninterrupted) -> None:
    given, pid = waiting(bench, tmp_path, **PATIENT)
    bench.oracle.behave(given.tag, refuse=False)
    given.within(Run.resume)
    bench.rests(pid, given.tag)
    as_uninterrupted(bench, given, uninterrupted)


def test_a_run_that_waits_and_is_paused_stays_so(bench: Bench, tmp_path: Path, uninterrupted: Uninterrupted) -> None:
    given, pid = waiting(bench, tmp_path, **PATIENT)
    given.within(Run.pause)
    bench.rests(pid, given.tag)
    status = given.status()
    assert (status.state, status.reason, status.waiting) == ("paused", "on request", False)
    bench.rests(bench.carry(given, "second"), given.tag)
    assert given.status().state == "paused"
    resumed(bench, given)
    as_uninterrupted(bench, given, uninterrupted)


@pytest.mark.parametrize("now", [False, True])
def test_a_run_that_waits_and_is_stopped_ends(bench: Bench, tmp_path: Path, now: bool) -> None:
    given, pid = waiting(bench, tmp_path, **PATIENT)
    given.within(partial(Run.stop, now=now))
    bench.rests(pid, given.tag)
    status = given.status()
    assert status.state == "stopped"
    assert status.reason == "on request, while the model was gone: nothing was confirmed"


def test_a_process_that_is_killed_while_it_waits_is_started_again_and_waits_on(
    bench: Bench, tmp_path: Path, uninterrupted: Uninterrupted
) -> None:
    given = made(bench, str(tmp_path / "dspex.db"), retries=0, outage=WAIT)
    carriers = Carriers(bench, given)
    bench.oracle.behave(given.tag, delay=0.05)

    async def test(run: Run) -> int:
        watching = asyncio.ensure_future(Supervisor(run.database, given.run, carriers, EAGER).watch())
        while bench.oracle.behave(given.tag) < 20:
            await asyncio.sleep(0.01)
        bench.oracle.behave(given.tag, refuse=True, delay=0.001)
        while not (await run.status()).waiting:
            await asyncio.sleep(0.01)
        os.kill(carriers.started[0], signal.SIGKILL)
        while (await run.status()).restarts == 0 or not (await run.status()).waiting:
            await asyncio.sleep(0.01)
        bench.oracle.behave(given.tag, refuse=False)
        return await watching

    assert given.within(test) == 0
    assert len(carriers.started) == 2
    as_uninterrupted(bench, given, uninterrupted)


def test_a_blip_pauses_nothing(bench: Bench, tmp_path: Path, uninterrupted: Uninterrupted) -> None:
    """Every call fails for a moment, and for less than it takes to call it an outage."""
    given = made(bench, str(tmp_path / "dspex.db"), retries=0)
    pid = started(bench, given)
    bench.oracle.behave(given.tag, refuse=True, delay=0.001)
    before = bench.oracle.behave(given.tag)
    until(lambda: bench.oracle.behave(given.tag) >= before + 2)
    bench.oracle.behave(given.tag, refuse=False)
    bench.rests(pid, given.tag)
    as_uninterrupted(bench, given, uninterrupted)
