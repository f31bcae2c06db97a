"""Ask and tell: the executor whose evaluations are made by whoever asks for them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dspex.clients.stack import ModelStack
from dspex.errors import ConfigurationError, UnknownNameError
from dspex.evaluation.assessment import Assessment, usage_of
from dspex.evaluation.scoring import checked_score
from dspex.kernel.ports import JSON, NO_USAGE, BudgetAccount, Request, Runtime, Score, Usage
from dspex.kernel.program import Program
from dspex.kernel.signature import Example
from dspex.kernel.state import Record, State
from dspex.optimization.allowance import Allowance
from dspex.optimization.ports import Assignment
from dspex.optimization.spending import Paid

_GRACE = 0.05
"""Seconds that asking waits for more while answers are out: what comes of the last ones may be under way."""
TOLD = Usage(calls=1, usd=None)
"""What an evaluation took where nobody says: one call, its price unknown."""


@dataclass(frozen=True, slots=True)
class Trial:
    """An evaluation to be made: run `program` on `inputs`, score what it gives, and tell."""

    id: str
    program: Program
    inputs: Mapping[str, JSON]
    example: Example
    """With the labels, for scoring."""
    sample: int
    """Which draw: where a program answers otherwise each time, draws of different numbers are to be independent."""
    candidate: str
    """Id of the candidate: equal ones are the same program."""


@dataclass(frozen=True, slots=True)
class Told:
    """What came of a trial. Without `score`, `error` says why there is none; the trial then counts for nothing."""

    score: float | bool | Score | None = None
    feedback: str | None = None
    outputs: Mapping[str, JSON] | None = None
    """Outputs by field, for proposers that show what was answered."""
    state: State | None = None
    """What `dspex.run` returned: outputs, the trace of every step, and usage."""
    usage: Usage | None = None
    seconds: float | None = None
    """None: the time from asking to telling."""
    error: str | None = None


@dataclass(eq=False, slots=True)
class _Slip:
    trial: Trial
    answer: asyncio.Future[Assessment] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    asked: float = 0.0


class Desk:
    """`Executor` that hands trials out and waits to be told. Used from one event loop.

    Each evaluation reserves one call of the budget before it is handed out, and settles what it is told it took.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, _Slip] = {}
        self._out: dict[str, _Slip] = {}
        self._done: set[str] = set()
        self._came = asyncio.Event()

    async def assess(self, assignment: Assignment) -> Assessment:
        account = _account_of(assignment.runtime)
        reservation = await account.reserve(Request("told", ()))
        slip = _Slip(_trial(assignment))
        self._waiting[slip.trial.id] = slip
        self._came.set()
        try:
            found = await slip.answer
        except BaseException:
            account.release(reservation)
            raise
        finally:
            self._waiting.pop(slip.trial.id, None)
            self._out.pop(slip.trial.id, None)
        account.settle(reservation, found.usage)
        return found

    async def aclose(self) -> None:
        """Nothing to let go of."""

    @property
    def out(self) -> int:
        """Trials that were handed out and not told of."""
        return len(self._out)

    @property
    def waiting(self) -> int:
        """Trials that nobody has asked for yet."""
        return len(self._waiting)

    async def take(self, count: int, ended: asyncio.Future[Any]) -> list[Trial]:
        """Up to `count` trials; waits for the first one, and returns none once the search has ended.

        While answers are out, it waits a moment only: the search may need them before it goes on.
        """
        while not self._waiting and not ended.done():
            self._came.clear()
            coming = asyncio.ensure_future(self._came.wait())
            try:
                limit = _GRACE if self._out else None
                await asyncio.wait([coming, ended], timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            finally:
                coming.cancel()
            if self._out:
                break
        taken = list(self._waiting.values())[:count]
        for slip in taken:
            self._out[slip.trial.id] = self._waiting.pop(slip.trial.id)
            slip.asked = time.perf_counter()
        return [slip.trial for slip in taken]

    def tell(self, trial: Trial | str, told: Told) -> None:
        """What came of a trial. Raises ConfigurationErrors for one that is not out, and for what cannot be a score."""
        id = trial if isinstance(trial, str) else trial.id
        slip = self._out.get(id)
        if slip is None:
            if id in self._done:
                raise ConfigurationError(f"trial {id!r} was told of already; its first score stands")
            raise UnknownNameError("trial", id, self._out, "ask for it first")
        found = _assessment(slip, told)
        self._done.add(id)
        del self._out[id]
        slip.answer.set_result(found)


def _trial(asked: Assignment) -> Trial:
    values = asked.example.values
    inputs = {item.name: values[item.name] for item in asked.program.inputs if item.name in values}
    id = f"{asked.candidate}/{asked.example.id}/{asked.sample}"
    return Trial(id, asked.program, inputs, asked.example, asked.sample, asked.candidate)


def _assessment(slip: _Slip, told: Told) -> Assessment:
    if (told.score is None) == (told.error is None):
        raise ConfigurationError(f"trial {slip.trial.id!r}: tell either a score or an error")
    verdict = None if told.score is None else checked_score(told.score, "told")
    history = told.state.history if told.state is not None else _history(slip.trial, told.outputs)
    outputs = told.state.values if told.state is not None else told.outputs
    usage = told.usage or (usage_of(history) if told.state is not None else TOLD)
    if verdict is not None and verdict.usage is not NO_USAGE:
        usage = usage + verdict.usage
    seconds = time.perf_counter() - slip.asked if told.seconds is None else told.seconds
    feedback = told.feedback or (None if verdict is None else verdict.feedback)
    kind = None if told.error is None else "told"
    return Assessment(
        slip.trial.example.id, slip.trial.sample, None if verdict is None else verdict.value, feedback, outputs,
        told.error, kind, usage, seconds, history,
    )  # fmt: skip


def _history(trial: Trial, outputs: Mapping[str, JSON] | None) -> tuple[Record, ...]:
    """The trace of a program of one step, which its outputs tell all about; empty for any other."""
    steps = list(trial.program.walk())
    if outputs is None or len(steps) != 1:
        return ()
    path, step = steps[0]
    return (Record(path, step.module, trial.inputs, outputs),)


def _account_of(runtime: Runtime) -> BudgetAccount:
    lm = runtime.lm.within if isinstance(runtime.lm, Allowance) else runtime.lm
    account = lm.policies.account if isinstance(lm, ModelStack) else lm.account if isinstance(lm, Paid) else None
    if account is None:
        raise ConfigurationError("evaluations that are told of need a runtime whose calls are paid from an account")
    return account
