"""`Run`: what a user holds of a run, wherever it is carried, and after everything has been switched off."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, select

from dspex.clients.budget import Budget
from dspex.errors import ConfigurationError
from dspex.hosting.forking import fork
from dspex.hosting.launching import launch
from dspex.hosting.liveness import alive, orphaned, stalled
from dspex.hosting.references import OnlyInMemoryError
from dspex.hosting.specification import RunSpec
from dspex.kernel.ports import JSON
from dspex.kernel.program import Program
from dspex.storage import runs
from dspex.storage.database import Database
from dspex.storage.runs import CommandKind, RunRow, RunState
from dspex.storage.statements import unpacked
from dspex.storage.tables import candidates, events

_EVERY = 0.1
_PATIENCE = 100
"""Looks at a run that nothing carries before it is taken for abandoned: its process may be starting."""
RESTING: frozenset[RunState] = frozenset({"paused", "stopped", "completed", "failed", "crashed"})


@dataclass(frozen=True, slots=True)
class RunStatus:
    """A run at one moment."""

    id: str
    state: RunState
    reason: str
    alive: bool
    """Whether a process carries it now."""
    stalled: bool
    """Whether that process is there and does not move."""
    orphaned: bool
    """Whether it says that it runs, and neither a process nor a supervisor is there: resume it."""
    best_score: float | None
    """Mean over the val examples the best candidate was asked so far; confirmed score once it has ended."""
    seed_score: float | None
    calls: int
    """Sent, repeated ones included."""
    cost: float | None
    repeated_calls: int
    unknown_calls: int
    evaluations: int
    candidates: int
    rounds: int
    restarts: int
    seconds: float
    budget: Budget
    strategy: str
    program: str | None
    created: float
    started: float | None
    finished: float | None


@dataclass(frozen=True, slots=True)
class RunEvent:
    """Something that happened in a run."""

    sequence: int
    kind: str
    data: dict[str, JSON]
    created: float


class Run:
    """A run in a store, by id. Holds no process: every answer is read from the rows."""

    def __init__(self, database: Database, store: str, id: str) -> None:
        self.database, self.store, self.id = database, store, id

    async def status(self) -> RunStatus:
        """Where it is; answers without any process of the run's."""
        row, found = await self.database.read(lambda c: (runs.find(c, self.id), runs.counts(c, self.id)))
        now = time.time()
        best, seed = _scores(row)
        return RunStatus(
            id=row.id, state=row.state, reason=row.reason, alive=alive(self.database.location, row, now),
            stalled=stalled(self.database.location, row, now),
            orphaned=orphaned(self.database.location, row, now), best_score=best, seed_score=seed,
            calls=found["calls"], cost=row.progress.get("usd"), repeated_calls=found["repeated_calls"],
            unknown_calls=found["unknown_calls"], evaluations=found["evaluations"],
            candidates=int(row.progress.get("candidates") or 0), rounds=found["rounds"], restarts=row.restarts,
            seconds=float(row.progress.get("seconds") or 0.0), budget=Budget.model_validate(row.budget),
            strategy=row.strategy, program=row.program, created=row.created, started=row.started,
            finished=row.finished,
        )  # fmt: skip

    async def best(self) -> Program:
        """The confirmed program of a finished run; before that the leader of the race, which nothing has confirmed."""
        row, values = await self.database.read(lambda c: _leader(c, self.id))
        if row.result is not None:
            return Program.from_data(row.result["program"], f"result of run {self.id}")
        program = Program.from_data(row.spec["program"], f"run {self.id}")
        return program if values is None else program.configured(values)

    async def result(self) -> dict[str, JSON] | None:
        """The result as JSON data; None before the end."""
        row = await self.database.read(lambda c: runs.find(c, self.id))
        return row.result

    async def events(self, after: int = 0, limit: int = 1000) -> list[RunEvent]:
        """What happened, oldest first, from sequence number `after` on."""
        query = (
            select(events)
            .where(events.c.run == self.id, events.c.sequence > after)
            .order_by(events.c.sequence)
            .limit(limit)
        )
        rows = await self.database.read(lambda c: c.execute(query).all())
        return [RunEvent(row.sequence, row.kind, unpacked(row.data), row.created) for row in rows]

    async def follow(self, after: int = 0, every: float = 0.25) -> AsyncIterator[RunEvent]:
        """Events as they come, until the run rests."""
        while True:
            resting = (await self.status()).state in RESTING
            for event in await self.events(after):
                after = event.sequence
                yield event
            if resting:
                return
            await asyncio.sleep(every)

    async def resume(self) -> None:
        """Carry it on in a supervised process of its own; nothing where one carries it already.

        Raises ConfigurationError for a run that has ended, and OnlyInMemoryError for one whose objects live in another
        process: hand them to `dspex.resume` there.
        """
        row = await self.database.read(lambda c: runs.find(c, self.id))
        if row.state in runs.FINISHED:
            raise ConfigurationError(f"run {self.id} is {row.state}; fork it to go on from there")
        if row.state in ("pausing", "stopping") and alive(self.database.location, row, time.time()):
            raise ConfigurationError(f"run {self.id} is {row.state}; wait for it, then resume it")
        if alive(self.database.location, row, time.time()):
            return
        if reasons := RunSpec.model_validate(row.spec).live:
            raise OnlyInMemoryError(f"run {self.id} cannot have a process of its own: {'; '.join(reasons)}")
        if "queued" in runs.MOVES[row.state]:
            await self.database.write(lambda c: runs.move(c, self.id, "queued", "resumed"))
        launch(self.store, self.id, self.database)

    async def fork(self, *, budget: Budget | None = None, seed: int | None = None, strategy: str | None = None) -> Run:
        """A new run, queued: `resume` it. See `dspex.hosting.forking.fork` for what is carried over and what counts.

        It shares this handle's connection: close one of them, when both are done with.
        """
        make = partial(fork, source=self.id, budget=budget, seed=seed, strategy=strategy)
        return Run(self.database, self.store, await self.database.write(make))

    async def report(self) -> str:
        """What changed, what it gained, what it cost. Raises ConfigurationError before the end."""
        found = await self.result()
        if found is None:
            status = await self.status()
            raise ConfigurationError(f"run {self.id} is {status.state}: its report is written at the end")
        return str(found["report"])

    async def aclose(self) -> None:
        """Let go of the store. The run goes on."""
        await self.database.aclose()

    async def __aenter__(self) -> Run:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def pause(self) -> None:
        """Ask it to finish what is in flight and rest; it can be resumed, also after a reboot."""
        await self._ask("pause", "pausing", "paused")

    async def stop(self, *, now: bool = False) -> None:
        """Ask it to end: to confirm the best it has, or with `now` to drop what is in flight and end at once."""
        await self._ask("stop-now" if now else "stop", "stopping", "stopped")

    async def raise_budget(
        self,
        *,
        calls: int | None = None,
        tokens: int | None = None,
        usd: float | None = None,
        seconds: float | None = None,
    ) -> Budget:
        """Set limits of the budget anew, those that are given; what was spent counts. Returns the whole budget."""
        row = await self.database.read(lambda c: runs.find(c, self.id))
        limits = Budget(calls=calls, tokens=tokens, usd=usd, seconds=seconds).model_dump(exclude_none=True)
        if not limits:
            raise ConfigurationError("name the limit to set: calls=, tokens=, usd= or seconds=")
        budget = Budget.model_validate({**row.budget, **limits})
        if row.state in runs.FINISHED:
            raise ConfigurationError(f"run {self.id} is {row.state}; fork it with another budget")

        def work(connection: Connection) -> None:
            runs.rebudgeted(connection, self.id, budget.model_dump(exclude_none=True))
            runs.tell(connection, self.id, "raise", budget.model_dump(exclude_none=True))

        await self.database.write(work)
        return budget

    async def wait(self, timeout: float | None = None) -> RunStatus:
        """Its status once it rests, or once nothing carries it any more (`orphaned`).

        Raises TimeoutError after `timeout` seconds; the run goes on.
        """
        left = _PATIENCE
        async with asyncio.timeout(timeout):
            while (found := await self.status()).state not in RESTING and left > 0:
                left = left - 1 if found.orphaned else _PATIENCE
                await asyncio.sleep(_EVERY)
        return found

    async def _ask(self, kind: CommandKind, moving: RunState, rest: RunState) -> None:
        row = await self.database.read(lambda c: runs.find(c, self.id))
        if row.state in runs.FINISHED or (row.state == rest):
            return
        if not alive(self.database.location, row, time.time()):
            await self.database.write(lambda c: _rest(c, self.id, rest))
            return
        if row.state == "running" or (row.state == "pausing" and moving == "stopping"):
            await self.database.write(lambda c: runs.move(c, self.id, moving, "on request"))
        await self.database.write(lambda c: runs.tell(c, self.id, kind))


def _rest(connection: Connection, id: str, rest: RunState) -> None:
    """Nobody carries the run: it is at rest already, and only its row has to say so."""
    state = runs.find(connection, id).state
    if rest in runs.MOVES[state]:
        runs.move(connection, id, rest, "on request, while nothing carried it")
    elif state in ("crashed", "failed") and rest == "paused":
        return
    else:
        raise ConfigurationError(f"run {id} is {state}; it cannot become {rest}")


def _scores(row: RunRow) -> tuple[float | None, float | None]:
    confirmation = (row.result or {}).get("confirmation")
    if confirmation is not None:
        kept = confirmation["score"] if (row.result or {}).get("improved") else confirmation["seed_score"]
        return kept, confirmation["seed_score"]
    return row.progress.get("best_score"), row.progress.get("seed_score")


def _leader(connection: Connection, id: str) -> tuple[RunRow, dict[str, JSON] | None]:
    row = runs.find(connection, id)
    leader = row.progress.get("leader")
    query = select(candidates.c.data).where(candidates.c.run == row.id, candidates.c.id == leader)
    data = connection.execute(query).scalar_one_or_none() if leader else None
    return row, None if data is None else unpacked(data)[0]


def store_text(given: str | Path | None, database: Database) -> str:
    """The store as another process is told of it: the URL as it was given, or the file's absolute path."""
    path = database.location.path
    return path if path is not None else str(given)
