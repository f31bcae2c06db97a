"""A group of commands about one noun: `dspex runs ...`. Called alone it prints its help."""

from __future__ import annotations

import typer


def noun(about: str) -> typer.Typer:
    """An empty group; `about` is its help."""
    group = typer.Typer(rich_markup_mode=None, add_completion=False, help=about)

    @group.callback(invoke_without_command=True)
    def alone(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            typer.echo(context.get_help())

    alone.__doc__ = about
    return group
