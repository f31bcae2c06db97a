"""Durable runs and stored programs without await: each verb and method waits for its awaitable twin."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, Unpack

from dspex.blocking import blocking, wait
from dspex.clients.budget import Budget
from dspex.hosting import asking, handle, preparing, searching, stores
from dspex.kernel.ports import Runtime, Score
from dspex.kernel.program import Program
from dspex.kernel.signature import Example
from dspex.optimization.asking import Trial
from dspex.optimization.deciding import Strategy
from dspex.optimization.result import OptimizationResult

P = ParamSpec("P")
T = TypeVar("T")

optimize = blocking(searching.optimize)
resume = blocking(searching.resume)
stored_program = blocking(stores.stored_program)
current_performance = blocking(stores.current_performance)


def _method(
    of: Callable[Concatenate[handle.Run, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Run, P], T]:
    @wraps(of)
    def waiting(self: Run, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return wait(of(self.twin, *args, **kwargs))

    return waiting


class Run:
    """A run in a store, to watch and steer, wherever it is carried. Every answer is read from the rows.

    `with dspex.attach(id) as run:` lets go of the store at the end; the run goes on. `twin` has the same to be awaited.
    """

    def __init__(self, twin: handle.Run) -> None:
        self.twin = twin

    @property
    def id(self) -> str:
        return self.twin.id

    status = _method(handle.Run.status)
    best = _method(handle.Run.best)
    result = _method(handle.Run.result)
    report = _method(handle.Run.report)
    events = _method(handle.Run.events)
    failures = _method(handle.Run.failures)
    quarantined = _method(handle.Run.quarantined)
    evaluations = _method(handle.Run.evaluations)
    pause = _method(handle.Run.pause)
    resume = _method(handle.Run.resume)
    stop = _method(handle.Run.stop)
    raise_budget = _method(handle.Run.raise_budget)
    wait = _method(handle.Run.wait)
    close = _method(handle.Run.aclose)

    def fork(self, *, budget: Budget | None = None, seed: int | None = None, strategy: str | None = None) -> Run:
        """A new run that starts from this one's rows, queued: `resume` it. Nothing is paid again."""
        return Run(wait(self.twin.fork(budget=budget, seed=seed, strategy=strategy)))

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Run({self.id!r})"


class Search:
    """A search that says what to evaluate and is told what came of it: for those who evaluate elsewhere.

        with dspex.Search(program, train, val, runtime, budget=Budget(calls=500)) as search:
            while trials := search.ask(8):
                for trial in trials:
                    search.tell(trial, score=..., feedback=...)
            result = search.result()

    It takes what `optimize` takes but a metric. An evaluation counts as one call unless `usage` says otherwise; what is
    told is kept in the store, and `Search.resume(id, runtime)` carries it on. `AsyncSearch` is the same to be awaited.
    """

    def __init__(
        self,
        program: Program | str,
        train: Iterable[Example],
        val: Iterable[Example],
        runtime: Runtime,
        **how: Unpack[preparing.HowToSearch],
    ) -> None:
        self.twin = wait(asking.AsyncSearch.begin(program, train, val, runtime, **how))

    @classmethod
    def resume(
        cls, id: str, runtime: Runtime, *, store: str | Path | None = None, strategy: Strategy | None = None
    ) -> Search:
        """A search of the store carried on; what was told is not asked again."""
        found = cls.__new__(cls)
        found.twin = wait(asking.AsyncSearch.resume(id, runtime, store=store, strategy=strategy))
        return found

    @property
    def id(self) -> str:
        """Of the run in the store; empty for a search in memory."""
        return self.twin.id

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self.twin.done

    def ask(self, count: int = 1) -> list[Trial]:
        """Up to `count` trials; none where the search is over, or needs those that are out. See `AsyncSearch.ask`."""
        return wait(self.twin.ask(count))

    def tell(
        self, trial: Trial | str, score: float | bool | Score | None = None, **more: Unpack[asking.Telling]
    ) -> None:
        """What came of a trial: a score in 0..1, or an `error`; with what else is known. See `AsyncSearch.tell`."""

        async def telling() -> None:
            self.twin.tell(trial, score, **more)

        wait(telling())

    def result(self) -> OptimizationResult:
        """What it found. Raises ConfigurationError while it still waits for evaluations."""
        return wait(self.twin.result())

    def close(self) -> None:
        """Let go of it. One in a store that is not over is paused."""
        wait(self.twin.aclose())

    def __enter__(self) -> Search:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _run(verb: Callable[P, Coroutine[Any, Any, handle.Run]]) -> Callable[P, Run]:
    @wraps(verb)
    def waiting(*args: P.args, **kwargs: P.kwargs) -> Run:
        return Run(wait(verb(*args, **kwargs)))

    return waiting


start = _run(searching.start)
attach = _run(searching.attach)
