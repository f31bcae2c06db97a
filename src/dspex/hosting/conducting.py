"""Carrying one run: take it over, read its rows, search, and leave it in a state that says how it ended.

The same function serves every host. What it needs is in the store; it can die at any instant and be called again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy import Connection

from dspex.clients.budget import Budget
from dspex.clients.outage import OutageWatch
from dspex.clients.prices import Prices
from dspex.clients.shared_budget import SharedAccount
from dspex.clients.shared_limiter import SharedLimits
from dspex.clients.stack import ModelStack
from dspex.errors import ConfigurationError, DspexError, OutageError, SharedBudgetError
from dspex.hosting.building import Built, Live, build, changed, executor_of
from dspex.hosting.control import Control
from dspex.hosting.flight import NotedExecutor, flight_of, noting
from dspex.hosting.promotion import conclude
from dspex.hosting.remembering import JournalOverMemory
from dspex.hosting.seating import Seat
from dspex.hosting.specification import RunSpec
from dspex.hosting.timing import carried_for, keep, running, unheard_of
from dspex.hosting.waiting import OUTAGE, Patience, back, reason, rested
from dspex.kernel.ports import JSON, NO_USAGE, CallStore, Event, Usage
from dspex.optimization.asking import Desk
from dspex.optimization.interruption import Interrupted, Interruption, Wish
from dspex.optimization.options import SearchOptions
from dspex.optimization.ports import Executor
from dspex.optimization.result import OptimizationResult
from dspex.optimization.runner import Runner, Session
from dspex.optimization.tasks import TaskExecutor
from dspex.storage import runs
from dspex.storage.budgets import StoredShares
from dspex.storage.calls import DatabaseCallStore, bought_by, spent_by
from dspex.storage.database import Database, StorageError
from dspex.storage.ledgers import DurableLedger
from dspex.storage.rates import StoredRates
from dspex.storage.runs import Command, RunState

OnEvent = Callable[[Event], None]


class PausedError(DspexError):
    """The run stopped before its end, on a command or at an outage; it can be resumed."""


async def conduct(
    database: Database, store: str, seat: Seat, live: Live | None = None, on_event: OnEvent | None = None
) -> OptimizationResult:
    """Carry the run that was taken to its end, or to a pause, and let go of it.

    Raises PausedError where it stopped before its end, and whatever ended it otherwise: the run is then `failed` (with
    the reason) and can be resumed once the cause is gone. A kill leaves it as it is.
    """
    run_id = seat.run.id
    try:
        return await _Conductor(database, store, seat, on_event).carry(live)
    finally:
        if seat.lock is None:
            with suppress(StorageError):  # it has been taken over, or the server is gone: the lease runs out
                await database.write(partial(runs.let_go, id=run_id), runs.fence(run_id, seat.epoch))
        seat.release()


class _Conductor:
    """One process's time with one run."""

    def __init__(self, database: Database, store: str, seat: Seat, on_event: OnEvent | None) -> None:
        self.database, self.store, self.seat = database, store, seat
        self.id = seat.run.id
        self.guard = runs.fence(self.id, seat.epoch)
        self._on_event = on_event
        self._interruption = Interruption()
        self._spec = RunSpec.model_validate(seat.run.spec)
        self._budget = Budget.model_validate(seat.run.budget)
        self._runner: Runner | None = None
        self._task: asyncio.Future[OptimizationResult] | None = None
        self._executor: Executor = TaskExecutor()
        self._lost: StorageError | None = None
        self._notes: set[asyncio.Task[None]] = set()
        self._away = seat.waiting
        self._patience = Patience(SearchOptions(**self._spec.options))
        self._seconds = carried_for(seat.run)
        self._unheard = NO_USAGE
        """What earlier processes may have been billed for without an answer."""

    async def carry(self, live: Live | None) -> OptimizationResult:
        spec = self._spec
        await self._enter()
        try:
            if altered := changed(spec):
                raise ConfigurationError(
                    f"code that decides scores has changed since run {self.id} began ({', '.join(altered)}), so its "
                    "evaluations could not be compared with new ones; restore the code, or fork the run"
                )
            built = await build(self.database, spec, self._budget, live)
            self._executor = await executor_of(spec, built, live)
        except StorageError:
            raise
        except DspexError as error:
            await self._move("failed", str(error))
            raise
        control = Control(self.store, self.id, self.seat.epoch, on_command=self._command, on_lost=self._on_lost)
        control.start()
        try:
            return await self._outlasting(built)
        finally:
            await self._executor.aclose()
            await control.close()
            if live is None or live.runtime is None:
                await built.runtime.lm.aclose()

    async def _enter(self) -> None:
        """Into `running`; what was asked of an earlier owner that died before it could is asked again."""
        wished: Mapping[str, Wish] = {"pausing": "pause", "stopping": "stop"}
        if self.seat.run.state in wished:
            self._interruption.ask(wished[self.seat.run.state])

        if self._away:
            return

        def work(connection: Connection) -> None:
            if self.seat.run.state in ("paused", "failed", "crashed"):
                runs.move(connection, self.id, "queued")
            if runs.find(connection, self.id).state == "queued":
                runs.overtaken(connection, self.id)
                started = self.seat.run.started or time.time()
                runs.move(connection, self.id, "running", started=started, finished=None)

        await self.database.write(work, self.guard)

    async def _outlasting(self, built: Built) -> OptimizationResult:
        """The search, as often as an outage stops it and the run is to go on by itself."""
        while True:
            try:
                return await self._search(built)
            except PausedError as error:
                gone = isinstance(error.__cause__, OutageError) and self._interruption.kind is None
                if not gone or self._interruption.stopped or built.options.on_outage == "pause":
                    raise
            self._away = True
            if self._on_event is not None:
                self._on_event(Event("run.waiting", self.id, {"seconds": self._patience.seconds}))
            try:
                why = await self._patience.sleep()
            except asyncio.CancelledError:
                await self._rest("interrupted")
                raise
            if self._lost is not None:
                raise self._lost
            if why == "pause":
                await self._rest("on request")
                raise PausedError(f"run {self.id} is paused")
            if why in ("stop", "stop-now"):
                await self._move("stopped", "on request, while the model was gone: nothing was confirmed")
                raise PausedError(f"run {self.id} was stopped; its evaluations are kept: fork it to go on")

    async def _search(self, built: Built) -> OptimizationResult:
        ledger = await DurableLedger.load(self.database, self.id, self.guard)
        told = isinstance(self._executor, Desk)
        if self._spec.isolation is None and not told and not isinstance(self._executor, NotedExecutor):
            self._executor = await noting(flight_of(self.database.location, self.id), ledger, self._executor)
        prices = built.runtime.lm.policies.prices if isinstance(built.runtime.lm, ModelStack) else Prices()
        booked = ledger.booked_calls()
        calls = DatabaseCallStore(self.database, self.id, self.seat.epoch, self.guard, booked=booked, prices=prices)
        runtime, sharing = built.runtime, await self._sharing(prices)
        if isinstance(runtime.lm, ModelStack):
            store: CallStore = calls
            if (memory := runtime.lm.policies.store) is not None:
                own = await self.database.read(lambda c: bought_by(c, self.id))
                store = JournalOverMemory(calls, memory, own)
            runtime = replace(runtime, lm=runtime.lm.with_store(store).with_sharing(*sharing))
        row, spent = await self.database.read(lambda c: (runs.find(c, self.id), spent_by(c, self.id)))
        self._unheard = unheard_of(row.progress)
        spent = spent + self._unheard
        if (carried := self._spec.carried) is not None:
            spent = spent + Usage(**carried.model_dump())
        watch = OutageWatch(seconds=built.options.outage_seconds)
        if self._away:
            watch.doubt(self._came_back)
        # Evaluations that are told of are no calls of this store: what they took, the ledger alone knows.
        known = None if told else spent
        session = Session(self._saw, self._interruption, known, self._seconds, self._executor, watch)
        self._runner = Runner(built.problem, runtime, built.strategy, ledger, built.options, session)
        self._task = asyncio.ensure_future(self._runner.run())
        try:
            result = await self._task
            await self._noted()
            await self._returned()
        except BaseException as error:
            await self._noted()
            self._seconds = self._runner.seconds
            raise await self._ended(error, built.options) from error
        finally:
            await calls.aclose()
            for shared in sharing:
                with suppress(StorageError):  # what is not given back expires
                    await shared.aclose()
        result = replace(result, run=self.id)
        ended: RunState = "stopped" if self._interruption.stopped else "completed"
        await self.database.write(lambda c: self._concluded(c, result, ended), self.guard)
        return result

    def _concluded(self, connection: Connection, result: OptimizationResult, ended: RunState) -> None:
        keep(connection, self.id, result.seconds, going=False)
        conclude(connection, self.seat.run, result, ended)

    async def _sharing(self, prices: Prices) -> tuple[SharedLimits, SharedAccount]:
        """What the run keeps together with the others of the store: rates, and a budget where there is one."""
        account = SharedAccount(StoredShares(self.database, self.id, self.guard), prices)
        await account.open()
        return SharedLimits(StoredRates(self.database)), account

    async def _ended(self, error: BaseException, options: SearchOptions) -> BaseException:
        """Write down why the search did not reach its end; returns what to raise."""
        if self._lost is not None:
            return self._lost
        if isinstance(error, StorageError):
            return error  # nothing can be written, or nothing may be
        if self._interruption.kind == "stop-now":
            await self._move("stopped", "stopped at once, on request")
            return PausedError(f"run {self.id} was stopped at once; its evaluations are kept: fork it to go on")
        if isinstance(error, Interrupted | asyncio.CancelledError):
            drained = isinstance(error, Interrupted)
            await self._rest("on request" if drained else "interrupted", drained=drained)
            return error if isinstance(error, asyncio.CancelledError) else PausedError(f"run {self.id} is paused")
        if isinstance(error, SharedBudgetError):
            await self._rest(f"shared budget: {error}", drained=True)
            return PausedError(f"run {self.id} is paused: {error}")
        if isinstance(error, OutageError):
            stopping = self._interruption.stopped and self._away
            again = options.on_outage == "wait" and self._interruption.kind is None
            if stopping:
                await self._move("stopped", "on request, while the model was gone: nothing was confirmed")
            else:
                why = reason(str(error), self._patience.seconds) if again else f"{OUTAGE}{error}"
                await self._rest(why, drained=True)
            return PausedError(f"run {self.id} is paused, because the model is gone: {error}")
        await self._returned()
        await self._move("failed", f"{type(error).__name__}: {error}", self._told_of())
        return error

    def _came_back(self) -> None:
        """The model has answered."""
        self._begin(self._returned())

    async def _returned(self) -> None:
        if self._away:
            self._away = False
            self._patience.reset()
            await self.database.write(partial(back, id=self.id), self.guard)

    def _saw(self, event: Event) -> None:
        """Keep what watchers want to know at once in the run's row."""
        if event.kind == "round.finished":
            self._begin(self._note({**event.data, "round": event.where, **self._more(event)}))
        if self._on_event is not None:
            self._on_event(event)

    def _more(self, event: Event) -> dict[str, JSON]:
        """What the runner's event does not say: time, the seed program's score, why the leader was made."""
        runner = self._runner
        if runner is None:
            return {}
        ledger, problem = runner.ledger, runner.problem
        seed, best = ledger.scores(problem.seed_id), ledger.scores(event.data["leader"])
        shared = [seed[key] for key in problem.keys if key in seed and key in best]
        return {
            **running(runner.seconds),
            **self._told_of(),
            "seed_score": sum(shared) / len(shared) if shared else None,
            "hypothesis": ledger.candidates[event.data["leader"]].hypothesis,
        }

    def _told_of(self) -> dict[str, JSON]:
        unheard = self._unheard if self._runner is None else self._unheard + self._runner.unheard
        return {"unheard": [unheard.calls, unheard.input_tokens, unheard.usd]}

    async def _note(self, progress: Mapping[str, JSON]) -> None:
        await self.database.append(runs.PROGRESS, runs.progress_row(self.id, progress), self.guard, waited=False)

    def _begin(self, writing: Coroutine[Any, Any, None]) -> None:
        """Write beside the search. A store that refuses refuses the search's own writes, too, and is told of there."""
        task = asyncio.ensure_future(writing)
        self._notes.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._notes.discard(task)
            if not task.cancelled():
                task.exception()

        task.add_done_callback(done)

    async def _noted(self) -> None:
        if self._notes:
            await asyncio.wait(set(self._notes))

    def _command(self, command: Command) -> str:
        """Runs on the run's own loop; returns what came of it."""
        if command.kind == "raise":
            self._budget = Budget.model_validate({**self._budget.model_dump(exclude_none=True), **command.data})
            if self._runner is not None:
                self._runner.raise_budget(self._budget)
            return "raised"
        if self._patience.asleep:
            self._patience.wake(command.kind)
            return "asked"
        if command.kind == "resume":
            return "it is running"
        self._interruption.ask(command.kind)
        if command.kind == "stop-now" and self._task is not None:
            self._task.cancel()
        return "asked"

    def _on_lost(self, error: StorageError) -> None:
        """Another process owns the run now, or the store is gone: nothing more may be written."""
        self._lost = error
        if self._task is not None:
            self._task.cancel()
        self._patience.wake("time")

    async def _rest(self, why: str, *, drained: bool = False) -> None:
        """Paused; or stopped, where somebody has asked for that meanwhile.

        `drained`: all that was under way has ended, so all that was cut off is known; what is dropped is sent again.
        """
        unheard = self._told_of() if drained else {}

        def work(connection: Connection) -> None:
            keep(connection, self.id, self._seconds, unheard, going=False)
            if runs.find(connection, self.id).state == "stopping":
                runs.move(connection, self.id, "stopped", why)
            else:
                rested(connection, self.id, why)

        await self.database.write(work, self.guard)

    async def _move(self, to: RunState, reason: str, more: Mapping[str, JSON] | None = None) -> None:
        def work(connection: Connection) -> None:
            keep(connection, self.id, self._seconds, more or {}, going=False)
            runs.move(connection, self.id, to, reason)

        await self.database.write(work, self.guard)
