"""Durable runs and stored programs without await: each verb and method waits for its awaitable twin."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from dspex.blocking import blocking, wait
from dspex.clients.budget import Budget
from dspex.hosting import handle, hosts, stores

P = ParamSpec("P")
T = TypeVar("T")

optimize = blocking(hosts.optimize)
resume = blocking(hosts.resume)
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


def _run(verb: Callable[P, Coroutine[Any, Any, handle.Run]]) -> Callable[P, Run]:
    @wraps(verb)
    def waiting(*args: P.args, **kwargs: P.kwargs) -> Run:
        return Run(wait(verb(*args, **kwargs)))

    return waiting


start = _run(hosts.start)
attach = _run(hosts.attach)
