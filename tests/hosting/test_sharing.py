"""Eight runs of one store in eight processes keep one rate and one budget, together: the server's log says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Unpack

from dspex.configuration.runtimes import RuntimeSettings
from tests.hosting.conftest import made
from tests.hosting.durability import Bench, Prepared, check_integrity
from tests.servers.chat import Arrival, serving

RUNS = 8
A_SECOND = 100
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


def together(bench: Bench, store: str, base_url: str, **more: Unpack[RuntimeSettings]) -> list[Prepared]:
    """Eight runs, all of one key, each carried to its rest in a process of its own."""
    given = [made(bench, store, base_url=base_url, seed=seed, calls=90, more=more) for seed in range(RUNS)]
    given = [replace(item, tag=given[0].tag) for item in given]  # the tag is in the key: it is one key
    pids = [bench.carry(item, "") for item in given]
    for pid, item in zip(pids, given, strict=True):
        bench.rests(pid, item.tag)
    return given


def test_eight_runs_keep_one_rate_together(bench: Bench, tmp_path: Path) -> None:
    with serving() as server:
        given = together(bench, str(tmp_path / "dspex.db"), server.url, requests_per_second=A_SECOND)
        log = server.log()
    assert {item.status().state for item in given} == {"completed"}
    assert len(log) > 2 * A_SECOND
    assert crowded(log, 1.0 - ON_THE_WAY) <= A_SECOND
    given[0].look(check_integrity)
