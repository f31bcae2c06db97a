"""Where a search spends: evaluations of pairs with bounded concurrency, and requests to the proposer model."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence

from dspex.clients.outage import OutageWatch
from dspex.errors import (
    AuthenticationError,
    BudgetExceededError,
    ConfigurationError,
    ConnectionFailedError,
    CutOffError,
    DataError,
    InputError,
    LMError,
    LMTimeoutError,
    MetricError,
    OutageError,
    RateLimitError,
    RequestError,
    ServerError,
)
from dspex.evaluation.assessment import Assessment
from dspex.evaluation.scoring import as_metric
from dspex.kernel.ports import NO_USAGE, Completion, Message, Request, Runtime, Usage
from dspex.kernel.program import Program
from dspex.kernel.quick import quick
from dspex.optimization.forerun import Forerun
from dspex.optimization.interruption import Interruption
from dspex.optimization.limits import proposal_limit
from dspex.optimization.options import SearchOptions
from dspex.optimization.ports import Assignment, Executor, Ledger
from dspex.optimization.problem import Problem
from dspex.optimization.rollouts import as_rollout, as_taught
from dspex.optimization.rows import AHEAD, DEADLY, QUARANTINED, ROLLOUT, TAUGHT, Death, Evaluation, Pair, Trace
from dspex.optimization.slots import Slots
from dspex.optimization.tasks import TaskExecutor

_ALL = 4
"""Where fewer evaluations are all that is asked, that all of them fail says nothing of the others."""
_PASSING_ERRORS: Mapping[str, type[LMError]] = {
    "rate_limit": RateLimitError, "timeout": LMTimeoutError, "connection": ConnectionFailedError, "server": ServerError,
}  # fmt: skip
_PASSING = frozenset(_PASSING_ERRORS)
_AGAIN = _PASSING | DEADLY
"""Kinds of a failure that may not come again."""
_FATAL = {
    "authentication": AuthenticationError,
    "configuration": ConfigurationError,
    "metric": MetricError,
    "data": DataError,
    "input": InputError,
}


class Laboratory:
    """`Lab` on a runtime whose model calls are budgeted. One evaluation of pairs at a time; requests may run beside it.

    A pair that infrastructure fails is tried again at the end of its batch, then left unevaluated; one that takes its
    place of evaluation down, so too, and is quarantined after the second time. Where all of a
    batch fail nothing is known of any: they are tried until one is answered, or the watch calls it an outage and
    OutageError is raised. Where the fault is the key, the metric or the data, it raises that. All that was found until
    then is in the ledger.
    """

    def __init__(
        self,
        problem: Problem,
        ledger: Ledger,
        runtime: Runtime,
        options: SearchOptions,
        interruption: Interruption | None = None,
        executor: Executor | None = None,
    ) -> None:
        self.problem, self.ledger, self.options = problem, ledger, options
        self._interruption = interruption or Interruption()
        self._executor = executor or TaskExecutor()
        self.round = 0
        """The round that evaluations are booked under."""
        self._proposed: list[tuple[str, Usage]] = []
        """Requests to the proposer model since the last round was decided, by their identity in the call store."""
        self.refused = False
        """Whether the budget has refused anything since the last round was decided."""
        self.failure: Exception | None = None
        """The last one of infrastructure, for a search that cannot go on."""
        self.watch = OutageWatch(seconds=options.outage_seconds)
        """When failures make an outage."""
        self.silent = False
        """Whether an evaluation failed for something that passes, and nothing was answered since."""
        self._again = False
        self._answers, self._doubt = 0, asyncio.Lock()
        self.slots = Slots(options.concurrency)
        self.forerun = Forerun(ledger, self.slots, self._early, self._halted)
        self._shared = False
        self._allot: Callable[[Runtime], Runtime] | None = None
        self._put_off: list[Pair] = []
        self.use(runtime)

    def use(self, runtime: Runtime, beside: Runtime | None = None) -> None:
        """Spend from this runtime's account from now on, a judge's calls included; from `beside` for what is begun
        ahead of its round: without one, nothing is."""
        self.runtime, self.forerun.runtime = runtime, beside
        self._metric = as_metric(self.problem.metric, runtime)

    def decided(self) -> tuple[Usage, tuple[str, ...]]:
        """What deciding the round took, and its calls; counting starts anew."""
        found = self.asked, tuple(sorted(key for key, _ in self._proposed if key))
        self._proposed, self.refused = [], False
        return found

    @property
    def asked(self) -> Usage:
        """What requests to the proposer model have consumed since the last round was decided.

        The same to the last digit, whatever was answered first.
        """
        used = sorted(self._proposed, key=lambda item: (item[0], item[1].usd or 0.0))
        return sum((usage for _, usage in used), NO_USAGE)

    async def ask(
        self, messages: Sequence[Message], *, temperature: float, sample: int, model: str | None = None
    ) -> str:
        self._interruption.check()
        asked = self.options.proposer_model or model or self.runtime.model
        limit = proposal_limit(self.problem.budget)
        settings = {"temperature": temperature, **limit, **self.options.proposer_settings}
        completion = await self._answered(Request(asked, messages, settings, sample))
        self._proposed.append((completion.key or "", completion.usage))
        if completion.finish_reason == "length":
            raise CutOffError(f"the proposer model {asked} was cut off; raise max_tokens in proposer_settings")
        return completion.text

    async def _answered(self, request: Request) -> Completion:
        """An answer to a proposer. What passes does not cost a proposal: the search would go elsewhere without it."""
        attempts, answers = 0, self._answers
        while True:
            if self.watch.doubtful:
                async with self._doubt:  # one call tells whether the others are worth sending
                    completion = await self._tried(request)
            else:
                completion = await self._tried(request)
            if not isinstance(completion, LMError):
                self._heard(completion.usage)
                return completion
            # It may be the request's own fault: where others were answered meanwhile.
            attempts, answers = attempts + (self._answers != answers), self._answers
            if attempts >= self.options.attempts:
                raise completion
            await self._later(1)

    async def _later(self, times: int) -> None:
        """What failed a moment ago fails again now: a short blip must not use up what there is of attempts."""
        await asyncio.sleep(times * min(1.0, self.options.outage_seconds / 30))
        self._interruption.check()

    async def _tried(self, request: Request) -> Completion | LMError:
        """The answer, or what passes. Raises OutageError once that is no longer believed."""
        try:
            return await self.runtime.lm.complete(request)
        except BudgetExceededError:
            self.refused = True
            raise
        except LMError as error:
            if not error.transient:
                raise
            self.watch.failed(error)
            return error

    @property
    def taught(self) -> int:
        return 0 if self.options.teacher_model is None else TAUGHT

    async def evaluate(self, pairs: Sequence[Pair]) -> list[Evaluation]:
        await self.perform(pairs)
        rows = [await self.ledger.read(pair) for pair in pairs]
        return [row for row in rows if row is not None]

    async def perform(self, pairs: Sequence[Pair]) -> None:
        """Evaluate those pairs that have no score yet; what cannot be evaluated is left out.

        Raises BudgetExceededError when the next call does not fit, after what was in flight is recorded.
        """
        self.forerun.expect(pairs)
        self._shared = False
        try:
            await self._perform(pairs)
            if self._shared:
                # What is under way ahead may have paid for a call that these rows had for nothing: its row comes first.
                await self.forerun.settle()
        finally:
            await self.ledger.flush()  # a row may still be on its way to the disk while the next pair is evaluated

    async def perform_within(self, allot: Callable[[Runtime], Runtime], pairs: Sequence[Pair]) -> list[Pair]:
        """`perform` with a runtime made by `allot` for each evaluation; returns those whose budget was not enough.

        They end there, and the others go on.
        """
        self._allot, self._put_off = allot, []
        try:
            await self.perform(pairs)
        finally:
            self._allot = None
        return self._put_off

    async def _perform(self, pairs: Sequence[Pair]) -> None:
        todo = [pair for pair in dict.fromkeys(pairs) if not (self.ledger.holds(pair) or self.ledger.quarantined(pair))]
        await self.ledger.adopt(todo, self.round)
        todo = [pair for pair in todo if not self.ledger.holds(pair)]
        todo.sort(key=lambda pair: pair in self.forerun)  # what is under way already comes by itself
        attempts = 0
        while todo and attempts < self.options.attempts:
            self._again = attempts > 0
            failed = await self._pass(todo)
            none = len(failed) == len(todo) >= _ALL and not self._again and _PASSING.issuperset(failed.values())
            attempts += not none  # where nothing at all is answered, the watch says how long that may go on
            if failed and self.watch.failures >= _ALL:
                await self._later(attempts)
            todo = [pair for pair, kind in failed.items() if kind in _AGAIN and not self.ledger.quarantined(pair)]
        if self.round == 0 and pairs and all(self.ledger.quarantined(pair) for pair in pairs):
            raise self._killer(pairs[0])

    async def _pass(self, todo: Sequence[Pair]) -> dict[Pair, str]:
        """The pairs that have no score after this, with what failed them."""
        failed: dict[Pair, str] = {}
        source = iter(todo)
        self.slots.wanted = len(todo)
        while self.watch.doubtful and (first := next(source, None)) is not None:
            await self._work(iter((first,)), failed)  # one call tells whether the others are worth sending
        workers = [
            asyncio.ensure_future(self._work(source, failed)) for _ in range(min(self.options.concurrency, len(todo)))
        ]
        try:
            self.forerun.fill()
            await asyncio.gather(*workers)
        except BaseException:
            # Those in flight end by themselves and are recorded, unless the search itself is being cancelled.
            deque(source, maxlen=0)
            await asyncio.gather(*workers, return_exceptions=True)
            raise
        finally:
            for worker in workers:
                worker.cancel()
            self.slots.wanted = 0
        return failed

    async def _work(self, source: Iterator[Pair], failed: dict[Pair, str]) -> None:
        for number, pair in enumerate(source, start=1):
            self._interruption.check()
            if self.watch.pause:
                await asyncio.sleep(self.watch.pause)
                self._interruption.check()
            if await self._adopted(pair):
                continue
            async with self.slots:
                assessment = await self._one(pair, self._allot(self.runtime) if self._allot else self.runtime)
            self._shared = self._shared or any(item.call and not item.usage.calls for item in assessment.history)
            put_off = self._allot is not None and assessment.error_kind == "budget"
            if not put_off or assessment.usage.calls:
                await self.ledger.record(_row(pair, self.round, assessment))
            self.slots.wanted -= 1
            self.forerun.fill()
            if put_off:
                self._put_off.append(pair)
            elif assessment.score is None:
                failed[pair] = assessment.error_kind or "exception"
                if assessment.error_kind in DEADLY:
                    await self._blame(pair, assessment)
                self._judge_failure(assessment)
            else:
                self._heard(assessment.usage)
            if number % 32 == 0:
                await asyncio.sleep(0)  # a model that answers at once must not hold the loop for a whole batch

    async def _adopted(self, pair: Pair) -> bool:
        """Whether it was begun ahead, and has a score."""
        await self.forerun.join(pair)
        if self.ledger.is_ahead(pair):
            await self.ledger.adopt([pair], self.round)
        if not self.ledger.holds(pair):
            return False
        self.slots.wanted -= 1
        return True

    async def _early(self, pair: Pair, runtime: Runtime) -> Evaluation:
        return _row(pair, AHEAD, await self._one(pair, runtime))

    def _halted(self) -> bool:
        return self._interruption.kind is not None or self.watch.failures > 0

    async def _one(self, pair: Pair, runtime: Runtime) -> Assessment:
        candidate, example, sample = pair
        program = self._program(candidate, sample)
        metric = self._metric if runtime is self.runtime else as_metric(self.problem.metric, runtime)
        try:
            return await self._executor.assess(
                Assignment(candidate, program, self.problem.examples[example], sample, metric, runtime)
            )
        except ConfigurationError as error:
            # What a proposer made cannot be run, though its values are valid: it is out, and nothing was paid.
            return Assessment(example, sample, None, None, None, str(error), "configuration", NO_USAGE, 0.0, ())

    def _program(self, candidate: str, sample: int) -> Program:
        program = self.problem.program_by_id(candidate, self.ledger.candidates[candidate].values)
        if sample < ROLLOUT:
            return program
        teacher = self.options.teacher_model if sample >= TAUGHT else None
        known = ("run", candidate, teacher)
        if known not in self.problem.memory:
            modules = self.runtime.modules
            made = as_rollout(program, modules) if teacher is None else as_taught(program, modules, teacher)
            self.problem.memory[known] = made
        found: Program = self.problem.memory[known]
        return found

    async def _blame(self, pair: Pair, assessment: Assessment) -> None:
        """It was alone in its place, so that the death is its own: one more try, and then it is quarantined."""
        candidate, example, _ = pair
        kills = 1 if self.ledger.deaths.get((candidate, example)) is None else QUARANTINED
        await self.ledger.blame(Death(candidate, example, kills, assessment.error or ""))

    def _killer(self, pair: Pair) -> ConfigurationError:
        death = self.ledger.deaths.get(pair[:2])
        return ConfigurationError(
            "the program as it is, or the metric, kills its process on every example it was asked"
            f"{'' if death is None else f': {death.reason}'}; mend it, then fork the run"
        )

    def _heard(self, usage: Usage) -> None:
        """Something was answered, and not from memory alone."""
        if usage.calls or not usage.cached_calls:
            self._answers += 1
            self.silent = False
            self.watch.ok()

    def _judge_failure(self, assessment: Assessment) -> None:
        """Raise where going on makes no sense."""
        kind, text = assessment.error_kind or "", assessment.error or ""
        named = ConfigurationError if kind in DEADLY else _FATAL.get(kind, RequestError)
        self.failure = OutageError(text) if kind in _PASSING else named(text)
        self.silent = self.silent or kind in _PASSING
        error: Exception | None = None
        if kind == "budget":
            self.refused, error = True, BudgetExceededError(text)
        elif kind in _FATAL and (self.round == 0 or kind == "authentication"):
            error = _FATAL[kind](text)
        elif kind in _PASSING or kind == "outage":
            if kind == "outage":
                error = OutageError(text)
            elif not self._again:  # those that failed once may well fail again: of an outage only the others tell
                self.watch.failed(_PASSING_ERRORS[kind](text))
        if error is not None:
            raise error


_trace, _evaluation = quick(Trace), quick(Evaluation)


def _row(pair: Pair, number: int, found: Assessment) -> Evaluation:
    trace = tuple(
        _trace(item.step, item.inputs, item.outputs, item.error, item.call, item.usage) for item in found.history
    )
    return _evaluation(
        *pair, number, found.score, found.feedback, found.outputs, found.error, found.error_kind, found.usage,
        found.seconds, trace,
    )  # fmt: skip
