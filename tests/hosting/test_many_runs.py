"""Eight runs and two commands on one SQLite file; and what goes wrong with that file while a run goes on."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

from dspex.hosting.carrier import BROKEN
from dspex.hosting.handle import Run
from dspex.storage import runs
from dspex.storage.opening import open_database
from tests.hosting.conftest import made
from tests.hosting.durability import Bench, Prepared, Uninterrupted, check_integrity
from tests.hosting.test_steering import QUICK, started

COMMANDS = 40


def test_eight_runs_and_two_commands_on_one_file(bench: Bench, tmp_path: Path) -> None:
    store = str(tmp_path / "dspex.db")
    given = [made(bench, store, seed=seed) for seed in range(8)]
    pids = [bench.carry(item, "first", constants=QUICK) for item in given]

    async def commanding(number: int) -> None:
        database = await open_database(store)
        try:
            for turn in range(COMMANDS):
                run = Run(database, store, given[(turn + number) % 8].run)
                await run.database.write(partial(runs.note, id=run.id, kind="watched", data={}))
                assert (await run.status()).state in ("queued", "running", "completed")
                assert await run.events()
        finally:
            await database.aclose()

    async def both() -> None:
        await asyncio.gather(commanding(0), commanding(4))

    asyncio.run(both())
    for pid, item in zip(pids, given, strict=True):
        bench.rests(pid, item.tag)
        assert "locked" not in bench.said(item.tag)
        assert item.status().state == "completed"
    given[0].look(check_integrity)


def test_full_disk_is_one_clear_error_and_the_run_carries_on_when_there_is_space(
    bench: Bench, copy: Prepared, uninterrupted: Uninterrupted
) -> None:
    """A file that may not grow is a full disk to its writer."""
    size = sum(path.stat().st_size for path in Path(copy.store).parent.glob("*.db*"))
    pid = bench.carry(copy, "first", limit=size + 200_000)
    assert bench.nursery.wait(pid) == BROKEN
    said = bench.said(copy.tag).strip()
    assert len(said.splitlines()) == 1, said
    assert copy.store in said
    assert copy.status().state == "running"
    assert copy.facts().evaluations
    bench.carried_on(copy, uninterrupted)


def test_a_deleted_database_ends_the_run_with_one_clear_error(bench: Bench, copy: Prepared) -> None:
    pid = started(bench, copy)
    for path in Path(copy.store).parent.glob("*.db*"):
        if path.is_file():
            path.rename(path.with_name("moved-" + path.name))
    assert bench.nursery.wait(pid) == BROKEN
    said = bench.said(copy.tag).strip()
    assert said == f"{copy.store}: the database is gone; restore it, or start anew"
