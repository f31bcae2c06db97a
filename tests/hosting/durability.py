"""What must hold of a run that was killed and carried on, by the oracle's log and the rows alone."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar

from sqlalchemy import Connection, select, text

from dspex.hosting.handle import Run
from dspex.hosting.status import RunStatus
from dspex.kernel.program import Program
from dspex.storage import runs
from dspex.storage.database import Work
from dspex.storage.opening import open_database
from dspex.storage.tables import calls, candidates, evaluations, failures, labels, rounds, versions
from tests.hosting.nursery import ROOT, Nursery, Order
from tests.hosting.oracle import Asked, Oracle
from tests.hosting.processes import gone
from tests.hosting.project import KEY

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything of a finished run that a kill must not change."""

    state: str
    program: str
    """Hash of the result."""
    promotion: Any
    candidates: tuple[Any, ...]
    evaluations: tuple[tuple[str, str, int, int, float], ...]
    """(candidate, example, sample, round, score)."""
    rounds: tuple[tuple[int, str, bool], ...]
    """(number, its data, folded)."""
    consumed: tuple[int, int, int]
    """Calls, input and output tokens that evaluations and decisions are booked with."""
    failures: int
    versions: tuple[tuple[str, int, str], ...]
    labels: tuple[tuple[str, str, int], ...]


@dataclass(frozen=True, slots=True)
class Journal:
    """A run's calls: by key what state they are in, how often sent, and the number of the answer that was kept."""

    states: Mapping[str, str]
    sends: Mapping[str, int]
    answers: Mapping[str, int]

    @property
    def unfinished(self) -> int:
        return sum(state != "done" for state in self.states.values())

    @property
    def repeated(self) -> int:
        return sum(sends - 1 for sends in self.sends.values())


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run in a store, and the tag that its requests carry."""

    run: str
    store: str
    tag: str

    def within(self, test: Callable[[Run], Awaitable[T]]) -> T:
        """What an async function makes of the run, on a connection of its own."""

        async def main() -> T:
            database = await open_database(self.store, create=False)
            try:
                return await test(Run(database, self.store, self.run))
            finally:
                await database.aclose()

        return asyncio.run(main())

    def look(self, work: Work[T]) -> T:
        """The result of reading the store."""
        return self.within(lambda run: run.database.read(work))

    def change(self, work: Work[T]) -> T:
        """The result of writing to the store."""
        return self.within(lambda run: run.database.write(work))

    def facts(self) -> Facts:
        return self.look(partial(facts, run=self.run))

    def journal(self) -> Journal:
        return self.look(partial(journal, run=self.run))

    def status(self) -> RunStatus:
        return self.within(lambda run: run.status())


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for a condition; fails when it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.01)


def facts(connection: Connection, run: str) -> Facts:
    row = runs.find(connection, run)
    result = row.result or {}
    scored = select(evaluations).where(evaluations.c.run == run, evaluations.c.round >= 0)  # not what nobody asked for
    decided = select(rounds).where(rounds.c.run == run).order_by(rounds.c.number)
    made = select(candidates).where(candidates.c.run == run).order_by(candidates.c.position)
    failed = connection.execute(select(failures).where(failures.c.run == run, failures.c.round >= 0)).all()
    booked = [json.loads(item.data)[4] for item in connection.execute(scored)]
    booked += [json.loads(item.data)[3] for item in connection.execute(decided)]
    calls_booked, asked, given = (sum(usage[place] for usage in booked) for place in range(3))
    return Facts(
        state=row.state,
        program=Program.from_data(result["program"]).hash if "program" in result else "",
        promotion=result.get("promotion"),
        candidates=tuple((item.id, item.position, item.round, item.data) for item in connection.execute(made)),
        evaluations=tuple(
            sorted((r.candidate, r.example, r.sample, r.round, r.score) for r in connection.execute(scored))
        ),
        rounds=tuple((item.number, item.data, item.folded is not None) for item in connection.execute(decided)),
        consumed=(calls_booked, asked, given),
        failures=len(failed),
        versions=tuple((r.program, r.number, r.hash) for r in connection.execute(select(versions))),
        labels=tuple((r.program, r.label, r.number) for r in connection.execute(select(labels))),
    )


def journal(connection: Connection, run: str) -> Journal:
    found = connection.execute(select(calls).where(calls.c.run == run)).all()
    answers = {row.key: int(json.loads(row.completion)[2].partition("#")[2]) for row in found if row.completion}
    return Journal({row.key: row.state for row in found}, {row.key: row.sends for row in found}, answers)


def check_facts(found: Facts, expected: Facts) -> None:
    """The run ended as it would have without the kills; where it did not, says in what."""
    other: list[str] = []
    for name in (field.name for field in fields(Facts)):
        ours, theirs = getattr(found, name), getattr(expected, name)
        if ours != theirs and isinstance(ours, tuple):
            pairs: list[tuple[tuple[Any, ...], tuple[Any, ...]]] = [(ours, theirs), (theirs, ours)]
            more, less = ([item for item in one if item not in two] for one, two in pairs)
            other.append(f"{name}: only here {more}, missing {less}")
        elif ours != theirs:
            other.append(f"{name}: {ours} and not {theirs}")
    assert not other, "\n".join(other)


def check_integrity(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        assert connection.execute(text("PRAGMA integrity_check")).scalar() == "ok"
        assert connection.execute(text("PRAGMA foreign_key_check")).all() == []


@dataclass(frozen=True, slots=True)
class Bench:
    """What the tests of one session share."""

    oracle: Oracle
    nursery: Nursery

    def carry(
        self,
        given: Prepared,
        sender: str,
        crash: str = "",
        constants: Mapping[str, float] = MappingProxyType({}),
        limit: int = 0,
    ) -> int:
        """Start a carrier; its requests are told apart as `sender` of the run's tag."""
        log = str(self.oracle.folder / f"{given.tag}.carrier")
        key = {KEY: f"{given.tag}:{sender}"}
        return self.nursery.start(Order(given.run, given.store, log, crash, key, dict(constants), limit))

    def supervise(self, given: Prepared, sender: str, crash: str = "", carrier: str = "") -> int:
        """Start a supervisor that dies at `crash`; the first carrier that gets to `carrier` dies there."""
        log = str(self.oracle.folder / f"{given.tag}.carrier")
        environment = {KEY: f"{given.tag}:{sender}", "DSPEX_STORE": given.store}
        if carrier:
            path = os.pathsep.join([str(ROOT / "tests/hosting/crashing"), str(ROOT / "src"), str(ROOT)])
            once = str(self.oracle.folder / f"{given.tag}.crashed")
            environment.update(PYTHONPATH=path, CRASH_AT=carrier, CRASH_ONCE=once)
        return self.nursery.start(Order(given.run, given.store, log, crash, environment, supervised=True))

    def said(self, tag: str) -> str:
        """What the tag's carriers wrote to their log."""
        return (self.oracle.folder / f"{tag}.carrier").read_text()

    def uninterrupted(self, given: Prepared) -> Uninterrupted:
        """Carry a run from beginning to end."""
        self.rests(self.carry(given, "only"), given.tag)
        found = given.facts()
        assert found.state == "completed"
        return Uninterrupted(found, Counter(item.body for item in self.oracle.asked(given.tag)))

    def rests(self, pid: int, tag: str) -> None:
        """Wait for a carrier, which ends by itself and leaves no process."""
        assert self.nursery.wait(pid) == 0, self.said(tag)
        assert gone(pid)

    def carried_on(
        self, given: Prepared, expected: Uninterrupted, deaths: Mapping[str, Journal] = MappingProxyType({})
    ) -> int:
        """After kills: carry the run on and check everything; returns how many calls repeated.

        `deaths`: by sender the journal as its process left it, in their order; where none is given, the sender `first`
        was killed just now.

        A call in flight is one whose intent was committed and whose answer was not. Whether such a call had reached the
        server is known to the server alone, so `repeated_calls` counts also those that had not: by exactly as many as
        there were intents without a request.
        """
        deaths = deaths or {"first": given.journal()}
        self.rests(self.carry(given, "second"), given.tag)
        repeated = check_calls(deaths, given.journal(), self.oracle.asked(given.tag), expected.bodies)
        given.look(check_integrity)
        check_facts(given.facts(), expected.facts)
        return repeated


@dataclass(frozen=True, slots=True)
class Uninterrupted:
    """How the run ends when nothing happens to it."""

    facts: Facts
    bodies: Counter[str]
    """Requests it sends, by content."""


def check_calls(deaths: Mapping[str, Journal], after: Journal, asked: list[Asked], bodies: Counter[str]) -> int:
    """Nothing lost, nothing committed sent again, repeats only of what was in flight and as reported."""
    number = {item.number: item.body for item in asked}
    in_flight, unsent, before = Counter[str](), 0, Journal({}, {}, {})
    for sender, left in deaths.items():
        sent = Counter(item.body for item in asked if item.sender == sender)
        committed = Counter(number[answer] for key, answer in left.answers.items() if key not in before.answers)
        assert committed <= sent
        in_flight += sent - committed
        intents = sum(left.sends.values()) - sum(before.sends.values())
        assert intents >= sent.total(), "a request was sent before its intent was committed"
        unsent += intents - sent.total()
        assert left.answers.items() >= before.answers.items(), "an answer that was committed has changed"
        before = left
    everything = Counter(item.body for item in asked)
    assert not bodies - everything, "requests of the uninterrupted run that were never sent"
    repeats = everything - bodies
    assert repeats <= in_flight, "something was sent again that was not in flight"
    assert after.repeated == repeats.total() + unsent
    assert after.unfinished == 0
    assert after.answers.items() >= before.answers.items(), "an answer that was committed has changed"
    return repeats.total()


AT_ONCE = 8 + 2
"""Calls of a run that are under way at most: its evaluations at once, and the texts of a round's new candidates."""


def check_settled(after: Journal, asked: list[Asked], bodies: Counter[str], deaths: int) -> int:
    """As far as it can be told from the end: nothing committed was sent again, and repeats are as reported.

    An answer that is kept is that of the last request of its kind: whatever had been sent after it, it would have been
    there. Calls whose intent was committed and that were not sent count as repeated, up to those in flight at a death.
    """
    last = {item.body: item.number for item in asked}
    everything = Counter(item.body for item in asked)
    assert max(bodies.values()) == 1
    assert everything.keys() == bodies.keys()
    assert sorted(after.answers.values()) == sorted(last.values())
    assert after.unfinished == 0
    repeats = everything.total() - bodies.total()
    assert repeats <= after.repeated <= AT_ONCE * deaths
    return repeats


def ended_by_kill(status: int) -> bool:
    return status == -signal.SIGKILL
