"""`AsyncSearch`: a durable search whose evaluations are made elsewhere and told of."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypedDict, Unpack

from dspex.errors import ConfigurationError, DspexError
from dspex.hosting.building import Live
from dspex.hosting.conducting import PausedError, conduct
from dspex.hosting.handle import Run
from dspex.hosting.preparing import HowToSearch, prepare
from dspex.hosting.searching import attach, in_memory
from dspex.hosting.seating import take
from dspex.hosting.stores import IN_MEMORY, store_of
from dspex.kernel.ports import JSON, Runtime, Score, Usage
from dspex.kernel.program import Program
from dspex.kernel.signature import Example
from dspex.kernel.state import State
from dspex.optimization.asking import Desk, Told, Trial
from dspex.optimization.deciding import Strategy
from dspex.optimization.options import SearchOptions
from dspex.optimization.result import OptimizationResult
from dspex.optimization.runner import DEFAULT_BUDGET


class ToldMetric:
    """Stands for the scores that are told; it is never asked."""

    name = "told"
    inline = True

    def __call__(self, example: Example, state: State) -> float:
        raise ConfigurationError("the scores of this search are told; use Search.tell")


class Telling(TypedDict, total=False):
    """What can be told beside a score."""

    feedback: str | None
    """What was right or wrong, in words, for proposers."""
    outputs: Mapping[str, JSON] | None
    state: State | None
    """What `dspex.run` returned: outputs, the trace of every step, and usage."""
    usage: Usage | None
    """None: one call, its price unknown."""
    seconds: float | None
    """None: the time from asking to telling."""
    error: str | None
    """Why there is no score."""


class AsyncSearch:
    """A search that says what to evaluate and is told what came of it: for those who evaluate elsewhere.

        search = await AsyncSearch.begin(program, train, val, runtime, budget=Budget(calls=500))
        while trials := await search.ask(8):
            for trial in trials:
                search.tell(trial, score=..., feedback=...)
        result = await search.result()

    All else is as in `optimize`: strategies, the ledger in a store, confirmation (its trials are asked like others).
    An evaluation counts as one call unless `usage` says otherwise; the calls of models that write proposals go through
    `runtime`. Every trial is one that the search has decided on; `SearchOptions(ahead=)` adds guesses at what it will
    ask next, so that whoever evaluates has something to do while it waits. Used from one event loop.
    """

    def __init__(self, desk: Desk, task: asyncio.Future[OptimizationResult], run: Run | None) -> None:
        self._desk, self._task, self._run = desk, task, run

    @classmethod
    async def begin(
        cls,
        program: Program | str,
        train: Iterable[Example],
        val: Iterable[Example],
        runtime: Runtime,
        **how: Unpack[HowToSearch],
    ) -> AsyncSearch:
        """A new search, in the project's store unless `store=` says otherwise. Raises ConfigurationErrors."""
        _check(how)
        how["options"] = _unguessed(how.get("options", SearchOptions()))
        desk = Desk()
        if store_of(how.get("store")) == IN_MEMORY:
            work = in_memory(program, (train, val), runtime, Live(ToldMetric(), desk=desk), None, how)
            task = asyncio.ensure_future(work)
            await asyncio.sleep(0)  # what is wrong with the problem shows now, not at the first trial
            if task.done():
                task.result()
            return cls(desk, task, None)
        prepared = await prepare(program, train, val, ToldMetric(), runtime, **how)
        return await cls._conducting(desk, prepared.run, Live(ToldMetric(), runtime, prepared.live.strategy, desk))

    @classmethod
    async def resume(
        cls, id: str, runtime: Runtime, *, store: str | Path | None = None, strategy: Strategy | None = None
    ) -> AsyncSearch:
        """A search of the store carried on, by whatever process; what was told is not asked again."""
        desk = Desk()
        return await cls._conducting(desk, await attach(id, store=store), Live(ToldMetric(), runtime, strategy, desk))

    @classmethod
    async def _conducting(cls, desk: Desk, run: Run, live: Live) -> AsyncSearch:
        try:
            seat = await take(run.database, run.id)
        except BaseException:
            await run.aclose()
            raise
        return cls(desk, asyncio.ensure_future(conduct(run.database, run.store, seat, live)), run)

    @property
    def id(self) -> str:
        """Of the run in the store; empty for a search in memory."""
        return "" if self._run is None else self._run.id

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._task.done()

    async def ask(self, count: int = 1) -> list[Trial]:
        """Up to `count` trials that may be evaluated at the same time.

        Empty where the search is over (`done`), or needs some of those that are out before it can go on. At most
        `SearchOptions(concurrency=)` are out at once. Raises what ended the search.
        """
        if count < 1:
            raise ConfigurationError(f"ask({count}): ask for at least one trial")
        found = await self._desk.take(count, self._task)
        if not found and self._task.done():
            self._task.result()
        return found

    def tell(self, trial: Trial | str, score: float | bool | Score | None = None, **more: Unpack[Telling]) -> None:
        """What came of a trial: a score in 0..1, or an `error` where it could not be evaluated, which is no 0.

        `state`, as `dspex.run` returns it, or `outputs` let proposers see what was answered. Raises UnknownNameError
        for a trial that is not out, ConfigurationErrors for one told of already and for what is no score.
        """
        self._desk.tell(trial, Told(score, **more))

    async def result(self) -> OptimizationResult:
        """What it found. Raises ConfigurationError while it still waits for evaluations."""
        while not self._task.done():
            if self._desk.out or self._desk.waiting:
                raise ConfigurationError(
                    f"the search is not over: {self._desk.out} trials are out, {self._desk.waiting} wait to be asked; "
                    "ask until nothing comes"
                )
            await asyncio.wait({self._task}, timeout=0.01)
        return self._task.result()

    async def aclose(self) -> None:
        """Let go of it. One in a store that is not over is paused; `resume` carries it on."""
        self._task.cancel()
        with suppress(asyncio.CancelledError, DspexError, PausedError):
            await self._task
        if self._run is not None:
            await self._run.aclose()

    async def __aenter__(self) -> AsyncSearch:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _unguessed(options: SearchOptions) -> SearchOptions:
    """Who evaluates by hand or in a laboratory pays for no guess at what will be asked next, unless they want to."""
    return options if options.ahead is not None else replace(options, ahead=0.0)


def _check(how: HowToSearch) -> None:
    budget = how.get("budget", DEFAULT_BUDGET)
    if budget.usd is not None or budget.tokens is not None:
        raise ConfigurationError(
            "a search that is told cannot keep a budget of dollars or tokens, since what an evaluation takes is known "
            "only afterwards; limit calls (one an evaluation) or seconds"
        )
    if how.get("isolation") is not None:
        raise ConfigurationError("a search that is told evaluates nothing itself; leave isolation out")
