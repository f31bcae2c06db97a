"""Transactions that share commits, failures that stay alone, and schemas that are checked."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    Index,
    MetaData,
    Table,
    bindparam,
    func,
    inspect,
    select,
    text,
)

from dspex.errors import ConfigurationError
from dspex.storage.database import Database, FencedError, NewerSchemaError, StorageError
from dspex.storage.opening import locate, migrate, open_database
from dspex.storage.statements import Prepared
from dspex.storage.tables import SCHEMA_VERSION, calls, leases, metadata, store
from dspex.storage.upkeep import check

Within = Callable[[Callable[[Database], Awaitable[Any]]], Any]


def lease(name: str, used: float = 0) -> dict[str, object]:
    return {"name": name, "period": 0.0, "used": used, "data": "{}"}


def count(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(leases)).scalar_one()


def test_what_write_returned_from_is_read_by_others(within: Within, url: str) -> None:
    async def test(database: Database) -> None:
        statement = Prepared(leases.insert())
        await asyncio.gather(*(database.append(statement, lease(f"a{n}")) for n in range(300)))
        assert await database.write(lambda c: c.execute(leases.update().values(used=1)).rowcount) == 300
        other = await open_database(url)
        assert await other.read(count) == 300
        await other.aclose()

    within(test)


def test_what_nobody_waits_for_is_committed_by_itself_and_before_what_comes_after_it(within: Within) -> None:
    async def test(database: Database) -> None:
        statement = Prepared(leases.insert())
        await database.append(statement, lease("alone"), waited=False)
        assert await database.read(count) == 1
        later = database.append(statement, lease("held"), waited=False)
        assert await database.write(count) == 2
        assert later.done()
        database.append(statement, lease("last"), waited=False)

    within(test)


def test_a_store_that_closes_commits_what_nobody_waited_for(within: Within, url: str) -> None:
    async def test(database: Database) -> None:
        other = await open_database(url)
        other.append(Prepared(leases.insert()), lease("last"), waited=False)
        await other.aclose()
        assert await database.read(count) == 1

    within(test)


def test_many_rows_of_one_statement_are_all_there_whatever_their_number(within: Within) -> None:
    async def test(database: Database) -> None:
        statement = Prepared(leases.insert())
        for start, rows in ((0, 1), (100, 31), (200, 32), (300, 33), (400, 97)):
            await asyncio.gather(*(database.append(statement, lease(f"a{start + n}", n)) for n in range(rows)))
        found = await database.read(lambda c: c.execute(select(leases.c.name, leases.c.used)).all())
        assert len(found) == 194
        assert all(int(name[1:]) % 100 == used for name, used in found)

    within(test)


def test_a_failing_work_undoes_only_itself(within: Within) -> None:
    async def test(database: Database) -> None:
        def bad(connection: Connection) -> None:
            connection.execute(leases.insert(), lease("bad"))
            raise ConfigurationError("no")

        statement = Prepared(leases.insert())
        results = await asyncio.gather(
            database.append(statement, lease("one")),
            database.write(bad),
            database.append(statement, lease("one")),  # the key is taken by now
            database.append(statement, lease("two")),
            return_exceptions=True,
        )
        assert [type(item) for item in results] == [type(None), ConfigurationError, StorageError, type(None)]
        assert await database.read(count) == 2

    within(test)


def test_a_work_that_ends_with_what_is_no_error_undoes_itself_and_stops_nobody(within: Within) -> None:
    class Ended(BaseException):
        """As `SystemExit` is, or what a test fails with."""

    async def test(database: Database) -> None:
        def bad(connection: Connection) -> None:
            connection.execute(leases.insert(), lease("bad"))
            raise Ended

        with pytest.raises(Ended):
            await database.write(bad)
        await database.append(Prepared(leases.insert()), lease("one"))
        assert await database.read(count) == 1

    within(test)


def test_a_guard_that_raises_stops_its_writes_and_no_others(within: Within) -> None:
    async def test(database: Database) -> None:
        def fenced(_: Connection) -> None:
            raise FencedError("taken over")

        statement = Prepared(leases.insert())
        results = await asyncio.gather(
            database.append(statement, lease("mine"), fenced),
            database.append(statement, lease("yours")),
            return_exceptions=True,
        )
        assert isinstance(results[0], FencedError)
        assert results[1] is None
        assert await database.read(lambda c: c.execute(select(leases.c.name)).scalars().all()) == ["yours"]

    within(test)


def test_concurrent_openers_migrate_once(url: str) -> None:
    async def main() -> None:
        opened = await asyncio.gather(*(open_database(url) for _ in range(6)))
        versions = [await database.read(lambda c: c.execute(select(store)).all()) for database in opened]
        assert {len(rows) for rows in versions} == {1}
        for database in opened:
            await database.aclose()

    asyncio.run(main())


def test_an_opener_waits_for_who_writes_to_the_new_file(tmp_path: Path) -> None:
    path = tmp_path / "dspex.db"

    async def main() -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            opening = asyncio.create_task(open_database(path))
            done, _ = await asyncio.wait({opening}, timeout=0.2)
            assert not done
            other.execute("ROLLBACK")
        await (await opening).aclose()

    asyncio.run(main())


def test_migrations_make_exactly_the_declared_tables(within: Within) -> None:
    from alembic.autogenerate import compare_metadata  # noqa: PLC0415 - only this test compares
    from alembic.migration import MigrationContext  # noqa: PLC0415

    async def test(database: Database) -> list[Any]:
        return await database.read(lambda c: compare_metadata(MigrationContext.configure(c), metadata))

    assert within(test) == []


def test_a_new_store_is_what_the_migrations_make(within: Within) -> None:
    def work(connection: Connection) -> tuple[dict[str, Any], dict[str, Any]]:
        declared = shape(connection)
        metadata.drop_all(connection)
        connection.execute(text("DROP TABLE alembic_version"))
        migrate(connection)
        return declared, shape(connection)

    async def test(database: Database) -> tuple[dict[str, Any], dict[str, Any]]:
        return await database.write(work)

    declared, migrated = within(test)
    assert len(declared["columns"]) == len(metadata.tables) + 1
    assert declared == migrated


def shape(connection: Connection) -> dict[str, Any]:
    """All that the database says about its tables, and which migration was the last."""
    found = inspect(connection)

    def listed(of: Mapping[Any, Sequence[Any]]) -> dict[str, list[str]]:
        return {str(name): sorted(map(str, rows)) for name, rows in of.items()}

    return {
        "columns": {str(name): list(map(str, rows)) for name, rows in found.get_multi_columns().items()},
        "keys": {str(name): str(key) for name, key in found.get_multi_pk_constraint().items()},
        "references": listed(found.get_multi_foreign_keys()),
        "unique": listed(found.get_multi_unique_constraints()),
        "checks": listed(found.get_multi_check_constraints()),
        "indexes": listed(found.get_multi_indexes()),
        "last": connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all(),
    }


def test_a_store_of_an_older_schema_keeps_its_calls(url: str) -> None:
    """Of schema 2, in which a request had one row whoever sent it."""
    row = {"epoch": 1, "state": "done", "sends": 2, "model": "m", "completion": "yes", "started": 1.0, "finished": 2.0}
    older = [{"key": "b", "run": "one", **row}, {"key": "a", "run": None, **row}]

    async def main() -> None:
        database = await open_database(url)
        await database.write(as_of_schema_2)
        await database.write(lambda c: c.execute(_CALLS_OF_2.insert(), older))
        await database.aclose()
        database = await open_database(url)
        await database.write(lambda c: c.execute(calls.insert(), {"key": "b", "run": "two", **row}))
        found = await database.read(lambda c: c.execute(select(calls.c.run, calls.c.key, calls.c.completion)).all())
        assert sorted(found) == [("", "a", "yes"), ("one", "b", "yes"), ("two", "b", "yes")]
        again = await asyncio.gather(
            *(database.append(Prepared(calls.insert()), {**item, "run": item["run"] or ""}) for item in older),
            return_exceptions=True,
        )
        assert [type(item) for item in again] == [StorageError, StorageError]
        health = await database.read(check)
        assert (health.schema, health.problems) == (SCHEMA_VERSION, ())
        await database.aclose()

    asyncio.run(main())


def as_of_schema_2(connection: Connection) -> None:
    """Make the store what a DSPEx of schema 2 left."""
    calls.drop(connection)
    _OF_2.create_all(connection)
    connection.execute(text("UPDATE alembic_version SET version_num = '0002'"))
    connection.execute(store.update().values(schema_version=2))


_OF_2 = MetaData(naming_convention=metadata.naming_convention)
_CALLS_OF_2 = Table(
    "calls",
    _OF_2,
    *(
        Column(item.name, item.type, primary_key=item.name == "key", nullable=item.nullable)
        for item in calls.c
        if not item.name.startswith("most_")
    ),
    CheckConstraint("state IN ('intent', 'done', 'unknown')", name="state"),
    Index(None, "run", "state", "sends"),
)
_CALLS_OF_2.c.run.nullable = True


def test_a_newer_schema_is_refused(within: Within, url: str) -> None:
    async def test(database: Database) -> None:
        await database.write(lambda c: c.execute(store.update().values(schema_version=99)))
        with pytest.raises(NewerSchemaError, match=r"sql.*: the store has schema 99"):
            await open_database(url)

    within(test)


def test_closed_store_refuses_reads_and_writes(url: str) -> None:
    async def main() -> None:
        database = await open_database(url)
        await database.aclose()
        for asked in (database.write, database.read):
            with pytest.raises(StorageError, match="the store is closed; open it anew"):
                await asked(count)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("postgresql://me@/x?host=/nowhere", "No such file or directory; is the server running, and is the URL right?"),
        ("postgresql://me@127.0.0.1:1/x", "is the server running, and is the URL right?"),
    ],
)
def test_a_server_that_cannot_be_reached_is_told_of_with_what_to_do(url: str, advice: str) -> None:
    with pytest.raises(StorageError, match=re.escape(advice)):
        asyncio.run(open_database(url))


def test_a_database_that_the_server_does_not_have_is_told_of_with_what_to_do(server: str) -> None:
    with pytest.raises(StorageError, match=r'database "nowhere" does not exist; make it on the server'):
        asyncio.run(open_database(server.replace("/postgres?", "/nowhere?")))


def test_passwords_are_not_shown() -> None:
    from dspex.storage.postgres import PostgresDatabase  # noqa: PLC0415 - an extra

    assert "geheim" not in PostgresDatabase("postgresql://user:geheim@localhost/x").location.url


def test_missing_store_and_strange_urls_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="there is no store here"):
        asyncio.run(open_database(tmp_path / "none.db", create=False))
    with pytest.raises(ConfigurationError, match="write a file's path"):
        locate("mysql://x")


def test_deleted_and_damaged_files_are_clear_errors(tmp_path: Path) -> None:
    path = tmp_path / "dspex.db"

    async def deleted() -> None:
        database = await open_database(path)
        path.unlink()
        with pytest.raises(StorageError, match="gone"):
            await database.write(count)
        await database.aclose()

    asyncio.run(deleted())
    other = tmp_path / "other.db"
    other.write_bytes(b"this is not a database" * 100)
    with pytest.raises(StorageError, match="something else"):
        asyncio.run(open_database(other))


def test_what_the_driver_itself_refuses_is_explained_in_reads_too(within: Within) -> None:
    """A statement that is worded once goes past SQLAlchemy, whose errors are not the driver's."""
    named = Prepared(select(leases.c.name).where(leases.c.used == bindparam("used")))

    async def test(database: Database) -> None:
        assert list(await database.read(lambda c: list(named.each(c, {"used": 1})))) == []
        await database.write(lambda c: c.execute(text("DROP TABLE leases")))
        with pytest.raises(StorageError, match="leases"):
            await database.read(lambda c: named.found(c, {"used": 1}))
        with pytest.raises(StorageError, match="leases"):
            await database.read(lambda c: list(named.each(c, {"used": 1})))

    within(test)


def test_two_writers_of_one_file_never_see_it_locked(tmp_path: Path) -> None:
    path = tmp_path / "dspex.db"

    async def main() -> None:
        pair = [await open_database(path), await open_database(path)]

        def bump(connection: Connection) -> None:
            used = connection.execute(select(leases.c.used)).scalar_one()
            connection.execute(leases.update().values(used=used + 1))

        await pair[0].write(lambda c: c.execute(leases.insert(), lease("n")))

        async def many(database: Database) -> None:
            for _ in range(100):
                await database.write(bump)

        await asyncio.gather(*(many(database) for database in pair for _ in range(3)))
        assert await pair[0].read(lambda c: c.execute(select(leases.c.used)).scalar_one()) == 600
        for database in pair:
            await database.aclose()

    asyncio.run(main())


def test_full_disk_is_one_clear_error_and_nothing_half_written(tmp_path: Path) -> None:
    path = tmp_path / "dspex.db"

    async def main() -> None:
        database = await open_database(path)
        await database.write(
            lambda c: c.execute(text(f"PRAGMA max_page_count={c.execute(text('PRAGMA page_count')).scalar_one()}"))
        )
        rows = [{**lease(f"x{n}"), "data": "y" * 4000} for n in range(50)]
        with pytest.raises(StorageError, match="free some space"):
            await database.write(lambda c: c.execute(leases.insert(), rows))
        assert await database.read(count) == 0
        await database.write(lambda c: c.execute(text("PRAGMA max_page_count=1000000")))
        await database.write(lambda c: c.execute(leases.insert(), rows))
        assert await database.read(count) == 50
        await database.aclose()

    asyncio.run(main())
