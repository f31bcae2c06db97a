"""One model server, one nursery of carriers and one prepared store for all tests of hosting."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Unpack

import pytest

from dspex.storage.opening import open_database
from tests.hosting.durability import Bench, Prepared, Uninterrupted
from tests.hosting.nursery import nursing
from tests.hosting.oracle import serving
from tests.hosting.project import KEY, Changes, prepared

_numbers = itertools.count()


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    os.environ[KEY] = "tests:own"
    with serving(tmp_path_factory.mktemp("oracle")) as oracle, nursing() as nursery:
        yield Bench(oracle, nursery)
    del os.environ[KEY]


@pytest.fixture(scope="session")
def template(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """A store with a queued run; copies of it are equal to the last byte."""
    return made(bench, str(tmp_path_factory.mktemp("template") / "dspex.db"))


def made(bench: Bench, store: str, base_url: str = "", **changes: Unpack[Changes]) -> Prepared:
    """A queued run in `store`, which is made where there is none."""

    async def make() -> str:
        database = await open_database(store)
        try:
            return (await prepared(database, store, base_url or bench.oracle.base_url, **changes)).id
        finally:
            await database.aclose()

    return Prepared(asyncio.run(make()), store, f"t{next(_numbers)}")


@pytest.fixture
def copy(template: Prepared, tmp_path: Path) -> Prepared:
    """A copy of the template for one test."""
    return copied(template, tmp_path)


def copied(template: Prepared, folder: Path) -> Prepared:
    tag = f"t{next(_numbers)}"
    store = folder / f"{tag}.db"
    shutil.copy(template.store, store)
    return Prepared(template.run, str(store), tag)


@pytest.fixture(scope="session")
def uninterrupted(bench: Bench, template: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Uninterrupted:
    """The run carried to its end at one go."""
    return bench.uninterrupted(copied(template, tmp_path_factory.mktemp("uninterrupted")))
