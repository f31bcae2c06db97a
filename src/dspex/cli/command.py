"""The command `dspex`: a table of commands, each imported only when it is called, and one way to fail."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from dspex.cli.exits import BROKEN, INTERRUPTED, OK, UNREAD, USAGE, code_of, message_of
from dspex.cli.output import emit_error, note
from dspex.hosting.heedless import heedless

PROG = "dspex"


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command lives, and what the overview says of it."""

    module: str
    function: str
    help: str


COMMANDS = {
    "demo": Entry("demonstration", "demo", "Watch a program get better, offline and without a key."),
    "init": Entry("beginning", "init", "Write a small working project to start from."),
    "run": Entry("running", "run", "Run a program once."),
    "eval": Entry("evaluating", "evaluate", "Measure a program on data; a gate for continuous integration."),
    "compare": Entry("comparing", "compare", "Compare two programs, or two files of rows, example by example."),
    "optimize": Entry("optimizing", "optimize", "Search for a better configuration of a program, within a budget."),
    "runs": Entry("runs", "app", "Look at durable runs, and steer them: pause, resume, stop, fork."),
    "programs": Entry("stored", "app", "Programs in the store: versions, labels, promotion, roll-back."),
    "db": Entry("databases", "app", "The store itself: upgrade, check, backup, vacuum, budget."),
    "show": Entry("programs", "show", "Show a program: its steps, its variables, its hash."),
    "diff": Entry("programs", "diff", "Show what differs between two programs."),
    "models": Entry("providers", "models", "List providers, whether their key is set, and prices."),
    "doctor": Entry("diagnosis", "doctor", "Check the installation, the configuration and the keys."),
    "config": Entry("origins", "config", "Show every setting, its value and where it came from."),
}


class _Lazy(TyperGroup):
    """Lists commands from the table, so that `--help` and completion import none of them."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, entry in COMMANDS.items():
            self.add_command(TyperCommand(name=name, help=entry.help), name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, found, rest = super().resolve_command(ctx, args)
        return name, found if name is None else _loaded(name), rest


def _loaded(name: str) -> TyperCommand | TyperGroup:
    entry = COMMANDS[name]
    function = getattr(import_module(f"dspex.cli.{entry.module}"), entry.function)
    if isinstance(function, typer.Typer):
        group = get_command(function)
        assert isinstance(group, TyperGroup)
        return group
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command(name)(function)
    command = get_command(single)
    assert isinstance(command, TyperCommand)
    return command


app = typer.Typer(
    cls=_Lazy,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with `dspex demo`, then `dspex init`. Exit codes: 0 ok, 1 a gate failed, 2 usage or configuration, "
    "3 provider or key, 4 budget, 130 interrupted.",
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"{PROG} {version('dspex')}")
        raise typer.Exit


@app.callback()
def overview(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error. May stand anywhere on the line.")
    ] = False,
) -> None:
    """Define, run, measure and improve language-model programs."""


def main(arguments: Sequence[str] | None = None) -> None:
    """What the shell calls. Ends the process with one of the exit codes of `dspex.cli.exits`."""
    sys.stderr = heedless(sys.stderr)
    sys.exit(invoke(sys.argv[1:] if arguments is None else arguments))


def invoke(arguments: Sequence[str]) -> int:
    """Run one command line; returns its exit code. Errors are one line on stderr, and with --json an object too."""
    given = [item for item in arguments if item != "--debug"]
    debug = len(given) < len(arguments)
    try:
        outcome = get_command(app).main(given or ["--help"], prog_name=PROG, standalone_mode=False)
        sys.stdout.flush()
    except BaseException as error:
        return _told(error, debug, "--json" in given)
    if outcome == INTERRUPTED:
        return _told(KeyboardInterrupt(), debug, "--json" in given)
    return outcome if isinstance(outcome, int) else OK


def _told(error: BaseException, debug: bool, json: bool) -> int:
    """Say what went wrong, unless the reader of the output has gone; returns the exit code."""
    try:
        if not (isinstance(error, BrokenPipeError) or isinstance(error.__context__, BrokenPipeError)):
            return _failed(error, debug, json)
    except BrokenPipeError:
        pass
    # There is nobody left to tell, and Python's own flush at exit must not fail.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return UNREAD


def _failed(error: BaseException, debug: bool, json: bool) -> int:
    """Say what went wrong; returns the exit code."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else USAGE
    code, text = code_of(error), message_of(error)
    if debug:
        note("".join(traceback.format_exception(error)).rstrip())
    note(f"{PROG}: {text}", colour="red")
    if code == BROKEN and not debug:
        note("This is a fault of DSPEx. Run the command again with --debug and report what it prints.")
    if json:
        emit_error(error, text, code)
    return code
