"""What a search stands on, as protocols: its ledger, the laboratory that spends, and where an evaluation runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from dspex.evaluation.assessment import Assessment
from dspex.evaluation.scoring import ReadyMetric
from dspex.kernel.ports import Event, Message, Runtime, Usage
from dspex.kernel.program import Program
from dspex.kernel.signature import Example
from dspex.optimization.rows import Candidate, Death, Evaluation, Pair, Round


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

    @property
    def silent(self) -> bool:
        """Whether an evaluation failed for what passes, and nothing was answered since: the model may be gone."""
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
