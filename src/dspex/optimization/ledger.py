"""The ledger of a run in memory. What it keeps is what a database would: rows, written before they are acted on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from dspex.kernel.ports import NO_USAGE, Event, Usage
from dspex.optimization.ports import DEADLY, QUARANTINED, Candidate, Death, Evaluation, Pair, Round

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
        self._deaths: dict[tuple[str, str], Death] = {}
        self._dying: dict[int, set[tuple[str, str]]] = {}
        """Deaths of rounds that are not folded yet: what is decided on must not depend on who was evaluated first."""
        self._lost: dict[str, set[str]] = {}
        """Examples, and the candidates whose evaluation on it is quarantined."""
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
            if evaluation.error_kind in DEADLY:
                self._dying.setdefault(evaluation.round, set()).add(pair[:2])
        elif pair not in self._rows:
            self._rows[pair] = evaluation
            self._unfolded.setdefault(evaluation.round, []).append(pair)

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
        for candidate, example, sample in (*(pair for pair in asked if pair in self._rows), *rest):
            row = self._rows[(candidate, example, sample)]
            if row.score is not None:
                self._scores.setdefault(candidate, {})[example, sample] = row.score
        self._settled = self._settled + self._unsettled.pop(number, NO_USAGE) + self._rounds[number].usage
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
