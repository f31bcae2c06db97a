"""What must hold of a run that was killed and carried on, by the oracle's log and the rows alone."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select, text

from dspex.kernel.program import Program
from dspex.storage import runs
from dspex.storage.database import Work
from dspex.storage.opening import open_database
from dspex.storage.tables import calls, candidates, evaluations, failures, labels, rounds, versions
from tests.hosting.nursery import Nursery
from tests.hosting.oracle import Asked, Oracle
from tests.hosting.project import KEY


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


def looked_up(store: str, work: Work[Any]) -> Any:
    """The result of reading `store` in this process."""

    async def main() -> Any:
        database = await open_database(store, create=False)
        try:
            return await database.read(work)
        finally:
            await database.aclose()

    return asyncio.run(main())


def facts(connection: Connection, run: str) -> Facts:
    row = runs.find(connection, run)
    result = row.result or {}
    scored = select(evaluations).where(evaluations.c.run == run)
    decided = select(rounds).where(rounds.c.run == run).order_by(rounds.c.number)
    made = select(candidates).where(candidates.c.run == run).order_by(candidates.c.position)
    failed = connection.execute(select(failures).where(failures.c.run == run)).all()
    return Facts(
        state=row.state,
        program=Program.from_data(result["program"]).hash if "program" in result else "",
        promotion=result.get("promotion"),
        candidates=tuple((item.id, item.position, item.round, item.data) for item in connection.execute(made)),
        evaluations=tuple(
            sorted((r.candidate, r.example, r.sample, r.round, r.score) for r in connection.execute(scored))
        ),
        rounds=tuple((item.number, item.data, item.folded is not None) for item in connection.execute(decided)),
        failures=len(failed),
        versions=tuple((r.program, r.number, r.hash) for r in connection.execute(select(versions))),
        labels=tuple((r.program, r.label, r.number) for r in connection.execute(select(labels))),
    )


def journal(connection: Connection, run: str) -> Journal:
    found = connection.execute(select(calls).where(calls.c.run == run)).all()
    answers = {row.key: int(json.loads(row.completion)[2].partition("#")[2]) for row in found if row.completion}
    return Journal({row.key: row.state for row in found}, {row.key: row.sends for row in found}, answers)


def check_integrity(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        assert connection.execute(text("PRAGMA integrity_check")).scalar() == "ok"
        assert connection.execute(text("PRAGMA foreign_key_check")).all() == []


def gone(group: int) -> bool:
    """Whether no process of the group is left (a zombie that is being waited for does not count)."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not members(group):
            return True
    return False


def members(group: int) -> list[int]:
    """The living processes of a process group."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, _, its_group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(its_group) == group and state not in "ZX":
            found.append(int(entry.name))
    return found


@dataclass(frozen=True, slots=True)
class Bench:
    """What the tests of one session share."""

    oracle: Oracle
    nursery: Nursery

    def carry(self, run: str, store: str, tag: str, sender: str, crash: str = "") -> int:
        """Start a carrier; its requests are told apart as `sender` of `tag`."""
        log = self.oracle.folder / f"{tag}.carrier"
        return self.nursery.start(run, store, log, crash, **{KEY: f"{tag}:{sender}"})

    def said(self, tag: str) -> str:
        """What the tag's carriers wrote to their log."""
        return (self.oracle.folder / f"{tag}.carrier").read_text()

    def uninterrupted(self, run: str, store: str, tag: str) -> Uninterrupted:
        """Carry a run from beginning to end."""
        pid = self.carry(run, store, tag, "only")
        assert self.nursery.wait(pid) == 0, self.said(tag)
        found: Facts = looked_up(store, partial(facts, run=run))
        assert found.state == "completed"
        return Uninterrupted(found, Counter(item.body for item in self.oracle.asked(tag)))

    def carried_on(self, run: str, store: str, tag: str, expected: Uninterrupted) -> int:
        """After a kill of the sender `first`: carry the run on and check everything; returns how many calls repeated.

        A call in flight is one whose intent was committed and whose answer was not. Whether such a call had reached the
        server is known to the server alone, so `repeated_calls` counts also those that had not: by exactly as many as
        there were intents without a request.
        """
        before: Journal = looked_up(store, partial(journal, run=run))
        pid = self.carry(run, store, tag, "second")
        assert self.nursery.wait(pid) == 0, self.said(tag)
        assert gone(pid)
        asked = self.oracle.asked(tag)
        after: Journal = looked_up(store, partial(journal, run=run))
        repeated = check_calls(before, after, asked, expected.bodies)
        looked_up(store, check_integrity)
        assert looked_up(store, partial(facts, run=run)) == expected.facts
        return repeated


@dataclass(frozen=True, slots=True)
class Uninterrupted:
    """How the run ends when nothing happens to it."""

    facts: Facts
    bodies: Counter[str]
    """Requests it sends, by content."""


def check_calls(before: Journal, after: Journal, asked: list[Asked], bodies: Counter[str]) -> int:
    """Nothing lost, nothing committed sent again, repeats only of what was in flight and as reported."""
    number = {item.number: item.body for item in asked}
    sent, again = (Counter(item.body for item in asked if item.sender == who) for who in ("first", "second"))
    committed = Counter(number[answer] for answer in before.answers.values())
    assert committed <= sent
    in_flight = sent - committed
    assert not bodies - (sent + again), "requests of the uninterrupted run that were never sent"
    repeats = (sent + again) - bodies
    assert repeats <= in_flight, "something was sent again that was not in flight"
    unsent = before.unfinished - in_flight.total()
    assert unsent >= 0, "a request was sent before its intent was committed"
    assert after.repeated == repeats.total() + unsent
    assert after.unfinished == 0
    kept = {key: after.answers[key] for key in before.answers}
    assert kept == dict(before.answers), "an answer that was committed has changed"
    return repeats.total()


def ended_by_kill(status: int) -> bool:
    return status == -signal.SIGKILL
