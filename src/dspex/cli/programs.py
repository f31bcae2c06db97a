"""Looking at programs: `dspex show` and `dspex diff`. Neither needs a model, a key or the modules installed."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated, Any

import typer

from dspex.cli import description
from dspex.cli.options import Json, Program
from dspex.cli.output import columns, emit, marked, paint, say
from dspex.cli.project import Project
from dspex.kernel.difference import differences
from dspex.kernel.file_schema import program_json_schema
from dspex.kernel.program import Program as ProgramData
from dspex.kernel.program import Step
from dspex.optimization.counting import counted
from dspex.optimization.reports.changes import described


def show(
    program: Program = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of program files and stop.")] = False,
    json: Json = False,
) -> None:
    """Show a program: what it takes and gives, its steps, the space derived from them, its content hash."""
    if schema:
        say(jsonlib.dumps(program_json_schema(), indent=None if json else 2, ensure_ascii=False))
        return
    project = Project.here()
    place = project.place(program)
    found = project.program(program)
    if json:
        emit(facts(found, place))
    else:
        describe(found, place)


def facts(program: ProgramData, place: str) -> dict[str, Any]:
    """A program as JSON, with the space derived from it."""
    values = program.values
    variables = [
        {
            "path": item.path,
            "kind": getattr(item.variable, "kind", ""),
            "domain": description.domain(item.variable),
            "value": values.get(item.path),
            "active": item.path in values,
        }
        for item in program.space
    ]
    size = program.space.size()
    return {
        "name": program.name,
        "description": program.description,
        "file": place,
        "hash": program.hash,
        "inputs": [item.model_dump(mode="json") for item in program.inputs],
        "outputs": [item.model_dump(mode="json") for item in program.outputs],
        "variables": variables,
        "configurations": size if size != float("inf") else None,
        "constraints": list(program.constraints),
        "program": program.to_data(),
    }


def describe(program: ProgramData, place: str) -> None:
    """A program for people."""
    say(f"{paint(program.name, 'bold')}  {place}  {paint(program.hash[:12], 'dim')}")
    if program.description:
        say(f"  {program.description}")
    say(f"  takes  {description.fields(program.inputs)}")
    say(f"  gives  {description.fields(program.outputs)}")
    say("\nsteps")
    for step_path, step in program.walk():
        say(_step(step_path, step))
    values = program.values
    rows = [
        (item.path, description.domain(item.variable), description.value(values.get(item.path)))
        for item in program.space
        if item.path in values
    ]
    hidden = len(program.space) - len(rows)
    say(f"\nvariables: {len(program.space)}, {description.size(program.space.size())}")
    if rows:
        say(columns([("path", "may be", "is"), *rows]))
    if hidden:
        say(f"  {counted(hidden, 'more is', 'more are')} inactive: they belong to steps that are not chosen")
    for text in program.constraints:
        say(f"  constraint: {text}")


def _step(path: str, step: Step) -> str:
    signature = step.signature
    takes = ", ".join(item.name for item in signature.inputs)
    gives = ", ".join(item.name for item in signature.outputs)
    indent = "  " * (path.count(".") + 1)
    return f"{indent}{path.rsplit('.', 1)[-1]}: {step.module} ({takes} -> {gives})"


def diff(
    before: Annotated[Path, typer.Argument(metavar="BEFORE", help="A program file.")],
    after: Annotated[Path, typer.Argument(metavar="AFTER", help="A program file.")],
    json: Json = False,
) -> None:
    """Show what differs between two programs, path by path; texts word by word."""
    project = Project.here()
    tell_difference((str(before), project.program(before)), (str(after), project.program(after)), json)


def tell_difference(before: tuple[str, ProgramData], after: tuple[str, ProgramData], json: bool) -> None:
    """What differs between two programs, each with where it came from."""
    (old_place, old), (new_place, new) = before, after
    changes = differences(old, new)
    if json:
        emit({
            "before": {"file": old_place, "hash": old.hash},
            "after": {"file": new_place, "hash": new.hash},
            "changes": [
                {"path": item.path, "kind": item.kind, "before": item.before, "after": item.after} for item in changes
            ],
        })  # fmt: skip
        return
    if not changes:
        say("The programs do the same." if old.hash == new.hash else "No path differs.")
    for change in changes:
        say(marked(described(change)))
