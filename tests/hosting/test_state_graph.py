"""Random sequences of start, pause, resume, stop, raise and kill, against a model of the graph of states.

The store, the locks, the claims and the handle are the real ones; a carrier is a claim that somebody holds.
"""

from __future__ import annotations

import asyncio
import tempfile
from functools import partial
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from dspex.errors import ConfigurationError
from dspex.hosting.handle import Run
from dspex.hosting.seating import Seat, TakenError, take
from dspex.storage import runs
from dspex.storage.database import FencedError
from dspex.storage.opening import open_database
from dspex.storage.runs import FINISHED, RESTING, RunState

ROW = {"id": "r", "name": "r", "spec": {}, "budget": {"calls": 10}, "strategy": "auto", "seed": 0}
STEPS = ("carry", "kill", "pause", "stop", "raise", "resume", "heed", "finish")


class Model:
    """What a run does: a state, whether somebody carries it, its budget. Each step says whether it is possible."""

    def __init__(self) -> None:
        self.state: RunState = "queued"
        self.carried = False
        self.calls = 10

    def carry(self) -> bool:
        if self.carried or self.state in RESTING:
            return False
        self.carried, self.state = True, "running" if self.state == "queued" else self.state
        return True

    def kill(self) -> bool:
        was, self.carried = self.carried, False
        return was

    def pause(self) -> bool:
        if self.carried:
            self.state = "pausing" if self.state == "running" else self.state
        elif self.state in ("queued", "running", "pausing"):
            self.state = "paused"
        return True

    def stop(self) -> bool:
        if self.carried:
            self.state = "stopping" if self.state in ("running", "pausing") else self.state
        elif self.state not in FINISHED:
            self.state = "stopped"
        return True

    def raised(self) -> bool:
        self.calls += self.state not in FINISHED
        return self.state not in FINISHED

    def resume(self) -> bool:
        possible = self.state == "paused"
        self.state = "queued" if possible else self.state
        return possible

    def heed(self) -> bool:
        """Its carrier does what it was asked to, and leaves."""
        if not self.carried or self.state not in ("pausing", "stopping"):
            return False
        self.state, self.carried = "paused" if self.state == "pausing" else "stopped", False
        return True

    def finish(self) -> bool:
        if not self.carried:
            return False
        self.state, self.carried = "completed", False
        return True


class World:
    """The same steps on a store."""

    def __init__(self, run: Run) -> None:
        self.run, self.database = run, run.database
        self.seat: Seat | None = None
        self.calls = 10

    async def carry(self) -> None:
        seat = await take(self.database, "r", servant=True)
        self.seat = seat
        if seat.run.state == "queued":
            await self._move("running")

    async def kill(self) -> None:
        seat = self._held()
        seat.release()
        self.seat = None

    async def pause(self) -> None:
        await self.run.pause()

    async def stop(self) -> None:
        await self.run.stop()

    async def raised(self) -> None:
        self.calls += 1
        try:
            await self.run.raise_budget(calls=self.calls)
        except ConfigurationError:
            self.calls -= 1
            raise

    async def resume(self) -> None:
        if (await self.run.status()).state != "paused":
            raise ConfigurationError("it is not paused")
        await self.database.write(partial(runs.move, id="r", to=_QUEUED))

    async def heed(self) -> None:
        self._held()
        state = (await self.run.status()).state
        if state not in ("pausing", "stopping"):
            raise ConfigurationError("nothing was asked of it")
        await self._move("paused" if state == "pausing" else "stopped")
        await self.kill()

    async def finish(self) -> None:
        self._held()
        await self._move("completed")
        await self.kill()

    def _held(self) -> Seat:
        if self.seat is None:
            raise ConfigurationError("nobody carries it")
        return self.seat

    async def _move(self, to: RunState) -> None:
        await self.database.write(lambda c: runs.move(c, "r", to), runs.fence("r", self._held().epoch))


_QUEUED: RunState = "queued"


async def compared(steps: list[str], folder: Path) -> None:
    database = await open_database(folder / "dspex.db")
    try:
        await database.write(lambda c: runs.create(c, ROW))
        model, world = Model(), World(Run(database, str(folder), "r"))
        seats: list[Seat] = []
        for step in steps:
            name = "raised" if step == "raise" else step
            possible = getattr(model, name)()
            try:
                await getattr(world, name)()
                done = True
            except ConfigurationError:
                done = False
            assert done == possible, step
            status = await world.run.status()
            assert (status.state, status.alive) == (model.state, model.carried), step
            assert status.budget.calls == model.calls
            seats += [world.seat] if world.seat is not None and world.seat not in seats else []
            for old in seats[: len(seats) - (world.seat is not None)]:
                assert await refused(world, old) == (old.epoch != (await database.read(_epoch)))
        if world.seat is not None:
            world.seat.release()
    finally:
        await database.aclose()


async def refused(world: World, seat: Seat) -> bool:
    """Whether a write of an earlier owner is refused."""
    try:
        await world.database.write(lambda c: None, runs.fence("r", seat.epoch))
    except FencedError:
        return True
    return False


def _epoch(connection: Connection) -> int:
    return runs.find(connection, "r").epoch


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(STEPS), max_size=14))
def test_any_sequence_moves_along_the_graph(steps: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(compared(steps, Path(name)))


def test_a_run_is_carried_by_one_at_a_time(tmp_path: Path) -> None:
    async def main() -> None:
        database = await open_database(tmp_path / "dspex.db")
        await database.write(lambda c: runs.create(c, ROW))
        results = await asyncio.gather(*(take(database, "r") for _ in range(4)), return_exceptions=True)
        assert sorted(type(item).__name__ for item in results) == ["Seat", *["TakenError"] * 3]
        assert all(isinstance(item, Seat | TakenError) for item in results)
        for item in results:
            if isinstance(item, Seat):
                item.release()
        await database.aclose()

    asyncio.run(main())
