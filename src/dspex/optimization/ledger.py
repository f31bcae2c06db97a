"""The ledger of a run in memory. What it keeps is what a database would: rows, written before they are acted on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from dspex.kernel.ports import NO_USAGE, Event, Usage
from dspex.optimization.ports import Candidate, Evaluation, Pair, Round

_NOTHING: Mapping[tuple[str, int], float] = MappingProxyType({})


class MemoryLedger:
    """`Ledger` that lasts as long as the process. Kept by the caller, it carries a stopped search on."""

    def __init__(self) -> None:
        self._candidates: dict[str, Candidate] = {}
        self._rounds: list[Round] = []
        self._folded = 0
        self._rows: dict[Pair, Evaluation] = {}
        self._unfolded: dict[int, list[Pair]] = {}
        self._scores: dict[str, dict[tuple[str, int], float]] = {}
        self._failures: dict[Pair, list[Evaluation]] = {}
        self._usage = NO_USAGE
        self._settled = NO_USAGE
        self._unsettled: dict[int, Usage] = {}
        self._evaluated = 0
        self.events: list[Event] = []

    @property
    def candidates(self) -> Mapping[str, Candidate]:
        return MappingProxyType(self._candidates)

    @property
    def rounds(self) -> Sequence[Round]:
        return self._rounds

    @property
    def folded(self) -> int:
        return self._folded

    @property
    def evaluated(self) -> int:
        return self._evaluated

    @property
    def usage(self) -> Usage:
        return self._usage

    @property
    def settled(self) -> Usage:
        return self._settled

    def scores(self, candidate: str) -> Mapping[tuple[str, int], float]:
        return self._scores.get(candidate, _NOTHING)

    def holds(self, pair: Pair) -> bool:
        return pair in self._rows

    def failures(self, pair: Pair) -> int:
        return sum(row.error_kind != "budget" for row in self._failures.get(pair, ()))

    async def read(self, pair: Pair) -> Evaluation | None:
        return self._rows.get(pair)

    async def commit(self, round: Round) -> None:
        if round.number != len(self._rounds):
            raise ValueError(f"round {round.number} cannot follow {len(self._rounds)} rounds")
        self._rounds.append(round)
        for item in round.candidates:
            self._candidates.setdefault(item.id, item)
        if round.purpose == "confirmation":
            self._folded = round.number
        self._usage = self._usage + round.usage

    async def record(self, evaluation: Evaluation) -> None:
        pair = evaluation.pair
        self._usage = self._usage + evaluation.usage
        self._unsettled[evaluation.round] = self._unsettled.get(evaluation.round, NO_USAGE) + evaluation.usage
        self._evaluated += 1
        if evaluation.score is None:
            self._failures.setdefault(pair, []).append(evaluation)
        elif pair not in self._rows:
            self._rows[pair] = evaluation
            self._unfolded.setdefault(evaluation.round, []).append(pair)

    async def flush(self) -> None:
        """Memory is as durable as this gets."""

    async def fold(self, number: int) -> None:
        if number != self._folded:
            raise ValueError(f"round {number} cannot be folded before round {self._folded}")
        asked = self._rounds[number].pairs
        found = set(self._unfolded.pop(number, ()))
        rest = sorted(found.difference(asked))  # what a proposer evaluated for itself
        for candidate, example, sample in (*(pair for pair in asked if pair in self._rows), *rest):
            row = self._rows[(candidate, example, sample)]
            if row.score is not None:
                self._scores.setdefault(candidate, {})[example, sample] = row.score
        self._settled = self._settled + self._unsettled.pop(number, NO_USAGE) + self._rounds[number].usage
        self._folded += 1

    async def log(self, event: Event) -> None:
        self.events.append(event)

    def evaluations(self) -> Iterator[Evaluation]:
        """Every scored row, in the order of pairs, whatever finished first."""
        for pair in sorted(self._rows):
            yield self._rows[pair]

    def failed(self) -> Iterator[Evaluation]:
        """Every row without a score."""
        for pair in sorted(self._failures):
            yield from self._failures[pair]
