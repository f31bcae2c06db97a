"""`Run`: what a user holds of a run, wherever it is carried, and after everything has been switched off."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, select

from dspex.clients.budget import Budget
from dspex.errors import ConfigurationError
from dspex.hosting.forking import fork
from dspex.hosting.launching import launch
from dspex.hosting.liveness import alive, unsupervised
from dspex.hosting.references import OnlyInMemoryError
from dspex.hosting.reporting import report_of
from dspex.hosting.specification import RunSpec
from dspex.hosting.status import RunEvent, RunFailure, RunStatus, status_of
from dspex.hosting.steering import ask, seize
from dspex.hosting.waiting import attended
from dspex.kernel.ports import JSON
from dspex.kernel.program import Program
from dspex.optimization.limits import weighs_answers
from dspex.optimization.rows import QUARANTINED, Death, Evaluation
from dspex.storage import runs
from dspex.storage.database import Database
from dspex.storage.ledgers import deaths_of, rows_of
from dspex.storage.runs import RESTING, CommandKind, RunRow, RunState
from dspex.storage.statements import unpacked
from dspex.storage.tables import candidates, events, failures

_EVERY = 0.1
REACTION_SECONDS = 5.0
"""What a process has to end a run at once before the run is taken from it."""
_PATIENCE = 100
"""Looks at a run that nothing carries before it is taken for abandoned: its process may be starting."""


class Run:
    """A run in a store, by id. Holds no process: every answer is read from the rows."""

    def __init__(self, database: Database, store: str, id: str) -> None:
        self.database, self.store, self.id = database, store, id

    async def status(self) -> RunStatus:
        """Where it is; answers without any process of the run's."""
        looked = partial(status_of, location=self.database.location, id=self.id, now=time.time())
        return await self.database.read(looked)

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

    async def failures(self, limit: int = 5) -> list[RunFailure]:
        """The last attempts that infrastructure failed, newest first."""
        query = select(failures).where(failures.c.run == self.id).order_by(failures.c.id.desc()).limit(limit)
        rows = await self.database.read(lambda c: c.execute(query).all())
        return [
            RunFailure(row.candidate, row.example, row.round, str(unpacked(row.data)[0][2]), row.created)
            for row in rows
        ]

    async def quarantined(self) -> list[Death]:
        """Pairs that killed the process they were evaluated in, twice: they are not evaluated any more."""
        return await self.database.read(partial(deaths_of, run=self.id, kills=QUARANTINED))

    async def evaluations(self) -> list[Evaluation]:
        """Every scored row so far, whether its round is finished or not."""
        _, _, found = await self.database.read(lambda c: rows_of(c, self.id))
        return [item for item in found if item.score is not None]

    async def follow(self, after: int = 0, every: float = 0.25) -> AsyncIterator[RunEvent]:
        """Events as they come, until the run rests."""
        while True:
            status = await self.status()
            resting = status.state in RESTING and not status.waiting
            for event in await self.events(after):
                after = event.sequence
                yield event
            if resting:
                return
            await self.database.hint(self.id, every)

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
        if row.state not in RESTING and alive(self.database.location, row, time.time()):
            if unsupervised(self.database.location, row) and not RunSpec.model_validate(row.spec).live:
                launch(self.store, self.id, self.database)  # it waits for the process that is there
            return
        if attended(self.database.location, row):
            await self.database.write(lambda c: runs.tell(c, self.id, "resume"))
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

    async def report(self, form: str = "text", *, explain: bool = True) -> str:
        """What changed, what it gained, what it cost: as `text`, `markdown` or `html`.

        With `explain` also how important each variable was, which takes some seconds and the extra `optimize`.

        Raises ConfigurationError before the end, UnknownNameError for another form.
        """
        return await report_of(self.database, self.id, form, explain)

    async def aclose(self) -> None:
        """Let go of the store. The run goes on."""
        await self.database.aclose()

    async def __aenter__(self) -> Run:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def pause(self) -> None:
        """Ask it to finish what is in flight and rest; it can be resumed, also after a reboot."""
        await self._ask("pause", "paused")

    async def stop(self, *, now: bool = False) -> None:
        """Ask it to end: to confirm the best it has, or with `now` to drop what is in flight and end at once.

        With `now` it has ended when this returns. A process that does not react within some seconds loses the run, and
        is killed where it is on this machine and there for the run alone.
        """
        if not now:
            await self._ask("stop", "stopped")
            return
        stuck = (await self.status()).stalled
        deadline = time.monotonic() + (0.0 if stuck else REACTION_SECONDS)
        # A process that was stopped within a transaction holds up every write: this one then waits until it is killed.
        asking = asyncio.ensure_future(self._ask("stop-now", "stopped"))
        try:
            while not (asking.done() and _resting(await self.status())):
                if asking.done():
                    await asking  # where it cannot be asked, as on a full disk, it cannot be seized either
                if time.monotonic() >= deadline:
                    await seize(self.database, self.id)
                    break
                await asyncio.sleep(_EVERY)
            await asking
        finally:
            asking.cancel()

    async def raise_budget(
        self,
        *,
        calls: int | None = None,
        tokens: int | None = None,
        usd: float | None = None,
        seconds: float | None = None,
    ) -> Budget:
        """Set limits of the budget anew, those that are given; what was spent counts. Returns the whole budget.

        Raises ConfigurationError for a run that has ended, and for a first limit in tokens or dollars.
        """
        row = await self.database.read(lambda c: runs.find(c, self.id))
        limits = Budget(calls=calls, tokens=tokens, usd=usd, seconds=seconds).model_dump(exclude_none=True)
        if not limits:
            raise ConfigurationError("name the limit to set: calls=, tokens=, usd= or seconds=")
        budget = Budget.model_validate({**row.budget, **limits})
        if row.state in runs.FINISHED:
            raise ConfigurationError(f"run {self.id} is {row.state}; fork it with another budget")
        if weighs_answers(budget) and not weighs_answers(Budget.model_validate(row.budget)):
            raise ConfigurationError(
                f"run {self.id} began without a limit in tokens or dollars, so its requests have none on their "
                "answers, and none could be kept; raise its calls or seconds, or fork it with such a budget"
            )

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
            while not _resting(found := await self.status()) and left > 0:
                left = left - 1 if found.orphaned else _PATIENCE
                await self.database.hint(self.id, _EVERY)
        return found

    async def _ask(self, kind: CommandKind, rest: RunState) -> None:
        await self.database.write(partial(ask, location=self.database.location, id=self.id, kind=kind, rest=rest))


def _resting(status: RunStatus) -> bool:
    return status.state in RESTING and not status.waiting


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
