"""Stored programs: versions, references, labels, conditional promotion."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import Connection

from dspex.errors import ConfigurationError, UnknownNameError
from dspex.kernel.program import Program, Step
from dspex.kernel.shorthand import signature
from dspex.kernel.variables import Float
from dspex.storage import programs
from dspex.storage.database import Database

Within = Callable[[Callable[[Database], Awaitable[Any]]], Any]


def route(temperature: float = 0.0) -> Program:
    step = Step(
        name="route", module="predict", signature=signature("ticket -> team"), options={"temperature": Float(0, 1)}
    )
    return Program(name="route", pipeline=(step,), configuration={"route.temperature": temperature})


def test_versions_labels_and_references(within: Within) -> None:
    async def test(database: Database) -> None:
        def work(connection: Connection) -> None:
            first = programs.add(connection, route(0.1), note="seed")
            assert programs.add(connection, route(0.1)) == first  # the same content is not stored twice
            second = programs.add(connection, route(0.2), score=(0.8, 0.7, 0.9), run="r1")
            assert (first.number, second.number, second.parent) == (1, 2, 1)
            programs.promote(connection, first)
            assert programs.resolve(connection, "route").number == 2
            assert programs.resolve(connection, "route@production").number == 1
            assert programs.resolve(connection, "route@2").number == 2
            assert programs.resolve(connection, f"route@{first.hash[:6]}").number == 1
            assert programs.read(connection, second).values == {"route.temperature": 0.2}
            assert programs.resolve(connection, "route@production").labels == ("production",)
            best = programs.current_performance(connection, "route")
            assert best is not None
            assert (best.number, best.score) == (2, 0.8)
            assert [item.number for item in programs.history(connection, "route")] == [2, 1]
            assert [item.program for item in programs.listed(connection)] == ["route"]

        await database.write(work)

    within(test)


def test_promotion_is_conditional_on_what_it_started_from(within: Within) -> None:
    async def test(database: Database) -> None:
        def work(connection: Connection) -> None:
            one, two = programs.add(connection, route(0.1)), programs.add(connection, route(0.2))
            programs.promote(connection, one, expected=None)
            with pytest.raises(programs.ConflictError, match="points at version 1, not None"):
                programs.promote(connection, two, expected=None)
            assert programs.labelled(connection, "route", "production") == 1
            programs.promote(connection, two, expected=1)
            assert programs.labelled(connection, "route", "production") == 2

        await database.write(work)

    within(test)


def test_unknown_references_get_a_suggestion(within: Within) -> None:
    async def test(database: Database) -> None:
        def work(connection: Connection) -> None:
            programs.promote(connection, programs.add(connection, route()))
            with pytest.raises(UnknownNameError, match="did you mean 'route'"):
                programs.resolve(connection, "rout")
            with pytest.raises(UnknownNameError, match="did you mean 'production'"):
                programs.resolve(connection, "route@prodction")
            with pytest.raises(ConfigurationError, match="program name"):
                programs.add(connection, route(), "a b")
            assert programs.remove(connection, "route") == 1
            with pytest.raises(UnknownNameError):
                programs.resolve(connection, "route")

        await database.write(work)

    within(test)
