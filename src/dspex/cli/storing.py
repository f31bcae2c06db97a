"""The project's store, opened for one piece of work of the command."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from dspex.blocking import wait
from dspex.cli.project import Project
from dspex.hosting.status import Standing, standing
from dspex.hosting.stores import opened
from dspex.storage.runs import RunRow

T = TypeVar("T")


def store_named(given: str | None) -> str:
    """The store of --store, the environment, dspex.toml or the default."""
    return Project.here({"store": given}).store


def reading(store: str | None, work: Callable[[Connection], T]) -> T:
    """What `work` reads in the project's store. Raises ConfigurationError where there is no store."""
    return wait(_done(store_named(store), work, write=False, create=False))


def runs_standing(store: str | None, work: Callable[[Connection], list[RunRow]]) -> list[tuple[RunRow, Standing]]:
    """The runs that `work` reads, each with whether it is where its state says."""

    async def look() -> list[tuple[RunRow, Standing]]:
        database = await opened(store_named(store))
        try:
            found = await database.read(work)
            return [(row, standing(database.location, row, time.time())) for row in found]
        finally:
            await database.aclose()

    return wait(look())


def writing(store: str | None, work: Callable[[Connection], T], *, create: bool = False) -> T:
    """What `work` returns, in one transaction; with `create` the store is made where there is none."""
    return wait(_done(store_named(store), work, write=True, create=create))


async def _done(store: str, work: Callable[[Connection], T], *, write: bool, create: bool) -> T:
    database = await opened(store, create=create)
    try:
        return await (database.write(work) if write else database.read(work))
    finally:
        await database.aclose()
