"""Which store is meant, and programs by reference out of it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Coroutine, Mapping
from functools import wraps
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from dspex.configuration.settings import find_file, resolve
from dspex.errors import ConfigurationError
from dspex.evaluation import evaluator
from dspex.kernel import execution
from dspex.kernel.ports import Runtime
from dspex.kernel.program import Program
from dspex.kernel.state import State, StepError

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
    from dspex.storage.database import DamagedError, StorageError  # noqa: PLC0415 - programs run without a database
    from dspex.storage.opening import open_database  # noqa: PLC0415

    where = store_of(given)
    if where == IN_MEMORY:
        raise ConfigurationError(f"store {IN_MEMORY!r} keeps nothing; name a file or a PostgreSQL URL")
    try:
        return await open_database(where, create=create)
    except DamagedError:
        raise
    except StorageError as error:
        raise ConfigurationError(str(error)) from error


async def stored_program(reference: str, store: str | Path | None = None) -> Program:
    """The program that a reference means: `route`, `route@production`, `route@3`, `route@3f2a`.

    Raises UnknownNameError with a suggestion, ConfigurationError where there is no store.
    """
    from dspex.storage import programs  # noqa: PLC0415 - programs run without a database

    name = _checked(reference)
    database = await opened(store)
    try:
        return await database.read(lambda c: programs.read(c, programs.resolve(c, name)))
    finally:
        await database.aclose()


def _checked(reference: str) -> str:
    if not REFERENCE.fullmatch(reference):
        raise ConfigurationError(
            f"program {reference!r}: a stored program is named as in 'route' or 'route@production'; for a file, "
            "dspex.load(path)"
        )
    return reference


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


async def run(
    program: Program | str,
    /,
    inputs: Mapping[str, Any],
    runtime: Runtime,
    *,
    overrides: Mapping[str, Any] | None = None,
    sample: int = 0,
    store: str | Path | None = None,
) -> State:
    """Run a program, or a stored one by its reference, once.

    `overrides` set flat paths for this run; `sample` is the index of the draw. The execution of a stored program is
    kept in its store, unless `executions = false` in dspex.toml. Raises InputError before the first step, StepError
    (with the state so far) from a step that fails, ConfigurationErrors from preparing, UnknownNameError.
    """
    if isinstance(program, Program):
        return await execution.execute(program, inputs, runtime, overrides=overrides, sample=sample)
    from dspex.storage import programs  # noqa: PLC0415 - programs run without a database

    database = await opened(store)
    try:
        version = await database.read(lambda c: programs.resolve(c, _checked(program)))
        found = await database.read(lambda c: programs.read(c, version))
        began = perf_counter()
        try:
            state = await execution.execute(found, inputs, runtime, overrides=overrides, sample=sample)
        except StepError as error:
            await _keep(database, version, error.state, perf_counter() - began, str(error))
            raise
        await _keep(database, version, state, perf_counter() - began)
        return state
    finally:
        await database.aclose()


async def _keep(database: Database, version: Version, state: State, seconds: float, error: str | None = None) -> None:
    """Write the execution down. An answer that is there is not lost because it could not be."""
    from dspex.storage import executions  # noqa: PLC0415 - programs run without a database
    from dspex.storage.database import StorageError  # noqa: PLC0415

    if not resolve().settings.executions:
        return
    outcome = executions.Outcome(state.inputs, state.values, state.usage, seconds, error)
    try:
        await database.write(lambda c: executions.add(c, version, outcome))
    except StorageError as failure:
        warnings.warn(f"the execution of {version.program} was not kept: {failure}", RuntimeWarning, stacklevel=2)


evaluate = named(evaluator.evaluate)
