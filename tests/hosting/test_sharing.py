"""Eight runs of one store in eight processes keep one rate and one budget, together: the server's log says so."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Unpack

import pytest
from sqlalchemy import func, select

from dspex.clients.budget import Budget
from dspex.clients.budget_shares import Sums
from dspex.configuration.runtimes import RuntimeSettings
from dspex.errors import ConfigurationError
from dspex.hosting.handle import Run
from dspex.kernel.variables import Demos, Text
from dspex.storage import runs
from dspex.storage.budgets import share_budget, standing
from dspex.storage.tables import calls
from tests.hosting.conftest import made
from tests.hosting.durability import AT_ONCE, Bench, Prepared, Uninterrupted, check_integrity, ended_by_kill, until
from tests.hosting.test_on_postgres import SHORT
from tests.hosting.test_steering import QUEUED, resumed, started
from tests.hosting.test_steering import QUICK as STEERED
from tests.optimization.simulators import program
from tests.servers.chat import Arrival, serving

RUNS = 8
PRICE = {"input": 30.0, "output": 60.0}
"""Dollars for a million tokens."""
A_SECOND = 100
_RATES = (20, A_SECOND)
"""Of storms: one for which runs wait, which tries the rate most, and one for which they do not, so that most of what a
kill loses had been sent, which tries the budget most."""
ON_THE_WAY = 0.1
"""Seconds by which a request may be longer on its way to the server than one that was sent later."""


def crowded(arrivals: list[Arrival], seconds: float) -> int:
    """The most requests that came within any `seconds`."""
    times, first, most = [item.at for item in arrivals], 0, 0
    for number, at in enumerate(times):
        while times[first] <= at - seconds:
            first += 1
        most = max(most, number - first + 1)
    return most


def paid(arrivals: list[Arrival]) -> float:
    """Dollars that the server bills."""
    return (
        sum(item.prompt_tokens * PRICE["input"] + item.completion_tokens * PRICE["output"] for item in arrivals) / 1e6
    )


def eight(bench: Bench, store: str, base_url: str, **more: Unpack[RuntimeSettings]) -> list[Prepared]:
    """Eight queued runs of one key, which spend at most a dollar together."""
    more["prices"] = {"oracle/colours": PRICE}
    given = [made(bench, store, base_url=base_url, seed=seed, calls=90, answer=40, more=more) for seed in range(RUNS)]
    given[0].change(partial(share_budget, budget=Budget(usd=1.0)))
    return [replace(item, tag=given[0].tag) for item in given]  # the tag is in the key: it is one key


def carried(bench: Bench, given: list[Prepared]) -> None:
    """Each to its rest, in a process of its own."""
    pids = [bench.carry(item, "") for item in given]
    for pid, item in zip(pids, given, strict=True):
        bench.rests(pid, item.tag)


QUICK: Mapping[str, float] = {
    "dspex.clients.shared_budget.TEND_SECONDS": 0.1,
    "dspex.clients.shared_budget.VALID_SECONDS": 0.5,
    "dspex.storage.budgets.VOID_SECONDS": 1.0,
}
"""What a process holds is taken from it after a second, so that a stop of a little more has it taken away."""


@dataclass(slots=True)
class Storm:
    """Eight runs of which one after another is killed or stopped for longer than its leases hold."""

    kills: int = 0
    stops: int = 0
    paid: float = 0.0
    """Dollars that the server bills ..."""
    spent: float = 0.0
    """... and those that count as spent: what a kill has lost counts as the most that it can have cost."""
    crowd: int = 0
    """The most requests that came in a second ..."""
    allowed: int = A_SECOND
    """... and how many might."""
    unsent: int = 0
    """Calls whose intent was committed and that were not sent, since their process was killed."""
    ended: dict[str, int] = field(default_factory=dict[str, int])

    def check(self) -> None:
        """What was shared was kept, everything that was sent is in the rows, and all runs are at rest."""
        assert self.paid - 1e-9 <= self.spent <= 1.0 + 1e-9
        assert self.crowd <= self.allowed
        assert 0 <= self.unsent <= AT_ONCE * self.kills
        assert self.ended.keys() <= {"completed", "paused"}


def stormed(bench: Bench, store: str, seed: int) -> Storm:
    """Carry eight runs through kills and stops to their rest."""
    rng, pids = Random(seed), dict[str, int]()
    storm = Storm(allowed=_RATES[seed // 2 % len(_RATES)])

    def carrying(item: Prepared) -> None:
        while True:
            until(lambda: not item.status().alive)  # on a server: until what a killed process held is over
            pids[item.run] = bench.carry(item, "", constants={**SHORT, **QUICK})
            status = bench.nursery.wait(pids[item.run])
            del pids[item.run]
            if not ended_by_kill(status):
                assert status == 0, bench.said(item.tag)
                return

    def stopping(pid: int) -> None:
        if bench.nursery.signal(pid, signal.SIGSTOP):
            time.sleep(1.2)
            storm.stops += bench.nursery.signal(pid, signal.SIGCONT)

    with serving(delay=0.02) as server, ThreadPoolExecutor() as others, ThreadPoolExecutor(RUNS) as pool:
        given = eight(bench, store, server.url, requests_per_second=storm.allowed)
        carried = [pool.submit(carrying, item) for item in given]
        while not all(one.done() for one in carried):
            # A few requests later, however busy the machine: what is killed before it has begun tries nothing.
            after, latest = server.stats()["requests"] + rng.randint(1, 6), time.monotonic() + 1.0
            until(lambda after=after, latest=latest: server.stats()["requests"] >= after or time.monotonic() > latest)  # type: ignore[misc]  # bound at once
            pid = rng.choice(list(pids.values()) or [0])
            if rng.random() < 0.6:
                storm.kills += bench.nursery.signal(pid, signal.SIGKILL)
            else:
                others.submit(stopping, pid)
        for one in carried:
            one.result()
        log = server.log()
    storm.paid, storm.crowd = paid(log), crowded(log, 1.0 - ON_THE_WAY)
    storm.ended = dict(Counter(item.status().state for item in given))
    storm.unsent = given[0].look(lambda c: c.execute(select(func.sum(calls.c.sends))).scalar_one()) - len(log)
    if (found := given[0].look(standing)) is not None:
        storm.spent = found.spent.usd
    given[0].look(check_integrity)
    return storm


def test_eight_runs_keep_one_rate_and_one_budget_together(bench: Bench, tmp_path: Path) -> None:
    with serving() as server:
        given = eight(bench, str(tmp_path / "dspex.db"), server.url, requests_per_second=A_SECOND)
        carried(bench, given)
        first = server.log()
        assert 0.95 < paid(first) <= 1.0
        found = given[0].look(standing)
        assert found is not None
        assert found.spent.usd == pytest.approx(paid(first))
        assert found.held == Sums()
        statuses = [item.status() for item in given]
        paused = [item for item, status in zip(given, statuses, strict=True) if status.state == "paused"]
        assert paused
        assert {status.state for status in statuses} <= {"paused", "completed"}
        for reason in (status.reason for status in statuses if status.state == "paused"):
            assert reason.startswith("shared budget: ")
            assert "of $1 is spent" in reason
            assert "dspex db budget --usd N" in reason
        given[0].change(partial(share_budget, budget=Budget(usd=100.0)))
        for item in paused:
            item.change(partial(runs.move, id=item.run, to=QUEUED))
        carried(bench, paused)
        log = server.log()
    assert {item.status().state for item in given} == {"completed"}
    assert len(log) > 2 * A_SECOND
    assert crowded(log, 1.0 - ON_THE_WAY) <= A_SECOND
    given[0].look(check_integrity)


def test_a_budget_is_kept_though_processes_are_killed(bench: Bench, tmp_path: Path) -> None:
    """What was in flight at a kill was billed, and counts: nobody knows what it cost but the server."""
    with serving(delay=0.02) as server:
        given = eight(bench, str(tmp_path / "dspex.db"), server.url)
        pids = [bench.carry(item, "", f"commit.before:{3 + 4 * turn}") for turn, item in enumerate(given)]
        for pid in pids:
            bench.nursery.wait(pid)
        killed = [item for item in given if item.status().state == "running"]
        assert len(killed) > RUNS // 2
        carried(bench, killed)
        log = server.log()
    assert {item.status().state for item in given} <= {"paused", "completed"}
    assert 0.75 < paid(log) <= 1.0


def test_what_two_runs_send_at_the_same_time_is_counted_though_one_is_killed(bench: Bench, tmp_path: Path) -> None:
    """Two equal runs: every request of both is in the rows of who sent it, and no more than that."""
    first, second = (made(bench, str(tmp_path / "dspex.db")) for _ in range(2))
    second = replace(second, tag=first.tag)
    bench.oracle.behave(first.tag, delay=0.02)
    pids = [bench.carry(first, "killed", "commit.before:30"), bench.carry(second, "other")]
    assert ended_by_kill(bench.nursery.wait(pids[0]))
    left = first.journal()
    bench.rests(pids[1], second.tag)
    bench.rests(bench.carry(first, "again"), first.tag)
    sent = Counter(item.sender for item in bench.oracle.asked(first.tag))
    counted = first.journal(), second.journal()
    unsent = sum(left.sends.values()) - sent["killed"]
    assert 0 <= unsent <= AT_ONCE
    assert sum(counted[0].sends.values()) == sent["killed"] + unsent + sent["again"]
    assert sum(counted[1].sends.values()) == sent["other"]
    assert (first.status().repeated_calls, second.status().repeated_calls) == (counted[0].repeated, 0)
    assert counted[0].repeated + first.status().unknown_calls == left.unfinished > 0


def test_a_step_that_a_shared_budget_could_not_bound_is_refused_where_the_run_is_made(
    bench: Bench, tmp_path: Path
) -> None:
    store = str(tmp_path / "dspex.db")
    given = made(bench, store, answer=40)
    given.change(partial(share_budget, budget=Budget(tokens=100_000)))
    wanted = r"step 'label': a budget in tokens needs.*max_tokens: 1000\); it is the budget that all runs of the store"
    with pytest.raises(ConfigurationError, match=wanted):
        made(bench, store)
    given.change(partial(share_budget, budget=Budget(calls=1_000)))
    made(bench, store)


LIMITED = program(instructions=Text(), demos=Demos(2), max_tokens=40)
"""Steps that have a limit, which proposals then have not of themselves."""


async def forked_from(run: Run) -> str:
    return (await run.fork()).id


@pytest.mark.parametrize("forked", [False, True])
def test_proposals_have_a_limit_where_a_shared_budget_needs_one(bench: Bench, tmp_path: Path, forked: bool) -> None:
    store = str(tmp_path / "dspex.db")
    with serving() as server:
        given = made(bench, store, base_url=server.url, program=LIMITED)
        given.change(partial(share_budget, budget=Budget(tokens=10_000_000)))
        run = given.within(forked_from) if forked else made(bench, store, base_url=server.url, program=LIMITED).run
        given = replace(given, run=run)
        bench.rests(bench.carry(given, ""), given.tag)
        assert given.status().state == "completed"
        assert {item.max_tokens for item in server.log()} == {40, 8_000}


def test_a_run_that_cannot_keep_a_shared_budget_that_is_set_later_rests_until_it_can(
    bench: Bench, copy: Prepared, uninterrupted: Uninterrupted
) -> None:
    """Set while it is under way, and still there when it is resumed: then nothing at all is sent."""
    pid = started(bench, copy, constants={**STEERED, **QUICK})
    copy.change(partial(share_budget, budget=Budget(tokens=10_000_000)))
    bench.rests(pid, copy.tag)
    status = copy.status()
    assert status.state == "paused"
    for said in ("set after this run was made", "set max_tokens for oracle/colours", "db budget --calls N", "fork it"):
        assert said in status.reason
    sent = bench.oracle.behave(copy.tag)
    assert 20 <= sent < uninterrupted.bodies.total()
    resumed(bench, copy)
    assert copy.status().state == "paused"
    assert bench.oracle.behave(copy.tag) == sent
    copy.change(partial(share_budget, budget=Budget(calls=1_000)))
    resumed(bench, copy)
    assert copy.facts() == uninterrupted.facts
    assert Counter(item.body for item in bench.oracle.asked(copy.tag)) == uninterrupted.bodies
