"""`dspex db`: the store itself."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from dspex.blocking import wait
from dspex.cli.exits import GATE
from dspex.cli.nouns import noun
from dspex.cli.options import Calls, Json, Store, Tokens, Usd
from dspex.cli.output import emit, say
from dspex.cli.storing import reading, store_named, writing
from dspex.clients.budget import Budget
from dspex.clients.budget_shares import Sums, limited
from dspex.hosting.stores import opened
from dspex.optimization.counting import counted
from dspex.storage import upkeep
from dspex.storage.budgets import Standing, share_budget, standing
from dspex.storage.database import DamagedError, Location
from dspex.storage.tables import SCHEMA_VERSION

app = noun("The store that runs and programs are in.")


@app.command()
def upgrade(store: Store = None, json: Json = False) -> None:
    """Bring the store to the schema of this DSPEx, or make it. Opening a store does so too."""
    location = _location(store, create=True)
    if json:
        emit({"store": location.url, "schema": SCHEMA_VERSION})
    else:
        say(f"{location.url}: schema {SCHEMA_VERSION}, up to date")


@app.command()
def check(store: Store = None, json: Json = False) -> None:
    """Read the whole store and say whether it is sound; exit code 1 where it is not."""
    try:
        found = reading(store, upkeep.check)
    except DamagedError as error:
        found = upkeep.Health(0, (str(error),), {})
    if json:
        emit({"schema": found.schema or None, "problems": list(found.problems), "rows": found.rows})
    else:
        for problem in found.problems:
            say(problem)
        held = ", ".join(f"{name} {number:,}" for name, number in found.rows.items() if number and name != "store")
        what = f"schema {found.schema}; {held or 'empty'}" if found.schema else "it cannot be read"
        say(f"{'sound' if not found.problems else 'NOT sound'}: {what}")
    if found.problems:
        raise typer.Exit(GATE)


@app.command()
def backup(
    to: Annotated[Path, typer.Argument(metavar="FILE", help="Where the copy goes.")],
    store: Store = None,
    json: Json = False,
) -> None:
    """Copy an embedded store to a file, also while runs write to it."""
    size = upkeep.backup(_location(store), to)
    if json:
        emit({"file": str(to), "bytes": size})
    else:
        say(f"wrote {to}, {counted(size, 'byte')}; name it with --store to look into it")


@app.command()
def vacuum(store: Store = None, json: Json = False) -> None:
    """Give the unused space of an embedded store back."""
    before, after = upkeep.vacuum(_location(store))
    if json:
        emit({"before": before, "after": after})
    else:
        say(f"{before:,} -> {after:,} bytes")


@app.command()
def budget(
    calls: Calls = None,
    usd: Usd = None,
    tokens: Tokens = None,
    none: Annotated[bool, typer.Option("--none", help="Let each run spend what its own budget says.")] = False,
    store: Store = None,
    json: Json = False,
) -> None:
    """Show or set what all runs of the store may spend together, from its first call on; also while runs go on."""
    given = Budget(calls=calls, usd=usd, tokens=tokens)
    if none and given != Budget():
        raise typer.BadParameter("--none takes the budget away: give it alone")
    if none or given != Budget():
        writing(store, partial(share_budget, budget=None if none else given), create=True)
    found = reading(store, standing)
    if json:
        emit({"shared_budget": None if found is None else _shared(found)})
    elif found is None:
        say("no shared budget: each run spends what its own budget says. Set one: dspex db budget --usd N")
    else:
        for unit in limited(found.budget):
            limit, gone, held = (getattr(item, unit) for item in (found.budget, found.spent, found.held))
            say(f"{unit}: {gone:,.6g} of {limit:,.6g} spent by {counted(found.runs, 'run')}, {held:,.6g} set aside")


def _shared(found: Standing) -> dict[str, Any]:
    parts = {"budget": found.budget.model_dump(exclude_none=True), "spent": found.spent, "held": found.held}
    return {
        **{name: asdict(part) if isinstance(part, Sums) else part for name, part in parts.items()},
        "runs": found.runs,
    }


def _location(store: str | None, *, create: bool = False) -> Location:
    async def look() -> Location:
        database = await opened(store_named(store), create=create)
        await database.aclose()
        return database.location

    return wait(look())
