"""Strategies of users, by name: by import path, or by the entry points of an installed package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from dspex.errors import ConfigurationError, UnknownNameError
from dspex.optimization.deciding import Proposer, Strategy

GROUP = "dspex.strategies"
"""The entry-point group; each entry names a class of a Strategy or a Proposer, or a function that makes one."""


def is_path(name: str) -> bool:
    """Whether a strategy is named by import path, `package.module:Name`."""
    return ":" in name


def installed() -> Sequence[str]:
    """Names that installed packages bring."""
    return sorted(entry.name for entry in entry_points(group=GROUP))


def factory_of(name: str) -> Callable[[], Any] | None:
    """What makes the strategy or proposer of that name; None where no such name is known.

    Raises ConfigurationError for an import path that leads nowhere. Only what the user has named is imported.
    """
    if is_path(name):
        return _imported(name)
    found = [entry for entry in entry_points(group=GROUP) if entry.name == name]
    return _callable(found[0].load(), name) if found else None


def made_by(name: str, factory: Callable[[], Any]) -> Strategy | Proposer:
    """A new one. Raises ConfigurationError where it is neither a strategy nor a proposer."""
    try:
        made: Any = factory()
    except TypeError as error:
        raise ConfigurationError(f"strategy {name!r} is made without arguments, and that failed: {error}") from error
    if isinstance(made, Strategy | Proposer):
        return made
    missing = [key for key in _STRATEGY if not hasattr(made, key)]
    raise ConfigurationError(
        f"strategy {name!r} is a {type(made).__name__}, neither a strategy (it lacks {', '.join(missing)}) nor a "
        "proposer (name, needs, propose)"
    )


_STRATEGY = ("name", "check", "next_round", "leader", "finalists")


def _imported(name: str) -> Callable[[], Any]:
    path, _, attribute = name.partition(":")
    try:
        module = import_module(path)
    except Exception as error:
        raise ConfigurationError(
            f"strategy {name!r}: {path} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    if not hasattr(module, attribute):
        raise UnknownNameError("name", attribute, [key for key in vars(module) if key[:1] != "_"], f"strategy {name!r}")
    return _callable(getattr(module, attribute), name)


def _callable(value: Any, name: str) -> Callable[[], Any]:
    if not callable(value):
        raise ConfigurationError(
            f"strategy {name!r} names a {type(value).__name__}; name a class, or a function that makes a strategy"
        )
    made: Callable[[], Any] = value
    return made
