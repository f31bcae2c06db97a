"""The loop of a search: a round is decided, committed, evaluated and folded; in the end the winner is confirmed."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from dspex.clients.budget import Budget
from dspex.clients.outage import OutageWatch
from dspex.errors import BudgetExceededError
from dspex.evaluation.scoring import as_metric
from dspex.kernel.ports import NO_USAGE, Event, Metric, Runtime, Usage
from dspex.kernel.program import Program
from dspex.kernel.signature import Example
from dspex.optimization.concluding import lost_pairs, reason, sameness_notes
from dspex.optimization.confirmation import Gain, Verdict, confirmed
from dspex.optimization.confirming import Confirming, Kept
from dspex.optimization.deciding import Foreseeing, Remarking, SearchView, Strategy
from dspex.optimization.fronts import front_of
from dspex.optimization.interruption import Interrupted, Interruption
from dspex.optimization.laboratory import Laboratory
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.limits import check_models
from dspex.optimization.objectives import PLAIN, Objectives
from dspex.optimization.observing import Observer, constraint_notes
from dspex.optimization.options import SearchOptions
from dspex.optimization.outcomes import Outcomes
from dspex.optimization.ports import Executor, Ledger
from dspex.optimization.problem import MIN_VAL, Problem, aimed, pose
from dspex.optimization.result import OptimizationResult, tried
from dspex.optimization.rows import Candidate, Pair, Round
from dspex.optimization.sameness import told_nothing
from dspex.optimization.spending import Purse, price_of, reserved_share
from dspex.optimization.stopwatch import Stopwatch
from dspex.optimization.strategies.table import strategy_of
from dspex.optimization.writing import Writing, dearest

DEFAULT_BUDGET = Budget(calls=1000)
DEFAULT_OPTIONS = SearchOptions()
DEFAULT_AHEAD = 0.03
"""The share of the budget for what is evaluated ahead of its round, where none is named."""
LEEWAY = 0.5
"""Of the reserve, that a round of the search may reserve from while it is evaluated (Purse.leeway)."""
OnEvent = Callable[[Event], None]


async def optimize(  # noqa: PLR0913 - the public verb
    program: Program,
    train: Iterable[Example],
    val: Iterable[Example],
    metric: Metric,
    runtime: Runtime,
    *,
    strategy: str | Strategy = "auto",
    schedule: str | None = None,
    budget: Budget = DEFAULT_BUDGET,
    confirm: Iterable[Example] | None = None,
    seed: int = 0,
    options: SearchOptions = DEFAULT_OPTIONS,
    ledger: Ledger | None = None,
    on_event: OnEvent | None = None,
    executor: Executor | None = None,
    objectives: Objectives = PLAIN,
) -> OptimizationResult:
    """Search the program's variables for what scores best on `val`, and keep it if `confirm` shows the gain.

    `train` feeds proposals only. Without `confirm`, half of val is set aside for it. The budget holds for everything,
    proposals included. With the `ledger` of an interrupted search, and the same arguments, that search is carried on.
    Evaluations run in the `executor`, which stays the caller's to close; without one, as tasks of this loop.
    Raises ConfigurationErrors before the first paid call, OutageError when the model is gone; the ledger keeps what
    was found until then.
    """
    problem = pose(program, {"train": train, "val": val, "confirm": confirm}, as_metric(metric), budget, seed, runtime)
    problem = aimed(problem, objectives, runtime)
    chosen = strategy_of(strategy, options, schedule)
    chosen.check(problem)
    check_models(program, options, budget, runtime)
    session = Session(on_event, executor=executor)
    return await Runner(problem, runtime, chosen, ledger or MemoryLedger(), options, session).run()


@dataclass(frozen=True)
class Session:
    """What one process's time with a search brings along. Of a search that is carried on: what it spent before."""

    on_event: OnEvent | None = None
    interruption: Interruption = field(default_factory=Interruption)
    spent: Usage | None = None
    """None: as the ledger says."""
    seconds: float = 0.0
    executor: Executor | None = None
    """Where evaluations run, which its owner closes; None: as tasks of the search's loop."""
    watch: OutageWatch | None = None
    """When failures make an outage; None: as the options say."""


class Runner:
    """Carries one search from whatever its ledger holds to its result."""

    def __init__(
        self,
        problem: Problem,
        runtime: Runtime,
        strategy: Strategy,
        ledger: Ledger,
        options: SearchOptions = DEFAULT_OPTIONS,
        session: Session | None = None,
    ) -> None:
        self.problem, self.strategy, self.ledger, self.options = problem, strategy, ledger, options
        self._session = session or Session()
        spent = ledger.usage if self._session.spent is None else self._session.spent
        self._purse = Purse(problem.budget, runtime, spent, self._session.seconds)
        self._beside: Runtime | None = None
        paid, given = self._purse.open(1.0), self._session
        self._lab = Laboratory(problem, ledger, paid, options, given.interruption, given.executor)
        self._lab.watch = given.watch or self._lab.watch
        self._notes = list(problem.notes)
        self._observer = Observer(ledger, Outcomes(problem.objectives, problem.seed))
        self._fitting = Stopwatch()
        self._writing = Writing(strategy)
        self._guesser: Foreseeing | None = None
        self._aside = 0.0
        """The share of the budget for what is evaluated ahead of its round."""

    async def run(self) -> OptimizationResult:
        """Search, confirm, and say what came of it."""
        try:
            return await self._run()
        except asyncio.CancelledError:
            self._lab.forerun.drop()
            raise
        finally:
            await self._lab.forerun.close()

    async def _run(self) -> OptimizationResult:
        if self.ledger.folded:
            await self._set_aside()
        await self._observer.look()
        await self._say("run.started", self.strategy.name, val=len(self.problem.val), confirm=len(self.problem.confirm))
        stopped = self.ledger.rounds[-1].memo["stopped"] if self._confirming() else await self._search()
        verdict, winner = await self._confirm(stopped)
        if isinstance(self.strategy, Remarking):
            self._notes += await self.strategy.remarks(self._view())
        result = self._result(stopped, verdict, winner)
        await self._say("run.finished", result.reason, improved=result.improved, score=result.score)
        return result

    @property
    def seconds(self) -> float:
        """How long the search has taken, earlier processes' time included."""
        return self._purse.account.balance().seconds

    @property
    def unheard(self) -> Usage:
        """What may have been billed without an answer, in this process: what is kept of calls does not say it."""
        found = self._purse.unheard
        return Usage(found.calls, found.tokens, usd=found.usd)

    def raise_budget(self, budget: Budget) -> None:
        """Another budget from the next call on."""
        self._purse.change(budget)

    async def _search(self) -> str:
        """Rounds until there is nothing left to try or to pay with; why it ended."""
        try:
            await self._begin()
            while True:
                while self.ledger.folded < len(self.ledger.rounds):
                    await self._perform(self.ledger.rounds[self.ledger.folded])
                self._lab.round = len(self.ledger.rounds)
                prepared = await self._writing.of(self._view())
                search = replace(await self._affording(), prepared=prepared)
                if why := told_nothing(search):
                    return why
                decided = await self.strategy.next_round(search)
                if isinstance(decided, str):
                    return decided
                usage, calls = self._lab.decided()
                await self.ledger.commit(replace(decided, usage=usage, calls=calls))
        except BudgetExceededError:
            if self.ledger.folded == 0:
                raise
            return "the search's share of the budget is spent"
        except Interrupted:
            if not self._session.interruption.confirm():
                raise
            return "stopped on request"

    async def _begin(self) -> None:
        """Round 0: the seed program on the first rung. It tells the price, and whether the program runs at all."""
        problem = self.problem
        if not self.ledger.rounds:
            values = problem.completed(problem.program.values)
            first = Candidate(problem.seed_id, values, "seed", (), "the program as it was given", 0)
            pairs: tuple[Pair, ...] = tuple((first.id, item.id, 0) for item in problem.val[:MIN_VAL])
            await self.ledger.commit(Round(0, pairs, (first,)))
        if self.ledger.folded == 0:
            await self._perform(self.ledger.rounds[0])
        if not self.ledger.scores(problem.seed_id) and self._lab.failure is not None:
            raise self._lab.failure
        if self._beside is None:
            await self._set_aside()
        await self._open_search()

    async def _open_search(self) -> None:
        self._lab.use(self._purse.open(1 - await self._reserve() - self._aside), self._beside)

    async def _perform(self, round: Round) -> None:
        """Evaluate a committed round of the search and fold it."""
        self._lab.round = round.number
        if self.ledger.folded and self._aside:
            self._lab.forerun.foresee = partial(self._foreseen, round, await self._price())
        await self._say("round.started", str(round.number), pairs=len(round.pairs), candidates=len(round.candidates))
        with self._purse.leeway(LEEWAY * await self._reserve() if self.ledger.folded else 0.0):
            # What the next round will take is written meanwhile.
            await self._writing.beside(self._next(round), self._lab.perform(round.pairs))
        self._purse.admit(self.ledger.settled + self.ledger.due(round.number) + self._lab.asked)
        await self.ledger.fold(round.number)
        self._purse.rebook(self.ledger.settled + self._lab.asked)
        await self._observer.look()
        await self._say("round.finished", str(round.number), **self._progress())

    def _next(self, round: Round) -> SearchView:
        """What is known of the round after this one while this one is under way."""
        return SearchView(self.problem, self.ledger, self._lab, round.number + 1, round.memo)

    async def _set_aside(self) -> None:
        """Keep a part of the budget for guesses where it is worth it: a function of round 0, like the reserve."""
        strategy = self.strategy
        share = DEFAULT_AHEAD if self.options.ahead is None else self.options.ahead
        if not isinstance(strategy, Foreseeing) or not strategy.foresees or not share:
            return
        price = await price_of(self.ledger, self.ledger.rounds[0].pairs)
        self._beside = self._purse.beside(share, price)
        if self._beside is not None:
            self._aside, self._guesser = share, strategy
            await self._open_search()
            confirming = self.ledger.due(len(self.ledger.rounds) - 1) if self._confirming() else NO_USAGE
            self._purse.rebook(self.ledger.asked, confirming)

    def _foreseen(self, round: Round, price: Mapping[str, float]) -> tuple[Sequence[Pair], int]:
        """What the round after this one will likely ask for, and how many evaluations may be begun."""
        if round.purpose != "search" or self._guesser is None:
            return (), 0
        return self._guesser.foreseen(self._next(round), self.ledger.glimpse), self._purse.guesses(price)

    async def _reserve(self) -> float:
        """The share kept for the confirmation: a function of round 0, so that resuming finds the same."""
        price = await price_of(self.ledger, self.ledger.rounds[0].pairs)
        return reserved_share(self.problem.budget, price, len(self.problem.confirm), self.options.reserve)

    async def _affording(self) -> SearchView:
        """With the evaluations that the search can still pay for, at the price of the last round: candidates grow."""
        price = await self._price()
        search = self._view(self._purse.affordable(price, self.ledger.settled + self._lab.asked))
        return replace(search, asking=dearest(self.ledger.rounds[: self.ledger.folded], price, self._purse.budget))

    async def _price(self) -> Mapping[str, float]:
        """Of an evaluation: what those of the last round that is folded took in the mean."""
        last = next(item for item in reversed(self.ledger.rounds[: self.ledger.folded]) if item.pairs)
        return await price_of(self.ledger, last.pairs)

    async def _confirm(self, stopped: str) -> tuple[Verdict | None, Candidate | None]:
        """The winner against the seed program on the confirm split, once."""
        self._lab.use(self._purse.open(1 - self._aside))
        confirming = Confirming(self.problem, self.ledger, self._lab, self._purse)
        if not self._confirming():
            finalists = self.strategy.finalists(self._view())
            best = next((item for item in finalists.best_first if self._observer.outcomes.allowed(item)), None)
            if best is None:
                return None, None
            reserve = await self._reserve()
            kept = Kept(reserve, LEEWAY * reserve)
            asked = self._session.interruption.stopped
            size = await confirming.begin(best, finalists.contenders, stopped, kept, on_request=asked)
            if size < MIN_VAL:
                self._notes.append(f"the budget left pays for {size} confirmations; at least {MIN_VAL} are needed")
                return None, self.ledger.candidates[best]
        round = self.ledger.rounds[-1]
        if self.ledger.folded == round.number:
            await self._say("round.started", str(round.number), pairs=len(round.pairs), candidates=0)
            await confirming.perform()
            await self.ledger.fold(round.number)
            await self._observer.look()
            await self._say("round.finished", str(round.number), **self._progress())
        self._notes += confirming.notes()
        winner = self.ledger.candidates[round.memo["winner"]]
        val, confirm = (self._gain(winner.id, split) for split in (self.problem.val, self.problem.confirm))
        verdict = confirmed(val, confirm, round.memo["contenders"], self.problem.seed)
        outcomes = self._observer.outcomes
        return verdict.within(outcomes.kept(self.problem.seed_id), outcomes.kept(winner.id)), winner

    def _confirming(self) -> bool:
        return bool(self.ledger.rounds) and self.ledger.rounds[-1].purpose == "confirmation"

    def _view(self, affordable: float = math.inf) -> SearchView:
        number = self.ledger.folded
        decided = [item for item in self.ledger.rounds[:number] if item.purpose == "search"]
        memo = decided[-1].memo if decided else None
        outcomes = self._observer.outcomes
        return SearchView(self.problem, self.ledger, self._lab, number, memo, affordable, outcomes, self._fitting)

    def _gain(self, winner: str, split: Iterable[Example]) -> Gain:
        ours, theirs = self.ledger.scores(winner), self.ledger.scores(self.problem.seed_id)
        keys = [(item.id, 0) for item in split if (item.id, 0) in ours and (item.id, 0) in theirs]
        return Gain(tuple(theirs[key] for key in keys), tuple(ours[key] for key in keys))

    def _progress(self) -> dict[str, Any]:
        """Where the search is, for whoever watches."""
        search = self._view()
        leader = self.strategy.leader(search)
        scores = self.ledger.scores(leader)
        found = [scores[key] for key in self.problem.keys if key in scores]
        return {
            "candidates": len(self.ledger.candidates),
            "leader": leader,
            "best_score": sum(found) / len(found) if found else None,
            "evaluations": self.ledger.evaluated,
            "calls": self._purse.spent.calls,
            "usd": self._purse.spent.usd,
            "fitting": round(self._fitting.seconds, 3),
            "idle_share": self._lab.slots.idle_share,
        }

    def _result(self, stopped: str, verdict: Verdict | None, winner: Candidate | None) -> OptimizationResult:
        search = self._view()
        program = self.problem.program
        won = None if winner is None else self.problem.program_by_id(winner.id, winner.values)
        ships = verdict is not None and verdict.ships and won is not None
        rows, told = tried(search), self.ledger.usage + self._lab.asked
        return OptimizationResult(
            program=won if won is not None and ships else program,
            seed_program=program,
            strategy=self.strategy.name,
            seed=self.problem.seed,
            improved=ships,
            reason=reason(verdict, winner is not None, rows),
            stopped=stopped,
            winner=won,
            verdict=verdict,
            # The account sees attempts; what was sent again or answered from memory is in the rows, and in the answers
            # for a round that the budget did not let come about.
            usage=replace(self._purse.spent, retries=told.retries, cached_calls=told.cached_calls),
            proposing=sum((item.usage for item in self.ledger.rounds), self._lab.asked),
            seconds=self.seconds,
            fitting=self._fitting.seconds,
            rounds=len(self.ledger.rounds),
            evaluations=self.ledger.evaluated,
            unevaluated=len(lost_pairs(self.ledger)),
            unwanted=self.ledger.unwanted,
            idle_share=self._lab.slots.idle_share,
            tried=rows,
            notes=(*self._notes, *constraint_notes(search), *sameness_notes(self.ledger)),
            front=front_of(search),
            ledger=self.ledger,
        )

    async def _say(self, kind: str, where: str, **data: Any) -> None:
        event = Event(kind, where, data)
        await self.ledger.log(event)
        if self._session.on_event is not None:
            self._session.on_event(event)
