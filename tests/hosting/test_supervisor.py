"""The supervisor: restarts what dies, gives up what dies too often, adopts what it did not start."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from dspex.hosting.carrier import BROKEN
from dspex.hosting.handle import Run
from dspex.hosting.liveness import Owner, RunLock, folder_of
from dspex.hosting.seating import Seat, take
from dspex.hosting.supervisor import RestartPolicy, Supervisor, main
from dspex.storage import runs
from dspex.storage.database import Database, Location
from dspex.storage.opening import open_database
from dspex.testing.hosts import prepared
from tests.hosting.durability import Bench, Prepared, Uninterrupted, check_calls, until
from tests.hosting.oracle import ROOT
from tests.hosting.processes import gone
from tests.hosting.project import KEY
from tests.hosting.test_steering import QUICK, asked, started

EAGER = RestartPolicy(most=2, base=0.01)


@dataclass(slots=True)
class Carriers:
    """Starts carriers for a supervisor, each dying where its turn says."""

    bench: Bench
    given: Prepared
    deaths: tuple[str, ...] = ()
    always: str = ""
    constants: Mapping[str, float] = field(default_factory=lambda: QUICK)
    started: list[int] = field(default_factory=list[int])

    def __call__(self) -> subprocess.Popen[bytes]:
        turn = len(self.started)
        crash = self.deaths[turn] if turn < len(self.deaths) else self.always
        pid = self.bench.carry(self.given, "first" if turn == 0 else "second", crash, self.constants)
        self.started.append(pid)
        return cast("subprocess.Popen[bytes]", _Process(self.bench, pid))


@dataclass(frozen=True, slots=True)
class _Process:
    bench: Bench
    pid: int

    def wait(self) -> int:
        return self.bench.nursery.wait(self.pid)


def watched(carriers: Carriers, policy: RestartPolicy = EAGER) -> int:
    """What the supervisor returns."""
    given = carriers.given
    return given.within(lambda run: Supervisor(run.database, given.run, carriers, policy).watch())


def test_a_carrier_that_dies_is_started_again_and_ends_where_it_would_have(
    bench: Bench, copy: Prepared, uninterrupted: Uninterrupted
) -> None:
    carriers = Carriers(bench, copy, deaths=("commit.before:20",))
    assert watched(carriers) == 0
    assert len(carriers.started) == 2
    assert copy.status().restarts == 1
    assert copy.facts() == uninterrupted.facts
    assert all(gone(pid) for pid in carriers.started)
    journal = copy.journal()
    sent = len(bench.oracle.asked(copy.tag))
    assert sent - uninterrupted.bodies.total() == journal.repeated


def test_a_carrier_that_always_dies_is_given_up_with_the_reason(bench: Bench, copy: Prepared) -> None:
    carriers = Carriers(bench, copy, always="intent.before:1")
    assert watched(carriers) == 1
    status = copy.status()
    assert (status.state, status.restarts, len(carriers.started)) == ("crashed", 2, 3)
    assert "died of signal 9, 3 times" in status.reason
    assert bench.oracle.asked(copy.tag) == []


def test_a_run_that_ended_before_its_process_died_is_not_said_to_have_crashed(bench: Bench, copy: Prepared) -> None:
    watched(Carriers(bench, copy, deaths=("promotion.after:1",)), RestartPolicy(most=0))
    assert copy.status().state == "completed"


def test_a_run_that_another_process_carries_by_now_is_not_given_up(tmp_path: Path) -> None:
    store, seats = tmp_path / "dspex.db", list[Seat]()

    @dataclass(frozen=True, slots=True)
    class Dying:
        """A process at whose death another one takes the run."""

        run: str
        pid: int = 1

        def wait(self) -> int:
            seats.append(asyncio.run(self.taken()))
            return -signal.SIGKILL

        async def taken(self) -> Seat:
            database = await open_database(store)
            seat = await take(database, self.run)
            await database.write(lambda c: runs.move(c, self.run, "running"))
            await database.aclose()
            return seat

    async def main() -> None:
        async with (await prepared(store)).run as run:
            start = cast("Callable[[], subprocess.Popen[bytes]]", partial(Dying, run.id))
            watching = asyncio.ensure_future(Supervisor(run.database, run.id, start, RestartPolicy(most=0)).watch())
            while not seats:
                await asyncio.sleep(0.005)
            done, _ = await asyncio.wait({watching}, timeout=0.3)
            assert not done
            await run.database.write(lambda c: runs.move(c, run.id, "completed"), runs.fence(run.id, seats[0].epoch))
            seats[0].release()
            assert await watching == 0
            assert (await run.status()).state == "completed"

    asyncio.run(main())


def test_a_pause_between_a_death_and_the_next_start_is_kept(bench: Bench, copy: Prepared) -> None:
    carriers = Carriers(bench, copy, deaths=("commit.before:20",))

    async def test(run: Run) -> int:
        watching = asyncio.ensure_future(Supervisor(run.database, copy.run, carriers, RestartPolicy(base=1.0)).watch())
        while (await run.status()).restarts == 0:
            await asyncio.sleep(0.01)
        await run.pause()
        return await watching

    assert copy.within(test) == 0
    assert copy.status().state == "paused"
    assert len(carriers.started) == 1


def test_a_run_that_an_earlier_supervisor_started_is_waited_for(bench: Bench, copy: Prepared) -> None:
    pid = started(bench, copy)
    carriers = Carriers(bench, copy)
    assert watched(carriers) == 0
    bench.rests(pid, copy.tag)
    assert carriers.started == []
    assert copy.status().state == "completed"


def test_a_run_has_one_supervisor(bench: Bench, copy: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dspex.hosting.supervisor._PATIENCE", 0.1)
    monkeypatch.setenv("DSPEX_STORE", copy.store)
    folder = folder_of(Location("sqlite", copy.store, copy.store))
    assert folder is not None
    with RunLock(folder / f"{copy.run}.supervisor") as first:
        assert first.acquire()
        assert asyncio.run(main(copy.run, copy.store)) == 0
    assert bench.oracle.asked(copy.tag) == []
    assert copy.status().state == "queued"


def test_killed_supervisor_killed_carrier(
    bench: Bench, copy: Prepared, uninterrupted: Uninterrupted, tmp_path: Path
) -> None:
    """With the processes as users have them: the carrier outlives its supervisor, the next one adopts it."""
    bench.oracle.behave(copy.tag, delay=0.1)
    first = supervisor(copy, "first", tmp_path)
    asked(bench, copy, 10)
    first.kill()
    assert first.wait() == -signal.SIGKILL
    count = bench.oracle.behave(copy.tag)
    asked(bench, copy, count + 10)
    owner = Owner.read(copy.look(partial(runs.find, id=copy.run)).owner)
    assert owner is not None
    assert copy.status().restarts == 0
    second = supervisor(copy, "second", tmp_path)
    os.kill(owner.pid, signal.SIGKILL)
    until(lambda: not copy.status().alive)
    before = copy.journal()
    bench.oracle.behave(copy.tag, delay=0.001)
    assert second.wait(60) == 0
    assert copy.status().restarts == 1
    check_calls({"first": before}, copy.journal(), bench.oracle.asked(copy.tag), uninterrupted.bodies)
    assert copy.facts() == uninterrupted.facts
    assert gone(first.pid)
    assert gone(second.pid)


def test_resuming_a_run_whose_supervisor_is_gone_gives_it_another(
    bench: Bench, copy: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process goes on, but nobody would start another."""
    launched: list[str] = []

    def launch(_store: str, run: str, _database: Database) -> None:
        launched.append(run)

    monkeypatch.setattr("dspex.hosting.handle.launch", launch)
    pid = started(bench, copy)
    copy.within(Run.resume)
    assert launched == [copy.run]
    with RunLock(Path(copy.store + ".runs") / f"{copy.run}.supervisor") as watching:
        assert watching.acquire()
        copy.within(Run.resume)
    assert launched == [copy.run]
    bench.oracle.behave(copy.tag, delay=0.001)
    bench.rests(pid, copy.tag)


def test_a_full_disk_is_waited_for_and_the_run_goes_on_when_there_is_space(
    bench: Bench, copy: Prepared, uninterrupted: Uninterrupted, tmp_path: Path
) -> None:
    """A file that may not grow is a full disk to its writer; the supervisor's carriers inherit its limit."""
    bench.oracle.behave(copy.tag, delay=0.02)
    watching = supervisor(copy, "first", tmp_path)
    size = sum(path.stat().st_size for path in Path(copy.store).parent.glob("*.db*") if path.is_file())
    resource.prlimit(watching.pid, resource.RLIMIT_FSIZE, (size + 200_000, resource.RLIM_INFINITY))
    log = tmp_path / "supervisor.log"
    until(lambda: "carried on when the store can be used again" in log.read_text())
    resource.prlimit(watching.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert watching.wait(60) == 0
    assert copy.facts() == uninterrupted.facts
    said = log.read_text().splitlines()  # of the carrier and of its supervisor, once for each time that they tried
    assert len(said) >= 2
    again = (
        f"run {copy.run}: its process could not use the store; the run is carried on when the store can be used again"
    )
    assert all("check the disk" in line or line == again for line in said), said


def test_a_log_that_cannot_be_written_either_does_not_end_who_waits_for_the_disk(
    bench: Bench, copy: Prepared, uninterrupted: Uninterrupted
) -> None:
    """Beside the store, the log is on the same full disk."""
    bench.oracle.behave(copy.tag, delay=0.02)
    watching = supervisor(copy, "first", Path("/dev/full"))
    size = sum(path.stat().st_size for path in Path(copy.store).parent.glob("*.db*") if path.is_file())
    resource.prlimit(watching.pid, resource.RLIMIT_FSIZE, (size + 200_000, resource.RLIM_INFINITY))
    asked(bench, copy, 10)
    until(lambda: not copy.status().alive)
    resource.prlimit(watching.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert watching.wait(60) == 0
    assert copy.facts() == uninterrupted.facts
    again = [item.data["reason"] for item in copy.within(Run.events) if item.kind == "run.restarted"]
    assert set(again) == {"its process could not use the store"}


def test_processes_that_cannot_use_the_store_are_no_deaths_of_the_run(bench: Bench, copy: Prepared) -> None:
    """More of them than the policy lets die: the store may be written now and then while its disk is full."""
    broken = [str(BROKEN)] * 4

    def start() -> subprocess.Popen[bytes]:
        if broken:
            return subprocess.Popen([sys.executable, "-c", f"raise SystemExit({broken.pop()})"])
        return Carriers(bench, copy)()

    async def test(run: Run) -> int:
        return await Supervisor(run.database, copy.run, start, RestartPolicy(most=2, base=0.01), 0.01).watch()

    assert copy.within(test) == 0
    assert copy.status().state == "completed"


def test_a_deleted_store_ends_the_supervisor_with_a_clear_error(bench: Bench, copy: Prepared, tmp_path: Path) -> None:
    bench.oracle.behave(copy.tag, delay=0.05)
    watching = supervisor(copy, "first", tmp_path)
    asked(bench, copy, 10)
    for path in Path(copy.store).parent.glob("*.db*"):
        if path.is_file():
            path.rename(path.with_name("moved-" + path.name))
    assert watching.wait(60) == BROKEN
    gone_away = f"{copy.store}: the database is gone; restore it, or start anew"
    said = (tmp_path / "supervisor.log").read_text().splitlines()
    assert said == [gone_away, f"{gone_away}; once it is mended: dspex runs resume {copy.run}"]


def supervisor(given: Prepared, sender: str, place: Path) -> subprocess.Popen[bytes]:
    """A supervisor as `dspex.hosting.launching` starts it; its log is `supervisor.log` where `place` is a folder."""
    environment = {
        **os.environ,
        "DSPEX_STORE": given.store,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
        KEY: f"{given.tag}:{sender}",
    }
    with (place / "supervisor.log" if place.is_dir() else place).open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "dspex.hosting.supervisor", given.run],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True,
        )  # fmt: skip
