"""The rows of a search and the protocols of its parts: ledger, proposer, schedule, strategy, laboratory.

Everything a search decides is a function of the ledger's folded rows, the strategy's memo and seeded generators, so
that resuming is reading rows and the order in which evaluations happen to finish changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal, Protocol, runtime_checkable

from dspex.evaluation.assessment import Assessment
from dspex.evaluation.scoring import ReadyMetric
from dspex.kernel.ports import JSON, NO_USAGE, Event, Message, Runtime, Usage
from dspex.kernel.program import Program
from dspex.kernel.signature import Example
from dspex.kernel.space import Configuration
from dspex.optimization.outcomes import Outcomes
from dspex.optimization.problem import Problem
from dspex.optimization.stopwatch import Stopwatch

Pair = tuple[str, str, int]
"""(candidate, example, sample): what is evaluated, once."""
ROLLOUT = 1000
"""Samples from this on are drawn at temperature 1, whatever temperature the candidate has: they are meant to differ."""
TAUGHT = 1_000_000
"""Samples from this on are run with the teacher's model in every step, for demonstrations."""
VariableKind = Literal["float", "integer", "boolean", "choice", "text", "demos", "subset"]


@dataclass(frozen=True, slots=True)
class Proposal:
    """A configuration worth trying, with where it comes from."""

    values: Configuration
    operator: str
    """The proposer that made it."""
    parents: tuple[str, ...] = ()
    """Candidates it was made from."""
    hypothesis: str = ""
    """What is expected of it, in words."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row: a completed configuration. `id` is the content hash of it and of the program it configures."""

    id: str
    values: Configuration
    operator: str
    parents: tuple[str, ...]
    hypothesis: str
    round: int


@dataclass(frozen=True, slots=True)
class Trace:
    """What one model call or step of an evaluation took and gave; outputs are None where it failed."""

    step: str
    inputs: Mapping[str, JSON]
    outputs: Mapping[str, JSON] | None
    error: str | None = None
    call: str = ""
    """Identity of the model call in the call store; empty where there was none."""
    usage: Usage = NO_USAGE
    """Its part of what the evaluation consumed."""


AHEAD = -1
"""The round of an evaluation that no round has asked for yet."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A row: what came of one pair. `score` is None where infrastructure failed, and the pair stays unevaluated."""

    candidate: str
    example: str
    sample: int
    round: int
    score: float | None
    feedback: str | None = None
    outputs: Mapping[str, JSON] | None = None
    error: str | None = None
    error_kind: str | None = None
    usage: Usage = NO_USAGE
    seconds: float = 0.0
    trace: tuple[Trace, ...] = ()

    @property
    def pair(self) -> Pair:
        return (self.candidate, self.example, self.sample)


@dataclass(frozen=True, slots=True)
class Round:
    """A row: what a strategy decided to do next. It is committed, with its candidates, before anything of it runs."""

    number: int
    pairs: tuple[Pair, ...]
    """To evaluate; all of it is evaluated before the next round is decided."""
    candidates: tuple[Candidate, ...] = ()
    """New with this round."""
    memo: JSON = None
    """What the strategy wants to know next time; small."""
    purpose: Literal["search", "confirmation"] = "search"
    usage: Usage = NO_USAGE
    """What deciding it consumed (models asked for proposals)."""
    calls: tuple[str, ...] = ()
    """The calls that deciding it took, by their identity in the call store."""


@dataclass(frozen=True, slots=True)
class Death:
    """A row: what evaluating an example with a candidate did to the process it ran in."""

    candidate: str
    example: str
    kills: int
    """How often it certainly was the cause; 0: it was there when a process died. From QUARANTINED on it is let be."""
    reason: str
    """Of the last time."""


QUARANTINED = 2
"""Kills after which a candidate is not evaluated on an example again; and candidates so lost after which none is."""


class Ledger(Protocol):
    """The rows of one run.

    Contract: used from one event loop. Writes are made durable in their order; those before a `commit` or `flush` that
    has returned are durable, and no round is folded before its evaluations are. What could not be written comes out of
    a later write. Reads that are not async answer from memory and see *folded* rounds only, in the order of their
    pairs; `holds` and `read` see everything recorded but what is ahead of its round. First write of a pair wins.

    An evaluation of the round `AHEAD` was made before anyone asked for it. It is kept, and nothing is decided on it,
    until a round asks for the pair and `adopt` makes it part of that round.
    """

    @property
    def candidates(self) -> Mapping[str, Candidate]:
        """All committed candidates by id, oldest first."""
        ...

    @property
    def rounds(self) -> Sequence[Round]:
        """All committed rounds in order; `rounds[n].number == n`."""
        ...

    @property
    def folded(self) -> int:
        """How many rounds are folded: this one is the next to be decided or finished."""
        ...

    def scores(self, candidate: str) -> Mapping[tuple[str, int], float]:
        """(example, sample) to score, of folded rounds."""
        ...

    def holds(self, pair: Pair) -> bool:
        """Whether the pair has a score, folded or not: it must not be bought again."""
        ...

    def failures(self, pair: Pair) -> int:
        """How often infrastructure failed the pair; once at least where it is quarantined."""
        ...

    @property
    def deaths(self) -> Mapping[tuple[str, str], Death]:
        """By (candidate, example); those that are quarantined among them."""
        ...

    def quarantined(self, pair: Pair) -> bool:
        """Whether the pair must not be evaluated: it has killed QUARANTINED times, or its example was, by the last
        fold, lost to as many candidates.
        """
        ...

    @property
    def evaluated(self) -> int:
        """How many evaluations are recorded, folded or not, failed ones included."""
        ...

    @property
    def usage(self) -> Usage:
        """What these evaluations consumed, and deciding the rounds."""
        ...

    @property
    def settled(self) -> Usage:
        """The part of it that belongs to folded rounds: what may be decided on, since it is the same after a kill.

        A call that several evaluations share is counted with the first of them in the order of rounds and pairs. The
        usage of a folded row is counted like that, too.
        """
        ...

    @property
    def asked(self) -> Usage:
        """`settled` and what rounds that are not folded yet have consumed; all of `usage` but what is ahead."""
        ...

    def is_ahead(self, pair: Pair) -> bool:
        """Whether the pair was evaluated ahead of a round and waits for one that asks for it."""
        ...

    @property
    def unwanted(self) -> int:
        """How many evaluations wait so."""
        ...

    def glimpse(self, pair: Pair) -> float | None:
        """The score of a pair, folded or not: for guesses, never for what is decided."""
        ...

    async def read(self, pair: Pair) -> Evaluation | None:
        """The whole row of a scored pair."""
        ...

    async def commit(self, round: Round) -> None:
        """The round, its candidates and the memo, in one transaction.

        A confirmation ends the search: a round before it that is not folded is abandoned and stays unseen.
        """
        ...

    async def record(self, evaluation: Evaluation) -> None:
        """Take one evaluation over. A pair that has a score keeps it; a row without a score counts as a failure."""
        ...

    async def blame(self, death: Death) -> None:
        """Keep what a pair did, in place of what was kept of it before. It is durable when this returns."""
        ...

    async def adopt(self, pairs: Iterable[Pair], round: int) -> None:
        """Make what was evaluated ahead of these pairs part of `round`."""
        ...

    def due(self, round: int) -> Usage:
        """What folding `round` now would add to `settled`."""
        ...

    async def flush(self) -> None:
        """Return when all that was recorded is durable: nothing is decided on before."""
        ...

    async def fold(self, number: int) -> None:
        """Make what belongs to round `number` visible, in the order of its pairs."""
        ...

    async def log(self, event: Event) -> None:
        """Append an event, for whoever watches."""
        ...


class Lab(Protocol):
    """What a strategy may do that costs: both count against the budget.

    Contract: raises BudgetExceededError when the next call does not fit, OutageError and fatal LMErrors as they come.
    The same request with the same sample is the same call. What `evaluate` finds is seen by others from the next round.
    """

    async def ask(
        self, messages: Sequence[Message], *, temperature: float, sample: int, model: str | None = None
    ) -> str:
        """The proposer model's answer; where none is named in the options, that of `model`, else the runtime's."""
        ...

    @property
    def taught(self) -> int:
        """The first sample of the runs that demonstrations are taken from: TAUGHT where the options name a teacher's
        model, else 0."""
        ...

    async def evaluate(self, pairs: Sequence[Pair]) -> list[Evaluation]:
        """Evaluations of pairs of committed candidates, in their order; those the ledger has are free."""
        ...


@dataclass(frozen=True, slots=True)
class Assignment:
    """One evaluation to be made: a candidate's program on an example, the `sample`-th draw."""

    candidate: str
    program: Program
    example: Example
    sample: int
    metric: ReadyMetric
    """Bound to `runtime`, so that a judge's calls are paid like the program's."""
    runtime: Runtime
    """Its model journals and pays: wherever the evaluation runs, its calls are made here. Changes between phases."""

    @property
    def pair(self) -> Pair:
        return (self.candidate, self.example.id, self.sample)


class Executor(Protocol):
    """Where one evaluation runs: a task of this loop, a process, a cluster, or the hands of who asked for the pair.

    Contract: used from one event loop, with as many `assess` at once as the search allows; an executor with fewer
    places lets the others wait. No more than one `assess` of a pair at a time, but again where it gave no score: it
    keeps no result. What the place itself does wrong (it crashed, hangs, ran out of memory) is that assignment's
    alone: an assessment without a score, of one of the kinds in `DEADLY`. All else is as `evaluation.assessment.assess`
    has it: a failure is in the assessment, ConfigurationErrors and errors that are `fatal` are raised. Cancelling an
    `assess` ends that evaluation and no other; once the cancellation has come back, nothing of it goes on. Who made the
    executor closes it, and not before its last `assess` has ended.
    """

    async def assess(self, assignment: Assignment) -> Assessment:
        """Run the program on the example and score what it gives."""
        ...

    async def aclose(self) -> None:
        """Let go of every place. Closing again does nothing."""
        ...


DEADLY = frozenset({"crash", "hang", "memory"})
"""Kinds of a failure that took down, or had to take down, the place where the evaluation ran."""


@dataclass(frozen=True, slots=True)
class SearchView:
    """What a strategy sees when it decides round `number`."""

    problem: Problem
    ledger: Ledger
    lab: Lab
    number: int
    memo: JSON
    """Of the round before."""
    affordable: float = math.inf
    """How many more evaluations the search's share of the budget pays for, at the mean price so far."""
    outcomes: Outcomes = field(default_factory=Outcomes)
    """What folded evaluations took beside their scores: who breaks a constraint, who is dominated."""
    fitting: Stopwatch = field(default_factory=Stopwatch)
    """Runs while something is fitted to the scores. What is decided never depends on it."""

    def rng(self, name: str) -> Random:
        """A generator for this run's seed, this round and `name`."""
        return Random(f"{self.problem.seed}/{self.number}/{name}")

    def minibatch(self, size: int) -> list[str]:
        """Training examples of this round, the same for all who ask, so that what one pays for the others have."""
        train = [item.id for item in self.problem.train]
        return self.rng("minibatch").sample(train, min(size, len(train)))

    def candidate(self, proposal: Proposal) -> Candidate | None:
        """The proposal as a new candidate; None where its values are invalid or the ledger has them already."""
        problem = self.problem
        values = problem.completed(proposal.values)
        if problem.space.problems(values):
            return None
        found = problem.id_of(values)
        if found in self.ledger.candidates:
            return None
        return Candidate(found, values, proposal.operator, proposal.parents, proposal.hypothesis, self.number)


@dataclass(frozen=True, slots=True)
class Turn:
    """A proposer's turn: make up to `count` proposals from `parents`, best first."""

    search: SearchView
    parents: Sequence[Candidate]
    count: int
    rng: Random
    memo: dict[str, JSON] = field(default_factory=dict[str, JSON])
    """The proposer's own, as it left it in the round before; what it puts there is kept with the round. Small."""

    def parent(self) -> Candidate:
        """A parent, the better ones more often: each about half as often as the one before it."""
        return self.parents[min(int(self.rng.expovariate(0.7)), len(self.parents) - 1)]


@runtime_checkable
class Proposer(Protocol):
    """Makes candidates.

    Contract: no state of its own beyond `turn.memo` and caches of pure functions; all randomness from `turn.rng`;
    everything that costs through `turn.search.lab`. Proposals may repeat or be invalid: they are then left out and
    nothing is paid.
    """

    @property
    def name(self) -> str: ...

    @property
    def needs(self) -> frozenset[VariableKind]:
        """It works on variables of any of these kinds; without one in the space it cannot propose."""
        ...

    async def propose(self, turn: Turn) -> list[Proposal]: ...


@dataclass(frozen=True, slots=True)
class Draft:
    """A schedule's round: which pairs, and its memo."""

    pairs: tuple[Pair, ...]
    memo: JSON
    taken: tuple[str, ...] = ()
    """The new candidates among those it was offered that it evaluates; the others are dropped."""


@dataclass(frozen=True, slots=True)
class Finalists:
    """Who may go on to confirmation."""

    best_first: tuple[str, ...] = ()
    """Candidates shown to be better than the seed program on val; empty when there is none."""
    contenders: int = 0
    """How many candidates were compared with it on as many examples: the best of many is so by luck, too."""


class Schedule(Protocol):
    """Where the next evaluations go. Pure: a function of the search's ledger and its own memo."""

    @property
    def name(self) -> str: ...

    @property
    def top(self) -> int:
        """How many of val's examples a candidate is evaluated on at most."""
        ...

    def leader(self, search: SearchView, memo: JSON) -> str:
        """The incumbent."""
        ...

    def fold(self, search: SearchView, memo: JSON) -> JSON:
        """The memo after the last round's scores: who is dropped, goes on, waits, leads."""
        ...

    def judged(self, before: JSON, after: JSON) -> Mapping[str, float]:
        """Candidates that the last fold compared for the first time, and how likely each is to beat the incumbent."""
        ...

    def revised(self, memo: JSON, chances: Mapping[str, float]) -> JSON:
        """The memo where somebody who knows more says how likely candidates under way are to be the best.

        A schedule that goes by scores alone leaves it as it is.
        """
        ...

    def room(self, search: SearchView, memo: JSON) -> int:
        """How many new candidates it would take now."""
        ...

    def plan(self, search: SearchView, memo: JSON, fresh: Sequence[str]) -> Draft:
        """The pairs of the next round, no more than `search.affordable`; none when there is nothing left to do."""
        ...

    def ranking(self, search: SearchView) -> list[str]:
        """Candidates that have been evaluated, most promising first; the seed program is among them."""
        ...

    def finalists(self, search: SearchView, memo: JSON) -> Finalists:
        """Candidates shown to be better than the seed program on val."""
        ...


ScheduleOf = Callable[[int, int], Schedule]
"""Makes a schedule for (new candidates a round, examples at the top)."""


@runtime_checkable
class Strategy(Protocol):
    """Decides rounds until there is nothing left worth doing. Keeps no hidden state."""

    @property
    def name(self) -> str: ...

    def check(self, problem: Problem) -> None:
        """Raises ConfigurationError where the program gives it nothing to vary."""
        ...

    async def next_round(self, search: SearchView) -> Round | str:
        """The next round, not yet committed; or, in words, why the search ends here."""
        ...

    def leader(self, search: SearchView) -> str:
        """The candidate it thinks best so far."""
        ...

    def finalists(self, search: SearchView) -> Finalists:
        """Who may go on to confirmation."""
        ...


Glimpse = Callable[[Pair], float | None]


@runtime_checkable
class Foreseeing(Protocol):
    """A strategy that can guess, while a round is being evaluated, what the next will ask for.

    Free slots evaluate it meanwhile. A wrong guess costs; it changes nothing that is decided.
    """

    @property
    def foresees(self) -> bool:
        """Whether it ever guesses: a part of the budget is kept for that."""
        ...

    def foreseen(self, search: SearchView, glimpse: Glimpse) -> Sequence[Pair]:
        """Pairs of committed candidates, likeliest first. `search` has the memo of the round that is under way,
        `glimpse` gives the scores that it has brought so far."""
        ...


@runtime_checkable
class Foresight(Protocol):
    """A schedule that can do the same, with its own memo."""

    def foreseen(self, search: SearchView, memo: JSON, glimpse: Glimpse) -> Sequence[Pair]: ...


@runtime_checkable
class Remarking(Protocol):
    """A strategy with something to say in the report."""

    async def remarks(self, search: SearchView) -> Sequence[str]:
        """Sentences, a function of the ledger and the memo like all that a strategy does; asked once, at the end."""
        ...


@runtime_checkable
class FeedbackReader(Protocol):
    """A proposer that reads what the metric says in words."""

    @property
    def without_feedback(self) -> str:
        """What it goes by where the metric says nothing, to complete "so NAME goes by ..."."""
        ...


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How a search runs, beside what it searches."""

    concurrency: int = 16
    """Evaluations at once. Changes how long a search takes and what it spends ahead, nothing of what it finds."""
    width: int | None = None
    """New candidates in a round; None: from the budget, 2 to 12."""
    reserve: float = 0.18
    """At most this share of the budget is kept for the confirmation."""
    ahead: float | None = None
    """This share of the budget is for evaluations that free slots begin while a round ends, before the next has asked
    for them; what it asks for is paid like all else, the others are lost. 0, or too little for 8: slots idle. None:
    0.03, and 0 where evaluations are made by whoever asks for them (`Search`)."""
    attempts: int = 3
    """How often a pair is tried that infrastructure fails, a round."""
    headroom: bool | None = None
    """Whether the search begins with the headroom test; None: as the strategy has it."""
    outage_seconds: float = 60.0
    """Where every call fails for so long, each with its retries, the model is gone."""
    on_outage: Literal["pause", "wait"] = "pause"
    """Then a run pauses; with `wait` it asks the model again by itself, and goes on when that answers."""
    probe_seconds: float = 30.0
    """With `wait`: how long until it is asked first; each time twice as long, up to ten times."""
    proposer_model: str | None = None
    """`provider/name` of the model that writes proposals; None: that of the step they are for."""
    proposer_settings: Mapping[str, JSON] = field(default_factory=dict[str, JSON])
    """Further settings of its requests, such as max_tokens."""
    teacher_model: str | None = None
    """`provider/name` of the model that runs the program for bootstrapped demonstrations; None: its own models do."""
