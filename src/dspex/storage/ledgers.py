"""The ledger of a durable run: rows in the database, read back into memory when a run is carried on."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, bindparam, select

from dspex.kernel.ports import JSON, NO_USAGE, Event, Usage
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.rows import AHEAD, Candidate, Death, Evaluation, Pair, Round, Trace
from dspex.storage.database import Database, Guard
from dspex.storage.statements import Prepared, insert_new, packed, unpacked
from dspex.storage.tables import candidates, evaluations, events, failures, quarantine, rounds


class DurableLedger:
    """`Ledger` over rows. Reads answer from a copy in memory.

    Evaluations, folds and events are handed to the database without waiting for them, so that whoever evaluates goes on
    at once; `commit` and `flush` wait for all of them. `guard` fences every write: it raises when the run has been
    taken over by another process.
    """

    def __init__(self, database: Database, run: str, guard: Guard | None = None) -> None:
        self._database, self._run, self._guard = database, run, guard
        self._memory = MemoryLedger()
        self._under_way: deque[asyncio.Future[None]] = deque()
        """Writes whose commit nobody has waited for yet, in the order in which they will be committed."""

    @classmethod
    async def load(cls, database: Database, run: str, guard: Guard | None = None) -> DurableLedger:
        """The ledger as its rows tell it, empty for a new run."""
        ledger = cls(database, run, guard)
        deaths, found = await database.read(lambda c: (deaths_of(c, run), rows_of(c, run)))
        for death in deaths:
            await ledger._memory.blame(death)
        await ledger._replay(*found)
        ledger._memory.inherit()
        return ledger

    def booked_calls(self) -> set[str]:
        """The model calls that its rows account for."""
        found = {call for item in self._memory.rounds for call in item.calls} | self._memory.calls
        found.update(step.call for row in self._memory.evaluations() for step in row.trace if step.call)
        found.update(step.call for row in self._memory.failed() for step in row.trace if step.call)
        return found

    @property
    def candidates(self) -> Mapping[str, Candidate]:
        return self._memory.candidates

    @property
    def rounds(self) -> Sequence[Round]:
        return self._memory.rounds

    @property
    def folded(self) -> int:
        return self._memory.folded

    @property
    def evaluated(self) -> int:
        return self._memory.evaluated

    @property
    def usage(self) -> Usage:
        return self._memory.usage

    @property
    def settled(self) -> Usage:
        return self._memory.settled

    @property
    def asked(self) -> Usage:
        return self._memory.asked

    @property
    def unwanted(self) -> int:
        return self._memory.unwanted

    def is_ahead(self, pair: Pair) -> bool:
        return self._memory.is_ahead(pair)

    def scores(self, candidate: str) -> Mapping[tuple[str, int], float]:
        return self._memory.scores(candidate)

    def holds(self, pair: Pair) -> bool:
        return self._memory.holds(pair)

    def failures(self, pair: Pair) -> int:
        return self._memory.failures(pair)

    @property
    def deaths(self) -> Mapping[tuple[str, str], Death]:
        return self._memory.deaths

    def quarantined(self, pair: Pair) -> bool:
        return self._memory.quarantined(pair)

    def glimpse(self, pair: Pair) -> float | None:
        return self._memory.glimpse(pair)

    async def read(self, pair: Pair) -> Evaluation | None:
        return await self._memory.read(pair)

    async def commit(self, round: Round) -> None:
        start = len(self._memory.candidates)
        known = self._memory.candidates
        fresh = [item for item in round.candidates if item.id not in known]
        now = time.time()

        def work(connection: Connection) -> None:
            _ADD_ROUND.execute_all(connection, [_round_row(self._run, round, now)])
            if fresh:
                rows = [_candidate_row(self._run, start + place, item) for place, item in enumerate(fresh)]
                _ADD_CANDIDATE.execute_all(connection, rows)

        await self._database.write(work, self._guard)
        await self.flush()
        await self._memory.commit(round)

    async def record(self, evaluation: Evaluation) -> None:
        row = _evaluation_row(self._run, evaluation)
        if evaluation.score is None:
            # A failed attempt keeps its trace among its data: the calls in it are accounted for.
            row = {**row, "data": packed([unpacked(row["data"]), unpacked(row["trace"])]), "created": time.time()}
            del row["score"], row["trace"]
            self._write(_ADD_FAILURE, row)
        else:
            self._write(_ADD_EVALUATION, row)
        await self._memory.record(evaluation)

    async def blame(self, death: Death) -> None:
        def work(connection: Connection) -> None:
            mine = (quarantine.c.run == self._run, quarantine.c.candidate == death.candidate)
            connection.execute(quarantine.delete().where(*mine, quarantine.c.example == death.example))
            row = {"candidate": death.candidate, "example": death.example, "kills": death.kills}
            connection.execute(quarantine.insert().values(run=self._run, reason=death.reason, **row))

        await self._database.write(work, self._guard)
        await self._memory.blame(death)

    def due(self, round: int) -> Usage:
        return self._memory.due(round)

    async def adopt(self, pairs: Iterable[Pair], round: int) -> None:
        found = [pair for pair in pairs if self._memory.is_ahead(pair)]
        if not found:
            return
        await self.flush()  # rows of one statement go together, so a row must be there before it is changed
        await self._memory.adopt(found, round)
        for candidate, example, sample in found:
            row = {"of": self._run, "who": candidate, "on": example, "draw": sample, "into": round}
            self._write(_ADOPT, row)

    async def flush(self) -> None:
        while self._under_way:
            # Waited for without owning it: who is cancelled here must not cancel what others wait for as well.
            await asyncio.wait([self._under_way[-1]])
            self._reap()

    async def fold(self, number: int) -> None:
        await self.flush()
        # A fold that is lost is made again from the same rows: it goes to the disk with whatever comes next.
        self._write(_FOLD, {"of": self._run, "round": number, "at": time.time()})
        await self._memory.fold(number)

    async def log(self, event: Event) -> None:
        data = packed({"where": event.where, **_shown(event.data)})
        row = {"run": self._run, "kind": event.kind, "data": data, "created": time.time()}
        self._write(_ADD_EVENT, row)

    def _write(self, statement: Prepared, row: Mapping[str, Any]) -> None:
        """Hand a row to the database. Raises what kept an earlier one from being written."""
        self._reap()
        self._under_way.append(self._database.append(statement, row, self._guard, waited=False))

    def _reap(self) -> None:
        """Let go of the writes that are done. Raises what kept one of them from being done."""
        while self._under_way and self._under_way[0].done():
            done = self._under_way.popleft()
            if done.exception() is not None:
                for item in self._under_way:  # most likely for the same reason, and nobody may ask for theirs
                    item.add_done_callback(_heard)
            done.result()

    async def _replay(self, kept: list[Round], folded: set[int], found: list[Evaluation]) -> None:
        by_round: dict[int, list[Evaluation]] = {}
        for row in found:
            by_round.setdefault(row.round, []).append(row)
            self._memory.learn(row)
        for row in by_round.pop(AHEAD, ()):
            await self._memory.record(row)
        for round in kept:
            await self._memory.commit(round)
            for row in by_round.pop(round.number, ()):
                await self._memory.record(row)
            if round.number in folded:
                await self._memory.fold(round.number)
        # What a proposer bought for a round that was not committed yet is there for the one who decides it again.
        for rows in by_round.values():
            for row in rows:
                await self._memory.record(row)


def _heard(done: asyncio.Future[None]) -> None:
    if not done.cancelled():
        done.exception()


_ADD_ROUND = Prepared(rounds.insert())
_ADD_CANDIDATE = Prepared(candidates.insert())
_ADD_EVALUATION = Prepared(lambda dialect: insert_new(evaluations, dialect))
_ADD_FAILURE = Prepared(failures.insert())
_ADD_EVENT = Prepared(events.insert())
_ADOPT = Prepared(
    evaluations.update()
    .where(
        evaluations.c.run == bindparam("of"),
        evaluations.c.candidate == bindparam("who"),
        evaluations.c.example == bindparam("on"),
        evaluations.c.sample == bindparam("draw"),
    )
    .values(round=bindparam("into"))
)
_FOLD = Prepared(
    rounds.update()
    .where(rounds.c.run == bindparam("of"), rounds.c.number == bindparam("round"))
    .values(folded=bindparam("at"))
)


def _of_run(table: Table, *columns: str, by: Sequence[str]) -> Prepared:
    """Reads these columns of a run's rows, in the order of others."""
    query = select(*(table.c[name] for name in columns)).where(table.c.run == bindparam("of"))
    return Prepared(query.order_by(*(table.c[name] for name in by)))


_PLACE = ("candidate", "example", "sample", "round")
_DEATHS = _of_run(quarantine, "candidate", "example", "kills", "reason", by=("example", "candidate"))
_CANDIDATES = _of_run(candidates, "id", "round", "data", by=("position",))
_ROUNDS = _of_run(rounds, "number", "data", "folded", by=("number",))
_EVALUATIONS = _of_run(evaluations, *_PLACE, "data", "score", "trace", by=("round", "candidate", "example", "sample"))
_FAILURES = _of_run(failures, *_PLACE, "data", by=("id",))


def deaths_of(connection: Connection, run: str, kills: int = 0) -> list[Death]:
    """What evaluations of a run did to their processes, those that killed at least so often."""
    found = [Death(*row) for row in _DEATHS.found(connection, {"of": run})]
    return [death for death in found if death.kills >= kills]


def rows_of(connection: Connection, run: str) -> tuple[list[Round], set[int], list[Evaluation]]:
    """A run's rounds, the numbers of the folded ones, and its evaluations with those that failed."""
    mine = {"of": run}
    made = [_candidate(id, round, unpacked(data)) for id, round, data in _CANDIDATES.each(connection, mine)]
    kept: list[Round] = []
    folded: set[int] = set()
    for number, data, when in _ROUNDS.each(connection, mine):
        new = tuple(item for item in made if item.round == number)
        kept.append(_round(number, new, unpacked(data)))
        if when is not None:
            folded.add(number)
    found = [
        _evaluation(place, unpacked(data), score, unpacked(trace))
        for *place, data, score, trace in _EVALUATIONS.each(connection, mine)
    ]
    failed = [_evaluation(place, *_failure(unpacked(data))) for *place, data in _FAILURES.each(connection, mine)]
    return kept, folded, [*found, *failed]


def _candidate_row(run: str, position: int, item: Candidate) -> dict[str, Any]:
    data = packed([dict(item.values), item.operator, list(item.parents), item.hypothesis])
    return {"run": run, "id": item.id, "position": position, "round": item.round, "data": data}


def _candidate(id: str, round: int, data: list[Any]) -> Candidate:
    values, operator, parents, hypothesis = data
    return Candidate(id, values, operator, tuple(parents), hypothesis, round)


def _round_row(run: str, item: Round, now: float) -> dict[str, Any]:
    pairs = [list(pair) for pair in item.pairs]
    data = packed([pairs, item.memo, item.purpose, _usage_data(item.usage), list(item.calls)])
    return {"run": run, "number": item.number, "data": data, "created": now, "folded": None}


def _round(number: int, new: tuple[Candidate, ...], data: list[Any]) -> Round:
    pairs, memo, purpose, usage, calls = data
    return Round(number, tuple((c, e, s) for c, e, s in pairs), new, memo, purpose, Usage(*usage), tuple(calls))


def _evaluation_row(run: str, item: Evaluation) -> dict[str, Any]:
    data = packed([item.feedback, item.outputs, item.error, item.error_kind, _usage_data(item.usage), item.seconds])
    alone = len(item.trace) == 1
    trace = [_step_data(step, alone and step.usage == item.usage) for step in item.trace]
    return {
        "run": run, "candidate": item.candidate, "example": item.example, "sample": item.sample, "round": item.round,
        "score": item.score, "data": data, "trace": packed(trace) if trace else None,
    }  # fmt: skip


def _evaluation(place: Sequence[Any], data: list[Any], score: float | None, trace: list[Any] | None) -> Evaluation:
    candidate, example, sample, round = place
    feedback, outputs, error, kind, usage, seconds = data
    steps = tuple(_step(step, Usage(*usage) if len(trace or ()) == 1 else NO_USAGE) for step in trace or ())
    about = (feedback, outputs, error, kind, Usage(*usage), seconds, steps)
    return Evaluation(candidate, example, sample, round, score, *about)


def _step_data(step: Trace, said: bool) -> list[Any]:
    """A step as JSON; its usage is left out where the row says the same."""
    row: list[Any] = [step.step, step.inputs, step.outputs, step.error, step.call]
    return row if said or step.usage == NO_USAGE else [*row, _usage_data(step.usage)]


def _step(data: list[Any], otherwise: Usage) -> Trace:
    step, inputs, outputs, error, call, *usage = data
    return Trace(step, inputs, outputs, error, call, Usage(*usage[0]) if usage else otherwise)


def _failure(data: list[Any]) -> tuple[list[Any], None, list[Any] | None]:
    fields, trace = data
    return fields, None, trace


def _usage_data(usage: Usage) -> list[JSON]:
    return [
        usage.calls, usage.input_tokens, usage.output_tokens, usage.usd, usage.cached_calls, usage.retries,
        usage.saved_tokens, usage.saved_usd,
    ]  # fmt: skip


def _shown(data: Mapping[str, Any]) -> dict[str, Any]:
    """An event's data as JSON; what is not JSON is shown as text."""
    return {key: value if _is_json(value) else str(value) for key, value in data.items()}


def _is_json(value: Any) -> bool:
    try:
        packed(value)
    except (TypeError, ValueError):
        return False
    return True
