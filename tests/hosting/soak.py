"""Every occurrence of every crash point, and many random instants: `python -m tests.hosting.soak [--instants 500]`.

`--part processes` kills runs and workers, `--part servers` kills PostgreSQL, `--part sharing` kills and stops eight
runs that share a budget and a rate; without it, all are done.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path

from dspex.hosting.isolation import Isolation
from dspex.storage.opening import open_database
from tests.hosting.conftest import copied, made
from tests.hosting.crashing.points import POINTS
from tests.hosting.durability import Bench, Prepared, Uninterrupted, ended_by_kill, gone
from tests.hosting.nursery import nursing
from tests.hosting.oracle import serving
from tests.hosting.project import KEY, prepared
from tests.hosting.test_killed_anywhere import killed_and_carried_on
from tests.hosting.test_killed_servers import server_killed_and_started
from tests.hosting.test_sharing import stormed
from tests.servers import postgres

IN_WORKERS = 10
"""One instant of so many is tried with evaluations in workers, too."""


def every_occurrence(bench: Bench, template: Prepared, folder: Path, whole: Uninterrupted) -> tuple[int, int]:
    """Kill at each passage of each point until the run gets through; returns kills and repeated calls."""
    kills = repeated = 0
    for point in POINTS:
        occurrence = 0
        while True:
            occurrence += 1
            given = copied(template, folder)
            pid = bench.carry(given, "first", f"{point}:{occurrence}")
            status = bench.nursery.wait(pid)
            if status == 0:
                break
            assert ended_by_kill(status), bench.said(given.tag)
            assert gone(pid)
            repeated += bench.carried_on(given, whole)
            kills += 1
            Path(given.store).unlink()
        print(f"{point}: killed at each of its {occurrence - 1} passages", flush=True)
    return kills, repeated


def processes(bench: Bench, template: Prepared, folder: Path, whole: Uninterrupted, instants: int) -> tuple[int, int]:
    """Kill runs at random instants, with workers too, and at every point; returns kills and repeated calls."""
    repeated = sum(
        killed_and_carried_on(bench, copied(template, folder), whole, 1000 + seed) for seed in range(instants)
    )
    print(f"killed at {instants} random instants, {repeated} calls repeated", flush=True)
    isolated = made(bench, str(folder / "isolated.db"), isolation=Isolation(), concurrency=3)
    in_workers = instants // IN_WORKERS
    for seed in range(in_workers):
        repeated += killed_and_carried_on(bench, copied(isolated, folder), whole, 5000 + seed)
    print(f"and at {in_workers} with evaluations in workers", flush=True)
    kills, again = every_occurrence(bench, template, folder, whole)
    return instants + in_workers + kills, repeated + again


def servers(bench: Bench, folder: Path, whole: Uninterrupted, instants: int) -> tuple[int, int]:
    """Kill a server under a run at random instants; returns kills and repeated calls."""
    data, sockets = folder / "postgres", folder / "runtime"
    for path in (data, sockets):
        path.mkdir(mode=0o700)
    with postgres.serving(data, sockets) as server:
        repeated = sum(server_killed_and_started(bench, server, whole, 1000 + seed) for seed in range(instants))
    print(f"killed the server at {instants} random instants, {repeated} calls repeated", flush=True)
    return instants, repeated


def sharing(bench: Bench, folder: Path, times: int, first: int = 1000) -> int:
    """Kill and stop eight runs at once that share a budget and a rate, so many times; returns kills."""
    kills, worst = 0, 0.0
    for seed in range(first, first + times):
        storm = stormed(bench, str(folder / f"sharing-{seed}.db"), seed)
        kills, worst = kills + storm.kills, max(worst, storm.paid)
        print(f"{seed}: {storm}", flush=True)
        assert storm.paid <= 1.0
        assert storm.crowd <= storm.allowed
    print(f"eight runs {times} times, {kills} kills: at most ${worst:.4f} of a shared dollar", flush=True)
    return kills


def main() -> None:
    """Run until something does not hold, which raises."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instants", type=int, default=500, help="at which runs are killed")
    parser.add_argument("--server-instants", type=int, default=30, help="at which a server is")
    parser.add_argument("--storms", type=int, default=30, help="of eight runs that share")
    parser.add_argument("--seed", type=int, default=1000, help="of the first storm")
    parser.add_argument("--part", choices=("processes", "servers", "sharing"))
    given = parser.parse_args()
    os.environ[KEY] = "soak:own"
    began, kills, repeated = time.perf_counter(), 0, 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with serving(folder) as oracle, nursing() as nursery:
            bench = Bench(oracle, nursery)
            if given.part in (None, "sharing"):
                kills += sharing(bench, folder, given.storms, given.seed)
            if given.part != "sharing":
                more, repeated = _alone(bench, folder, given)
                kills += more
    took = time.perf_counter() - began
    print(f"{kills} kills, {repeated} calls repeated, nothing lost, in {took:.0f} s")


def _alone(bench: Bench, folder: Path, given: argparse.Namespace) -> tuple[int, int]:
    """One run at a time."""
    kills = repeated = 0
    template = asyncio.run(_template(folder, bench.oracle.base_url))
    whole = bench.uninterrupted(copied(template, folder))
    if given.part != "servers":
        kills, repeated = processes(bench, template, folder, whole, given.instants)
    if given.part != "processes":
        more, again = servers(bench, folder, whole, given.server_instants)
        kills, repeated = kills + more, repeated + again
    return kills, repeated


async def _template(folder: Path, base_url: str) -> Prepared:
    store = str(folder / "template.db")
    database = await open_database(store)
    try:
        return Prepared((await prepared(database, store, base_url)).id, store, "template")
    finally:
        await database.aclose()


if __name__ == "__main__":
    main()
