"""Pause, resume, stop and raise: on a carrier that goes on, on one that hangs, and on none."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select

from dspex.errors import ConfigurationError
from dspex.hosting import handle, liveness
from dspex.hosting.handle import Run
from dspex.storage import runs
from dspex.storage.database import Location, StorageError
from dspex.storage.tables import commands
from tests.hosting.conftest import made
from tests.hosting.durability import AT_ONCE, Bench, Prepared, Uninterrupted, ended_by_kill, until
from tests.hosting.processes import gone

QUICK = {"dspex.hosting.control.BEAT_SECONDS": 0.1, "dspex.hosting.control.POLL_SECONDS": 0.05}
SLOW = 0.05
QUEUED: runs.RunState = "queued"
PAUSING: runs.RunState = "pausing"
PAUSE: runs.CommandKind = "pause"


def asked(bench: Bench, given: Prepared, count: int) -> None:
    """Wait until the server has seen so many requests."""
    until(lambda: bench.oracle.behave(given.tag) >= count)


def started(bench: Bench, given: Prepared, count: int = 20, constants: Mapping[str, float] = QUICK) -> int:
    """A carrier in the middle of its run."""
    bench.oracle.behave(given.tag, delay=SLOW)
    pid = bench.carry(given, "first", constants=constants)
    asked(bench, given, count)
    return pid


def resumed(bench: Bench, given: Prepared) -> None:
    """Carried on from a pause, at full speed, by another process."""
    bench.oracle.behave(given.tag, delay=0.001, refuse=False)
    given.change(partial(runs.move, id=given.run, to=QUEUED))
    bench.rests(bench.carry(given, "second"), given.tag)


def paused(bench: Bench, given: Prepared) -> None:
    pid = started(bench, given)
    given.within(Run.pause)
    bench.rests(pid, given.tag)
    assert given.status().state == "paused"


def test_pause_drains_what_is_in_flight_and_resuming_ends_where_it_would_have(
    bench: Bench, copy: Prepared, uninterrupted: Uninterrupted
) -> None:
    paused(bench, copy)
    journal = copy.journal()
    assert journal.unfinished == 0
    assert len(journal.answers) == len(bench.oracle.asked(copy.tag)) < uninterrupted.bodies.total()
    status = copy.status()
    assert (status.alive, status.stalled, status.repeated_calls) == (False, False, 0)
    resumed(bench, copy)
    assert copy.facts() == uninterrupted.facts
    assert Counter(item.body for item in bench.oracle.asked(copy.tag)) == uninterrupted.bodies


def test_a_paused_run_goes_on_only_when_it_is_asked_to(bench: Bench, copy: Prepared) -> None:
    paused(bench, copy)
    count = bench.oracle.behave(copy.tag)
    bench.rests(bench.carry(copy, "second"), copy.tag)
    assert copy.status().state == "paused"
    assert bench.oracle.behave(copy.tag) == count


def test_a_command_that_nobody_got_to_is_void_after_a_resumption(bench: Bench, copy: Prepared) -> None:
    copy.change(partial(runs.tell, id=copy.run, kind=PAUSE))
    bench.rests(bench.carry(copy, "first", constants=QUICK), copy.tag)
    assert copy.status().state == "completed"
    outcomes = copy.look(lambda c: c.execute(select(commands.c.outcome)).scalars().all())
    assert outcomes == ["overtaken: it was resumed"]


def test_a_killed_run_that_was_to_pause_pauses(bench: Bench, copy: Prepared) -> None:
    pid = started(bench, copy)
    copy.change(partial(runs.move, id=copy.run, to=PAUSING))
    os.kill(pid, signal.SIGKILL)
    bench.nursery.wait(pid)
    bench.rests(bench.carry(copy, "second"), copy.tag)
    assert copy.status().state == "paused"


def test_stop_confirms_the_best_and_ends(bench: Bench, copy: Prepared, uninterrupted: Uninterrupted) -> None:
    pid = started(bench, copy, 50)
    copy.within(Run.stop)
    copy.within(Run.stop)  # asked twice is asked once
    copy.within(Run.pause)  # and a run that ends is not paused any more
    bench.rests(pid, copy.tag)
    facts = copy.facts()
    assert facts.state == "stopped"
    assert len(facts.evaluations) < len(uninterrupted.facts.evaluations)
    assert copy.within(Run.result) is not None


def test_stop_now_drops_what_is_in_flight(bench: Bench, copy: Prepared) -> None:
    pid = started(bench, copy)
    bench.oracle.behave(copy.tag, delay=600)
    count = bench.oracle.behave(copy.tag)
    copy.within(partial(Run.stop, now=True))
    bench.rests(pid, copy.tag)
    facts = copy.facts()
    assert facts.state == "stopped"
    assert facts.evaluations
    assert bench.oracle.behave(copy.tag) <= count + AT_ONCE


def test_stop_now_on_a_full_disk_is_one_clear_error(copy: Prepared) -> None:
    """A file that may not grow is a full disk to its writer. The run is queued, and nothing carries it."""
    left: list[object] = []

    async def test(run: Run) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, told: left.append(told))
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (512, before[1]))
        try:
            with pytest.raises(StorageError, match=r"full|disk"):
                await run.stop(now=True)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert (await run.status()).state == "queued"

    copy.within(test)
    gc.collect()  # a task whose error nobody has asked for says so when it is let go of
    assert left == []


def test_a_stopped_process_shows_as_stalled_and_stop_now_ends_it(
    bench: Bench, copy: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "STALLED_SECONDS", 0.5)
    pid = started(bench, copy)
    os.kill(pid, signal.SIGSTOP)
    until(lambda: copy.status().stalled)
    assert copy.status().alive
    copy.within(partial(Run.stop, now=True))
    assert copy.status().state == "stopped"
    assert ended_by_kill(bench.nursery.wait(pid))
    assert gone(pid)


def test_a_process_that_is_not_the_runs_own_is_fenced_and_not_killed(
    bench: Bench, copy: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handle, "REACTION_SECONDS", 0.0)
    # It is not to be stopped within a transaction: once all of its calls wait for the server, it writes nothing.
    pid = started(bench, copy, constants={"dspex.hosting.control.BEAT_SECONDS": 1000.0})
    bench.oracle.behave(copy.tag, delay=600)
    until(lambda: copy.journal().unfinished > 0 and bench.oracle.waiting(copy.tag, 600))
    os.kill(pid, signal.SIGSTOP)
    lock = liveness.lock_of(Location("sqlite", "", copy.store), copy.run)
    assert lock is not None
    assert lock.signature() == liveness.Owner(liveness.Owner.here().host, pid)
    lock.path.write_text("")  # as of a process that has more to do than this run
    copy.within(partial(Run.stop, now=True))
    before = copy.facts()
    os.kill(pid, signal.SIGCONT)
    assert bench.nursery.wait(pid) == 3, bench.said(copy.tag)
    assert copy.facts() == before
    assert before.state == "stopped"


@pytest.mark.parametrize("resting", [False, True])
def test_a_raised_budget_is_used(bench: Bench, tmp_path: Path, resting: bool) -> None:
    given = made(bench, str(tmp_path / "dspex.db"), calls=60)
    pid = started(bench, given)
    if resting:
        given.within(Run.pause)
        bench.rests(pid, given.tag)
    given.within(partial(Run.raise_budget, calls=130))
    if resting:
        resumed(bench, given)
    else:
        bench.rests(pid, given.tag)
    status = given.status()
    assert status.state == "completed"
    assert status.budget.calls == 130
    assert 60 < len(bench.oracle.asked(given.tag)) <= 130


def test_a_first_limit_in_tokens_or_dollars_is_refused_where_no_answer_has_a_limit(
    copy: Prepared,
) -> None:
    """It would end the run at its next call."""
    with pytest.raises(ConfigurationError, match=r"began without a limit in tokens or dollars.*fork it"):
        copy.within(lambda run: run.raise_budget(usd=1.0))
    assert copy.status().budget.usd is None
    copy.within(lambda run: run.raise_budget(calls=500))
    assert copy.status().budget.calls == 500
