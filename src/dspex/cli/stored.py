"""`dspex programs`: programs in the store, by name, with their versions and labels."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import Connection, select

from dspex.cli import programs as files
from dspex.cli.nouns import noun
from dspex.cli.options import Json, Model, Store
from dspex.cli.output import columns, emit, say, shortened
from dspex.cli.running import run as run_program
from dspex.cli.saving import refuse_existing
from dspex.cli.storing import reading, writing
from dspex.cli.watching import when
from dspex.configuration.files import load, save
from dspex.errors import ConfigurationError
from dspex.kernel.program import Program
from dspex.optimization.counting import counted
from dspex.storage import programs
from dspex.storage.executions import Execution, listed
from dspex.storage.programs import Version
from dspex.storage.tables import runs

app = noun("Programs in the store, by name.")
Reference = Annotated[str, typer.Argument(metavar="PROGRAM", help="name, name@label, name@3 or name@3f2a.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A stored program's name.")]
Label = Annotated[str, typer.Option("--label", metavar="LABEL", help="Which label.")]
Expected = Annotated[
    str | None,
    typer.Option(
        "--if-at", metavar="VERSION", help="Only if the label is at this version now; 0: at none.", show_default=False
    ),
]


@app.command()
def create(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A program file.")],
    name: Annotated[str | None, typer.Option("--name", help="Under another name.", show_default=False)] = None,
    message: Annotated[str, typer.Option("--note", help="What is said of this version.", show_default=False)] = "",
    store: Store = None,
    json: Json = False,
) -> None:
    """Store a program, as a new version where the name is known; what the newest has already is no new version."""
    found = load(file)
    made = writing(store, lambda c: programs.add(c, found, name, note=message), create=True)
    if json:
        emit(_facts(made))
    else:
        say(f"{made.program}@{made.number}  {made.hash[:12]}")


@app.command("list")
def list_programs(store: Store = None, json: Json = False) -> None:
    """List stored programs with their newest version."""
    found = reading(store, programs.listed)
    if json:
        emit({"programs": [_facts(item) for item in found]})
    elif not found:
        say("no programs are stored; dspex programs create FILE")
    else:
        _table(found)


@app.command()
def show(program: Reference, store: Store = None, json: Json = False) -> None:
    """Show a stored program: steps, derived space, current performance, and the runs that started from it."""

    def work(connection: Connection) -> tuple[Version, Any, Version | None, Sequence[Any]]:
        version = programs.resolve(connection, program)
        query = select(runs.c.id, runs.c.state, runs.c.program, runs.c.created).order_by(runs.c.created.desc())
        mine = [row for row in connection.execute(query) if (row.program or "").partition("@")[0] == version.program]
        performance = programs.current_performance(connection, version.program)
        return version, programs.read(connection, version), performance, mine

    version, found, performance, mine = reading(store, work)
    if json:
        emit({
            **files.facts(found, f"{version.program}@{version.number}"),
            "version": _facts(version),
            "current_performance": None if performance is None else _facts(performance),
            "runs": [{"id": row.id, "state": row.state, "program": row.program} for row in mine],
        })  # fmt: skip
        return
    files.describe(found, f"{version.program}@{version.number}")
    say(f"\ncurrent performance: {_score(performance)}")
    if mine:
        say(f"runs ({len(mine)}):")
        say(columns([(row.id, row.state, when(row.created)) for row in mine[:10]]))


@app.command()
def run(
    program: Reference,
    inputs: Annotated[
        list[str], typer.Option("--input", "-i", metavar="NAME=VALUE", help="One input.", show_default=False)
    ] = [],  # noqa: B006 - typer copies it
    json_input: Annotated[
        str | None,
        typer.Option("--json-input", metavar="OBJECT", help="All inputs as JSON; - reads stdin.", show_default=False),
    ] = None,
    model: Model = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """Run a stored program once: the same as `dspex run NAME`."""
    reading(store, lambda c: programs.resolve(c, program))
    run_program(Path(program), inputs, json_input, model=model, store=store, json=json)


@app.command()
def executions(
    program: Name,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, newest first.")] = 20,
    store: Store = None,
    json: Json = False,
) -> None:
    """List what a stored program was run on, newest first."""

    def work(connection: Connection) -> tuple[str, list[Execution]]:
        name = programs.resolve(connection, program.partition("@")[0]).program
        return name, listed(connection, name, limit)

    name, found = reading(store, work)
    if json:
        emit({"program": name, "executions": [asdict(item) for item in found]})
    elif not found:
        say(f"{name} has not been run by its name; dspex run {name}")
    else:
        table = [("when", "version", "calls", "seconds", "inputs", "outputs")]
        for item in found:
            outcome = item.outcome
            gave = outcome.error or jsonlib.dumps(outcome.outputs, ensure_ascii=False)
            took = (str(outcome.usage.calls), f"{outcome.seconds:.2f}")
            asked = jsonlib.dumps(outcome.inputs, ensure_ascii=False)
            table.append((when(item.created), str(item.version), *took, shortened(asked, 40), shortened(gave, 40)))
        say(columns(table))


@app.command()
def diff(before: Reference, after: Reference, store: Store = None, json: Json = False) -> None:
    """Show what differs between two stored versions, path by path."""
    old, new = (reading(store, partial(_read, reference=name)) for name in (before, after))
    files.tell_difference((before, old), (after, new), json)


def _read(connection: Connection, reference: str) -> Program:
    return programs.read(connection, programs.resolve(connection, reference))


@app.command()
def history(program: Name, store: Store = None, json: Json = False) -> None:
    """List every version of a program, newest first."""
    name = program.partition("@")[0]

    def work(connection: Connection) -> list[Version]:
        return programs.history(connection, programs.resolve(connection, name).program)

    found = reading(store, work)
    if json:
        emit({"program": name, "versions": [_facts(item) for item in found]})
    else:
        _table(found)


@app.command()
def promote(
    program: Reference, label: Label = "production", if_at: Expected = None, store: Store = None, json: Json = False
) -> None:
    """Point a label at a version: dspex programs promote route@3 --label production."""

    def work(connection: Connection) -> tuple[Version, int | None]:
        version = programs.resolve(connection, program)
        had = programs.labelled(connection, version.program, label)
        programs.promote(connection, version, label, expected=_number(if_at))
        return version, had

    version, had = writing(store, work)
    _moved(version, label, had, json)


@app.command()
def rollback(
    program: Name,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="VERSION", help="Which version.", show_default="the one before the label's"),
    ] = None,
    label: Label = "production",
    if_at: Expected = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """Point a label at an earlier version. Nothing is deleted."""

    def work(connection: Connection) -> tuple[Version, int | None]:
        name = program.partition("@")[0]
        now = programs.labelled(connection, programs.resolve(connection, name).program, label)
        if now is None:
            raise ConfigurationError(f"{name} has no label {label!r}; dspex programs promote {name}@N --label {label}")
        earlier = [item for item in programs.history(connection, name) if item.number < now]
        if to is None and not earlier:
            raise ConfigurationError(f"{name}@{label} is version {now}, and there is none before it")
        target = programs.resolve(connection, f"{name}@{to}") if to is not None else earlier[0]
        programs.promote(connection, target, label, expected=_number(if_at))
        return target, now

    version, had = writing(store, work)
    _moved(version, label, had, json)


@app.command()
def delete(
    program: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Delete it, with every version.")] = False,
    store: Store = None,
    json: Json = False,
) -> None:
    """Delete a program with all its versions, labels and executions. Runs that started from it stay."""
    if not yes:
        count = len(reading(store, lambda c: programs.history(c, programs.resolve(c, program).program)))
        raise ConfigurationError(f"this deletes {program} with {counted(count, 'version')} for good; say so with --yes")
    count = writing(store, lambda c: programs.remove(c, program))
    if json:
        emit({"program": program, "deleted": count})
    else:
        say(f"deleted {program}: {counted(count, 'version')}")


@app.command()
def export(
    program: Reference,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Where to write it.", show_default="stdout")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    store: Store = None,
    json: Json = False,
) -> None:
    """Write a stored program to a file."""
    found = reading(store, lambda c: _read(c, program))
    if out is None:
        say(jsonlib.dumps(found.to_data(), ensure_ascii=False))
        return
    refuse_existing(out, force)
    save(found, out)
    if json:
        emit({"program": program, "hash": found.hash, "out": str(out)})
    else:
        say(f"wrote {out}")


def _number(text: str | None) -> int | None:
    """`--if-at` as `promote` takes it: -1 for no condition, None for no label."""
    if text is None:
        return -1
    if not text.isdigit():
        raise ConfigurationError(f"--if-at {text!r}: write a version's number, or 0 for no label")
    return int(text) or None


def _moved(version: Version, label: str, had: int | None, json: bool) -> None:
    if json:
        emit({"program": version.program, "label": label, "version": version.number, "was": had})
    else:
        before = "" if had is None else f" (was {had})"
        say(f"{version.program}@{label} is version {version.number}{before}")


def _facts(version: Version) -> dict[str, Any]:
    return {**asdict(version), "labels": list(version.labels)}


def _score(version: Version | None) -> str:
    if version is None or version.score is None:
        return "not measured by a search"
    return f"{version.score:.3f} ({version.score_low:.3f} to {version.score_high:.3f}), version {version.number}"


def _table(found: Sequence[Version]) -> None:
    table = [("program", "version", "labels", "hash", "score", "stored", "note")]
    for item in found:
        score = "-" if item.score is None else f"{item.score:.3f}"
        number, labels = str(item.number), ", ".join(item.labels)
        table.append((item.program, number, labels, item.hash[:12], score, when(item.created), item.note))
    say(columns(table))
