"""What decides, as protocols: proposer, schedule and strategy, and what they are shown.

Everything a search decides is a function of the ledger's folded rows, the strategy's memo and seeded generators, so
that resuming is reading rows and the order in which evaluations happen to finish changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal, Protocol, runtime_checkable

from dspex.kernel.ports import JSON
from dspex.optimization.outcomes import Outcomes
from dspex.optimization.ports import Lab, Ledger
from dspex.optimization.problem import Problem
from dspex.optimization.rows import Candidate, Pair, Proposal, Round
from dspex.optimization.stopwatch import Stopwatch

VariableKind = Literal["float", "integer", "boolean", "choice", "text", "demos", "subset"]


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
    prepared: Sequence[Proposal] = ()
    """What the strategy has had written for this round while the one before was evaluated (Preparing)."""
    asking: float = 0.0
    """The most that asking for a round's proposals has taken so far, in evaluations."""

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


@runtime_checkable
class Drafting(Protocol):
    """A proposer that takes long to write: it says a round ahead what it will write from.

    `propose` is the two one after the other.
    """

    @property
    def name(self) -> str: ...

    async def draft(self, turn: Turn) -> JSON:
        """What `write` needs to know, small: it is kept in a memo. None where there is nothing to write from."""
        ...

    async def write(self, search: SearchView, draft: JSON) -> list[Proposal]:
        """The proposals. It asks and evaluates nothing: a round is under way.

        A function of the draft, the problem, the candidates it names, and rows that were folded or evaluated when it
        was made: `search` shows newer ones, more or fewer of them when a search is carried on.
        """
        ...


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
class Preparing(Protocol):
    """A strategy that has proposals for the next round written while a round is evaluated."""

    async def prepare(self, search: SearchView) -> Sequence[Proposal]:
        """What `next_round` will find as `search.prepared`. `search` has the memo of the round that is under way.

        Asked again, after a kill, when that round is folded already: it hangs on nothing that came after the round was
        decided, so that its requests are the same. It may ask, and evaluates nothing.
        """
        ...


@runtime_checkable
class Foresight(Protocol):
    """A schedule that can do the same, with its own memo."""

    def foreseen(self, search: SearchView, memo: JSON, glimpse: Glimpse) -> Sequence[Pair]: ...


@runtime_checkable
class Joinable(Protocol):
    """A schedule whose rounds may come in two parts: new candidates join one that is evaluated already, unfolded."""

    def part(self, search: SearchView, memo: JSON, fresh: Sequence[str], later: int) -> Draft:
        """`plan`, with places and a part of the budget kept for `later` candidates that join; no pairs where they do
        not fit."""
        ...

    def join(self, search: SearchView, memo: JSON, fresh: Sequence[str]) -> Draft:
        """Those, with `memo` of the first part: pairs as `plan` would have given them."""
        ...


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
