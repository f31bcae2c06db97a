"""The ledger of a run in memory. What it keeps is what a database would: rows, written before they are acted on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from types import MappingProxyType

from dspex.kernel.ports import NO_USAGE, Event, Usage
from dspex.optimization.booking import Booking
from dspex.optimization.rows import AHEAD, DEADLY, QUARANTINED, Candidate, Death, Evaluation, Pair, Round

_NOTHING: Mapping[tuple[str, int], float] = MappingProxyType({})


class MemoryLedger:
    """`Ledger` that lasts as long as the process. Kept by the caller, it carries a stopped search on."""

    def __init__(self) -> None:
        self._candidates: dict[str, Candidate] = {}
        self._rounds: list[Round] = []
        self._folded = 0
        self._rows: dict[Pair, Evaluation] = {}
        self._ahead: dict[Pair, Evaluation] = {}
        self._unfolded: dict[int, list[Pair]] = {}
        self._failed: dict[int, list[Evaluation]] = {}
        self._scores: dict[str, dict[tuple[str, int], float]] = {}
        self._failures: dict[Pair, list[Evaluation]] = {}
        self._deaths: dict[tuple[str, str], Death] = {}
        self._dying: dict[int, set[tuple[str, str]]] = {}
        """Deaths of rounds that are not folded yet: what is decided on must not depend on who was evaluated first."""
        self._lost: dict[str, set[str]] = {}
        """Examples, and the candidates whose evaluation on it is quarantined."""
        self._usage = NO_USAGE
        self._settled = NO_USAGE
        self._unsettled: dict[int, Usage] = {}
        self._evaluated = 0
        self._booking = Booking()
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

    @property
    def asked(self) -> Usage:
        deciding = (item.usage for item in self._rounds[self._folded :])
        return sum((*self._unsettled.values(), *deciding), self._settled)

    @property
    def unwanted(self) -> int:
        return len(self._ahead)

    @property
    def calls(self) -> Set[str]:
        """The model calls that its evaluations have made."""
        return self._booking.paid.keys()

    def learn(self, evaluation: Evaluation) -> None:
        """What its calls cost, before it is recorded: rows are read back in another order than they were made in."""
        self._booking.learn(evaluation.trace)

    def is_ahead(self, pair: Pair) -> bool:
        return pair in self._ahead

    def scores(self, candidate: str) -> Mapping[tuple[str, int], float]:
        return self._scores.get(candidate, _NOTHING)

    def holds(self, pair: Pair) -> bool:
        return pair in self._rows

    def failures(self, pair: Pair) -> int:
        if not self._failures and not self._deaths:
            return 0
        counted = sum(row.error_kind != "budget" for row in self._failures.get(pair, ()))
        return counted or int(self.quarantined(pair))

    @property
    def deaths(self) -> Mapping[tuple[str, str], Death]:
        return MappingProxyType(self._deaths)

    def quarantined(self, pair: Pair) -> bool:
        if not self._deaths:
            return False
        death = self._deaths.get(pair[:2])
        if death is not None and death.kills >= QUARANTINED:
            return True
        return len(self._lost.get(pair[1], ())) >= QUARANTINED

    def glimpse(self, pair: Pair) -> float | None:
        row = self._rows.get(pair) or self._ahead.get(pair)
        return None if row is None else row.score

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
        pair, number = evaluation.pair, evaluation.round
        self._usage = self._usage + evaluation.usage
        self.learn(evaluation)
        self._evaluated += 1
        if number == AHEAD:
            if evaluation.score is not None and pair not in self._rows:
                self._ahead.setdefault(pair, evaluation)
            return
        self._unsettled[number] = self._unsettled.get(number, NO_USAGE) + evaluation.usage
        if evaluation.score is None:
            self._failures.setdefault(pair, []).append(evaluation)
            self._failed.setdefault(number, []).append(evaluation)
            if evaluation.error_kind in DEADLY:
                self._dying.setdefault(number, set()).add(pair[:2])
        elif pair not in self._rows:
            self._rows[pair] = evaluation
            self._unfolded.setdefault(number, []).append(pair)

    def due(self, round: int) -> Usage:
        rows = [*(self._rows[pair] for pair in self._unfolded.get(round, ())), *self._failed.get(round, ())]
        # In an order of their own: sums of fractions of dollars differ with it.
        return self._booking.due(sorted(rows, key=lambda row: row.pair)) + self._rounds[round].usage

    async def adopt(self, pairs: Iterable[Pair], round: int) -> None:
        for pair in pairs:
            if (row := self._ahead.pop(pair, None)) is not None:
                self._rows[pair] = replace(row, round=round)
                self._unfolded.setdefault(round, []).append(pair)
                self._unsettled[round] = self._unsettled.get(round, NO_USAGE) + row.usage

    async def blame(self, death: Death) -> None:
        self._deaths[death.candidate, death.example] = death

    def inherit(self) -> None:
        """Count deaths that no row of this ledger tells of: those of the run that this one was forked from."""
        told = {pair[:2] for pair in self._failures}
        for key, death in self._deaths.items():
            if key not in told and death.kills >= QUARANTINED:
                self._lost.setdefault(key[1], set()).add(key[0])

    async def flush(self) -> None:
        """Memory is as durable as this gets."""

    async def fold(self, number: int) -> None:
        if number != self._folded:
            raise ValueError(f"round {number} cannot be folded before round {self._folded}")
        asked = self._rounds[number].pairs
        found = set(self._unfolded.pop(number, ()))
        rest = sorted(found.difference(asked))  # what a proposer evaluated for itself
        due = self._rounds[number].usage
        for pair in (*(pair for pair in dict.fromkeys(asked) if pair in self._rows), *rest):
            row = self._rows[pair]
            if pair in found:
                row = self._rows[pair] = self._booking.booked(row)
                due = due + row.usage
            if row.score is not None:
                self._scores.setdefault(row.candidate, {})[row.example, row.sample] = row.score
        for row in sorted(self._failed.pop(number, ()), key=lambda item: item.pair):
            due = due + self._booking.booked(row).usage
        self._unsettled.pop(number, None)
        self._settled = self._settled + due
        for key in self._dying.pop(number, ()):
            death = self._deaths.get(key)
            if death is not None and death.kills >= QUARANTINED:
                self._lost.setdefault(key[1], set()).add(key[0])
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
