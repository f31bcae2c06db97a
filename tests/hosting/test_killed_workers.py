"""Runs whose evaluations are in workers: workers killed, carriers killed above them, and metrics that do harm."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from random import Random

import pytest

from dspex.hosting.isolation import Isolation
from tests.hosting import hazards
from tests.hosting.conftest import copied, made
from tests.hosting.durability import Bench, Prepared, Uninterrupted, check_facts, ended_by_kill, until
from tests.hosting.oracle import ROOT
from tests.hosting.processes import gone, members

PLACES = 3
KILLS = 5
"""In one run, which has so many rounds, or one or two less."""
INSTANTS = 20
DELAY = 0.02


@pytest.fixture(scope="session")
def isolated(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The same search as of the template, with its evaluations in workers."""
    store = str(tmp_path_factory.mktemp("isolated") / "dspex.db")
    return made(bench, store, isolation=Isolation(timeout=20), concurrency=PLACES)


def workers_of(carrier: int) -> list[int]:
    """The living workers that a carrier has started, whoever their parent is by now."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if b"dspex.hosting.worker" in words and words[-2] == str(carrier).encode() and state not in "ZX":
            found.append(int(entry.name))
    return found


def test_a_run_in_workers_sends_and_ends_as_one_in_tasks(
    bench: Bench, isolated: Prepared, uninterrupted: Uninterrupted, tmp_path: Path
) -> None:
    given = copied(isolated, tmp_path)
    pid = bench.carry(given, "only")
    bench.rests(pid, given.tag)
    assert given.facts() == uninterrupted.facts
    assert Counter(item.body for item in bench.oracle.asked(given.tag)) == uninterrupted.bodies
    assert workers_of(pid) == []


@pytest.mark.parametrize("seed", range(INSTANTS // KILLS))
def test_workers_killed_at_random_instants_cost_nothing(
    bench: Bench, isolated: Prepared, uninterrupted: Uninterrupted, tmp_path: Path, seed: int
) -> None:
    workers_killed(bench, copied(isolated, tmp_path), uninterrupted, seed)


def workers_killed(bench: Bench, given: Prepared, uninterrupted: Uninterrupted, seed: int) -> int:
    """Kill one in each round at an instant that the seed says, which costs not one call more: they are the runner's,
    and it lives. Returns how many were killed.

    Two in a round could meet the same evaluation, which then fails and has its calls in its own books.
    """
    rng = Random(seed)
    bench.oracle.behave(given.tag, delay=DELAY)
    pid = bench.carry(given, "only")
    kills, folded = 0, -1
    with closing(sqlite3.connect(given.store)) as rows:
        while True:
            until(lambda folded=folded: not members(pid) or _folded(rows) > folded)  # type: ignore[misc]  # bound at once
            after = bench.oracle.behave(given.tag) + rng.randint(1, 6)
            until(lambda after=after: not members(pid) or bench.oracle.behave(given.tag) >= after)  # type: ignore[misc]  # as above
            if not members(pid):
                break
            for worker in rng.sample(found := workers_of(pid), min(1, len(found))):
                with suppress(
                    ProcessLookupError
                ):  # one that was killed takes its guard with it, and the other way round
                    os.kill(worker, signal.SIGKILL)
                    kills += 1
            folded = _folded(rows)
    bench.rests(pid, given.tag)
    assert kills >= KILLS - 2
    check_facts(given.facts(), uninterrupted.facts)
    assert Counter(item.body for item in bench.oracle.asked(given.tag)) == uninterrupted.bodies
    assert given.status().repeated_calls == 0
    assert workers_of(pid) == []
    return kills


def _folded(rows: sqlite3.Connection) -> int:
    """How many rounds are over: none of their evaluations is made again."""
    (found,) = rows.execute("SELECT count(folded) FROM rounds").fetchone()
    return int(found)


@pytest.mark.parametrize("seed", range(2))
def test_a_carrier_killed_above_its_workers_leaves_none_and_is_carried_on(
    bench: Bench, isolated: Prepared, uninterrupted: Uninterrupted, tmp_path: Path, seed: int
) -> None:
    given, rng = copied(isolated, tmp_path), Random(seed)
    pid = bench.carry(given, "first")
    after = rng.randrange(1, uninterrupted.bodies.total() - 8)
    bench.oracle.behave(given.tag, kill=pid, after=after, sender="first", later=rng.uniform(0, 0.02))
    assert ended_by_kill(bench.nursery.wait(pid)), bench.said(given.tag)
    assert gone(pid)
    until(lambda: workers_of(pid) == [])
    bench.carried_on(given, uninterrupted)


@pytest.mark.parametrize("point", ["commit.inside:23", "record.before:31"])
def test_a_carrier_killed_at_a_point_above_its_workers(
    bench: Bench, isolated: Prepared, uninterrupted: Uninterrupted, tmp_path: Path, point: str
) -> None:
    given = copied(isolated, tmp_path)
    pid = bench.carry(given, "first", point)
    assert ended_by_kill(bench.nursery.wait(pid)), bench.said(given.tag)
    until(lambda: workers_of(pid) == [])
    bench.carried_on(given, uninterrupted)


def test_a_carrier_killed_above_a_worker_that_holds_the_interpreter_leaves_none(bench: Bench, tmp_path: Path) -> None:
    """No thread of such a worker notices anything: its guard ends it."""
    acts = dict.fromkeys(range(20), "hold")
    given = made(
        bench, str(tmp_path / "dspex.db"), metric=hazards.told, acts=acts, isolation=Isolation(), concurrency=PLACES
    )
    pid = bench.carry(given, "first")
    until(lambda: len([worker for worker in workers_of(pid) if _waits(worker)]) == PLACES)
    os.kill(pid, signal.SIGKILL)
    assert ended_by_kill(bench.nursery.wait(pid))
    until(lambda: workers_of(pid) == [])


def test_what_an_evaluation_started_ends_with_the_process_of_its_run(bench: Bench, tmp_path: Path) -> None:
    """The worker that is killed with it has no time to: its guard ends them."""
    given = made(
        bench, str(tmp_path / "dspex.db"), metric=hazards.told, acts=dict.fromkeys(range(20), "keep"),
        mark=str(tmp_path / "child"), isolation=Isolation(), concurrency=PLACES,
    )  # fmt: skip
    pid = bench.carry(given, "first")
    until(lambda: len(list(tmp_path.glob("child.*"))) == PLACES)
    for doomed in (pid, *(worker for worker in workers_of(pid) if parent_of(worker) == pid)):
        os.kill(doomed, signal.SIGKILL)
    assert ended_by_kill(bench.nursery.wait(pid))
    children = [int(path.suffix[1:]) for path in tmp_path.glob("child.*")]
    until(lambda: not any(Path(f"/proc/{child}").exists() for child in children), 20.0)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_worker_whose_guard_was_killed_ends_and_is_replaced(bench: Bench, tmp_path: Path) -> None:
    """With what it had started, and while nothing else would end it."""
    given = made(
        bench, str(tmp_path / "dspex.db"), metric=hazards.told, acts=dict.fromkeys(range(20), "keep"),
        mark=str(tmp_path / "child"), isolation=Isolation(timeout=600), concurrency=PLACES,
    )  # fmt: skip
    pid = bench.carry(given, "first")
    until(lambda: len(list(tmp_path.glob("child.*"))) == PLACES)
    first = workers_of(pid)
    guards = [worker for worker in first if parent_of(worker) != pid]
    assert len(guards) == PLACES
    children = [int(path.suffix[1:]) for path in tmp_path.glob("child.*")]
    for guard in guards:
        os.kill(guard, signal.SIGKILL)
    until(lambda: not set(first) & set(workers_of(pid)))
    until(lambda: not any(Path(f"/proc/{child}").exists() for child in children), 20.0)
    until(lambda: len(list(tmp_path.glob("child.*"))) == 2 * PLACES)
    os.kill(pid, signal.SIGKILL)
    assert ended_by_kill(bench.nursery.wait(pid))
    until(lambda: workers_of(pid) == [])


FORKING = """
import asyncio, os, time
from dspex.hosting.worker_process import WorkerProcess, environment_of

async def main():
    worker = WorkerProcess(environment_of(()))
    if (child := os.fork()) == 0:
        time.sleep(600)
    print(child, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_a_worker_ends_with_its_runner_though_a_process_that_was_forked_holds_its_pipes() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", FORKING], env=environment, stdout=subprocess.PIPE, text=True
    ) as runner:
        assert runner.stdout is not None
        child = int(runner.stdout.readline())
        try:
            until(lambda: len(workers_of(runner.pid)) == 2)  # with its guard
            runner.kill()
            runner.wait()
            until(lambda: workers_of(runner.pid) == [])
        finally:
            os.kill(child, signal.SIGKILL)


def _waits(pid: int) -> bool:
    """Whether its metric has begun to hold it: the call that never returns."""
    try:
        return any(path.read_text().startswith("34 ") for path in Path(f"/proc/{pid}/task").glob("*/syscall"))
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False


@pytest.mark.parametrize(("act", "said"), [("segfault", "signal 11"), ("hang", "hang")])
def test_a_harmful_metric_costs_its_pairs_and_not_one_restart(
    bench: Bench, tmp_path: Path, act: str, said: str
) -> None:
    given = made(
        bench, str(tmp_path / "dspex.db"), metric=hazards.told, acts={number: act for number in range(1, 20, 4)},
        isolation=Isolation(timeout=0.5, memory_mb=150), concurrency=PLACES,
    )  # fmt: skip
    bench.rests(pid := bench.carry(given, "only"), given.tag)
    assert workers_of(pid) == []
    status = given.status()
    assert (status.state, status.restarts) == ("completed", 0)
    found = given.within(lambda run: run.quarantined())
    assert found
    assert all(said in item.reason for item in found)
    lost = {(item.candidate, item.example) for item in found}
    assert not lost & {row[:2] for row in given.facts().evaluations}
    failures = Counter((item.candidate, item.example) for item in given.within(lambda run: run.failures(1000)))
    assert all(failures[pair] == 2 for pair in lost), "each was tried twice, and no more"
    sent = Counter(item.body for item in bench.oracle.asked(given.tag))
    assert set(sent.values()) == {1}, "what an evaluation had bought when it died was bought once"
