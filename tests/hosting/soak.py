"""Every occurrence of every crash point, and many random instants: `python -m tests.hosting.soak [--instants 500]`.

`--part` says what is killed: runs, their workers, their supervisors, PostgreSQL below them, or (`sharing`) eight runs
that share a budget and a rate; without it, all are, one after the other. `--jobs` cases go side by side.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from dspex.hosting.isolation import Isolation
from dspex.storage.opening import open_database
from tests.hosting.conftest import copied, made
from tests.hosting.crashing.points import POINTS
from tests.hosting.durability import Bench, Prepared, Uninterrupted, ended_by_kill
from tests.hosting.nursery import nursing
from tests.hosting.oracle import serving
from tests.hosting.processes import gone
from tests.hosting.project import KEY, prepared
from tests.hosting.test_killed_anywhere import killed_and_carried_on
from tests.hosting.test_killed_servers import server_killed_and_started
from tests.hosting.test_killed_supervisors import PLACES, supervisor_killed_at, supervisor_killed_at_random
from tests.hosting.test_killed_workers import KILLS, workers_killed
from tests.hosting.test_sharing import stormed
from tests.servers import postgres
from tests.servers.postgres import Server, new_database

APART = 10
"""One instant of so many is tried with evaluations in workers, too."""
TOLD = 50
"""Cases after which is told how far it got."""

_WIDE = 1000
"""Characters of a line that are shown of a fault."""

_PARTS = ("runs", "workers", "supervisors", "servers", "sharing")

Tally = tuple[int, int]
"""Kills, and calls that were repeated."""


@dataclass(frozen=True, slots=True)
class Soak:
    """What all cases share, and how many go side by side."""

    bench: Bench
    whole: Uninterrupted
    folder: Path
    pool: ThreadPoolExecutor
    faults: list[str] = field(default_factory=list[str])
    """In which cases something did not hold."""

    def each(self, what: str, cases: Iterable[Callable[[], Tally]]) -> Tally:
        """Do them all, in any order, and say in full what does not hold."""
        going = [self.pool.submit(case) for case in cases]
        began, kills, repeated = time.perf_counter(), 0, 0
        try:
            for done, case in enumerate(as_completed(going), 1):
                if (fault := case.exception()) is not None:
                    self.faults.append(what)
                    print(f"{what}: FAULT {len(self.faults)}\n{_in_full(fault)}", flush=True)
                else:
                    kills, repeated = kills + case.result()[0], repeated + case.result()[1]
                if done % TOLD == 0 or done == len(going):
                    took = time.perf_counter() - began
                    told = f"{kills} kills, {repeated} calls repeated, {len(self.faults)} faults, {took:.0f} s"
                    print(f"{what}: {done} of {len(going)}; {told}", flush=True)
        finally:
            for case in going:
                case.cancel()
        return kills, repeated

    def at_random(self, template: Prepared, seed: int) -> Tally:
        return 1, killed_and_carried_on(self.bench, copied(template, self.folder), self.whole, seed)

    def at_every_passage(self, template: Prepared, point: str) -> Tally:
        """Kill at each passage of the point until the run gets through."""
        kills = repeated = 0
        while True:
            given = copied(template, self.folder)
            pid = self.bench.carry(given, "first", f"{point}:{kills + 1}")
            status = self.bench.nursery.wait(pid)
            if status == 0:
                print(f"{point}: killed at each of its {kills} passages", flush=True)
                return kills, repeated
            assert ended_by_kill(status), self.bench.said(given.tag)
            assert gone(pid)
            repeated += self.bench.carried_on(given, self.whole)
            kills += 1
            Path(given.store).unlink()

    def workers(self, isolated: Prepared, seed: int) -> Tally:
        return workers_killed(self.bench, copied(isolated, self.folder), self.whole, seed), 0

    def supervisor_at_random(self, template: Prepared, seed: int) -> Tally:
        return 1, supervisor_killed_at_random(self.bench, copied(template, self.folder), self.whole, seed)

    def supervisor_at(self, template: Prepared, place: str) -> Tally:
        return 2, supervisor_killed_at(self.bench, copied(template, self.folder), self.whole, place)


def runs(soak: Soak, template: Prepared, instants: int) -> list[Tally]:
    """Kill runs at random instants and at every passage of every point."""
    return [
        soak.each("runs", (partial(soak.at_random, template, 1000 + seed) for seed in range(instants))),
        soak.each("runs' points", (partial(soak.at_every_passage, template, point) for point in POINTS)),
    ]


def workers(soak: Soak, instants: int) -> list[Tally]:
    """Kill workers, and runs above them."""
    isolated = made(soak.bench, str(soak.folder / "isolated.db"), isolation=Isolation(), concurrency=3)
    each, above = range(instants // KILLS), range(instants // APART)
    return [
        soak.each("workers", (partial(soak.workers, isolated, 7000 + seed) for seed in each)),
        soak.each("runs above workers", (partial(soak.at_random, isolated, 5000 + seed) for seed in above)),
    ]


def supervisors(soak: Soak, template: Prepared, instants: int) -> list[Tally]:
    """Kill supervisors, their carriers, or both."""
    return [
        soak.each("supervisors", (partial(soak.supervisor_at_random, template, 9000 + it) for it in range(instants))),
        soak.each("supervisors' points", (partial(soak.supervisor_at, template, place) for place in PLACES)),
    ]


@contextmanager
def _served(folder: Path) -> Generator[Server]:
    """A server of its own, with all its data below the folder."""
    data, sockets = folder / "postgres", folder / "runtime"
    for path in (data, sockets):
        path.mkdir(mode=0o700)
    with postgres.serving(data, sockets) as server:
        yield server
    shutil.rmtree(sockets)
    shutil.rmtree(data, ignore_errors=True)


def servers(bench: Bench, folder: Path, whole: Uninterrupted, instants: int) -> Tally:
    """Kill a server under a run at random instants, and every other time again while it recovers."""
    kills = repeated = 0
    with _served(folder) as server:
        for seed in range(instants):
            again = seed % 2 == 1
            repeated += server_killed_and_started(bench, server, whole, 1000 + seed, again=again)
            kills += 1 + again
            print(f"server: {kills} kills in {seed + 1} of {instants} runs, {repeated} calls repeated", flush=True)
    return kills, repeated


def sharing(bench: Bench, folder: Path, times: int, first: int = 1000) -> Tally:
    """Kill and stop eight runs at once that share a budget and a rate, so many times, every other time on a server."""
    kills, worst = 0, 0.0
    with _served(folder) as server:
        for seed in range(first, first + times):
            on_file = seed % 2 == 0
            store = str(folder / f"sharing-{seed}.db") if on_file else new_database(server.url)
            storm = stormed(bench, store, seed)
            kills, worst = kills + storm.kills, max(worst, storm.paid)
            print(f"{seed}, {'a file' if on_file else 'a server'}: {storm}", flush=True)
            storm.check()
    print(f"eight runs {times} times, {kills} kills: at most ${worst:.4f} of a shared dollar", flush=True)
    return kills, 0


def main() -> None:
    """Run it all, and raise AssertionError where something did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instants", type=int, default=500, help="at which runs, workers and supervisors are killed")
    parser.add_argument("--server-instants", type=int, default=30, help="at which a server is")
    parser.add_argument("--storms", type=int, default=30, help="of eight runs that share")
    parser.add_argument("--seed", type=int, default=1000, help="of the first storm")
    parser.add_argument("--part", choices=_PARTS)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    os.environ[KEY] = "soak:own"
    began, tallies = time.perf_counter(), list[Tally]()
    with _folder() as folder, serving(folder) as oracle, nursing() as nursery, ThreadPoolExecutor(given.jobs) as pool:
        bench = Bench(oracle, nursery)
        template = asyncio.run(_template(folder, oracle.base_url))
        whole = bench.uninterrupted(copied(template, folder))
        soak = Soak(bench, whole, folder, pool)
        parts: dict[str, Callable[[], list[Tally]]] = {
            "runs": lambda: runs(soak, template, given.instants),
            "workers": lambda: workers(soak, given.instants),
            "supervisors": lambda: supervisors(soak, template, given.instants),
            "servers": lambda: [servers(bench, folder, whole, given.server_instants)],
            "sharing": lambda: [sharing(bench, folder, given.storms, given.seed)],
        }
        for part in (given.part,) if given.part else _PARTS:
            tallies += parts[part]()
        assert not soak.faults, f"something did not hold: {dict(Counter(soak.faults))}"
    kills, repeated = (sum(numbers) for numbers in zip(*tallies, strict=True))
    print(f"{kills} kills, {repeated} calls repeated, nothing lost, in {time.perf_counter() - began:.0f} s")


@contextmanager
def _folder() -> Generator[Path]:
    """For stores and logs; it is left where something did not hold."""
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    try:
        yield folder
    except BaseException:
        print(f"stores and logs are in {folder}", flush=True)
        raise
    shutil.rmtree(folder)


def _in_full(fault: BaseException) -> str:
    """What was raised and where, with the values there, as far as a line goes: which run of which seed it was."""
    lines = traceback.TracebackException.from_exception(fault, capture_locals=True).format()
    return "\n".join(line[:_WIDE] for part in lines for line in part.splitlines())


async def _template(folder: Path, base_url: str) -> Prepared:
    store = str(folder / "template.db")
    database = await open_database(store)
    try:
        return Prepared((await prepared(database, store, base_url)).id, store, "template")
    finally:
        await database.aclose()


if __name__ == "__main__":
    main()
