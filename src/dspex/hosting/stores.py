"""Which store is meant, and programs by reference out of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from dspex.configuration.settings import find_file, resolve
from dspex.errors import ConfigurationError
from dspex.evaluation import evaluator
from dspex.kernel import execution
from dspex.kernel.program import Program

if TYPE_CHECKING:
    from dspex.storage.database import Database
    from dspex.storage.programs import Version

P = ParamSpec("P")
T = TypeVar("T")
IN_MEMORY = ":memory:"
"""As a store: a search keeps nothing, and cannot be resumed."""
REFERENCE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(@[A-Za-z0-9_.-]+)?")
"""`route`, `route@production`, `route@3`, `route@3f2a`."""


def store_of(given: str | Path | None = None) -> str:
    """The store meant: `given`, else DSPEX_STORE, else `store` of dspex.toml, else `.dspex/dspex.db` beside that file.

    Without a dspex.toml, `.dspex/dspex.db` in the working directory.
    """
    named = resolve().settings.store if given is None else str(given)
    if named is not None:
        return str(Path(named).expanduser()) if named.startswith("~") else named
    file = find_file()
    return str((Path() if file is None else file.parent) / ".dspex" / "dspex.db")


async def opened(given: str | Path | None = None, *, create: bool = False) -> Database:
    """The store, which must be there unless `create`. Raises ConfigurationError where there is none."""
    from dspex.storage.database import StorageError  # noqa: PLC0415 - programs run without a database
    from dspex.storage.opening import open_database  # noqa: PLC0415

    where = store_of(given)
    if where == IN_MEMORY:
        raise ConfigurationError(f"store {IN_MEMORY!r} keeps nothing; name a file or a PostgreSQL URL")
    try:
        return await open_database(where, create=create)
    except StorageError as error:
        raise ConfigurationError(str(error)) from error


async def stored_program(reference: str, store: str | Path | None = None) -> Program:
    """The program that a reference means: `route`, `route@production`, `route@3`, `route@3f2a`.

    Raises UnknownNameError with a suggestion, ConfigurationError where there is no store.
    """
    from dspex.storage import programs  # noqa: PLC0415 - programs run without a database

    if not REFERENCE.fullmatch(reference):
        raise ConfigurationError(
            f"program {reference!r}: a stored program is named as in 'route' or 'route@production'; for a file, "
            "dspex.load(path)"
        )
    database = await opened(store)
    try:
        return await database.read(lambda c: programs.read(c, programs.resolve(c, reference)))
    finally:
        await database.aclose()


async def current_performance(name: str, store: str | Path | None = None) -> Version | None:
    """The latest version of a stored program whose score a search confirmed, with its interval; None: there is none."""
    from dspex.storage import programs  # noqa: PLC0415 - programs run without a database

    database = await opened(store)
    try:
        return await database.read(lambda c: programs.current_performance(c, programs.resolve(c, name).program))
    finally:
        await database.aclose()


def named(
    verb: Callable[Concatenate[Program, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Program | str, P], Coroutine[Any, Any, T]]:
    """The verb for a program or the reference of a stored one, which is looked up in the project's store."""

    @wraps(verb)
    async def found(program: Program | str, /, *args: P.args, **kwargs: P.kwargs) -> T:
        if isinstance(program, str):
            program = await stored_program(program)
        return await verb(program, *args, **kwargs)

    return found


run = named(execution.execute)
evaluate = named(evaluator.evaluate)
