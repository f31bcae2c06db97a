"""Executions of stored programs are kept, and go with their program."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import Connection

from dspex.kernel.ports import Usage
from dspex.storage import executions, programs
from dspex.storage.database import Database
from tests.storage.test_programs import route

Within = Callable[[Callable[[Database], Awaitable[Any]]], Any]


def test_executions_come_back_newest_first_and_go_with_their_program(within: Within) -> None:
    async def test(database: Database) -> None:
        def work(connection: Connection) -> None:
            version = programs.add(connection, route(0.1))
            good = executions.Outcome({"ticket": "a"}, {"team": "x"}, Usage(1, 10, 2, None), 0.5)
            bad = executions.Outcome({"ticket": "b"}, {}, Usage(1, 9, 0, 0.25), 0.1, "no answer")
            first, second = (executions.add(connection, version, item) for item in (good, bad))
            found = executions.listed(connection, "route")
            assert {item.id: item.outcome for item in found} == {first: good, second: bad}
            assert {(item.version, item.hash) for item in found} == {(1, version.hash)}
            assert len(executions.listed(connection, "route", limit=1)) == 1
            programs.remove(connection, "route")
            assert executions.listed(connection, "route") == []

        await database.write(work)

    within(test)
