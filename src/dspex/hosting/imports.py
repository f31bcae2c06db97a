"""The code that a program names: which modules have to be imported before it can run, and importing them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from dspex.errors import ConfigurationError, UnknownNameError
from dspex.hosting.references import resolve
from dspex.hosting.specification import Reference
from dspex.kernel.program import Program
from dspex.kernel.step import Step
from dspex.modules import functions
from dspex.modules.registry import STANDARD, builtin_registry

_MAIN = "__main__"
_WHOLE = "__name__"
"""What a reference names that means a whole module."""


def imports_of(program: Program) -> tuple[Reference, ...]:
    """The modules that register the functions and modules of its steps, those of DSPEx left out."""
    found: dict[str, Reference] = {}
    for _, step in program.walk():
        for code in _code_of(step):
            module = sys.modules.get(code.__module__)
            if module is None or module.__name__ in found:
                continue
            file = getattr(module, "__file__", None)
            if module.__name__ == _MAIN and file:
                found[_MAIN] = Reference(name=_WHOLE, file=str(Path(file).resolve()))
            else:
                found[module.__name__] = Reference(name=_WHOLE, module=module.__name__)
    return tuple(found.values())


def program_code(imports: Iterable[Reference]) -> tuple[Reference, ...]:
    """Those of a run's imports that are modules of its program."""
    return tuple(item for item in imports if item.name == _WHOLE)


def imported(reference: Reference) -> None:
    """Import what `imports_of` found. Raises ConfigurationError saying what could not be found where."""
    found = resolve(reference, "the program's code")
    if reference.file is not None and reference.name == _WHOLE:
        functions.also_known(found, _MAIN)  # the program was made while the file ran as a script


def _code_of(step: Step) -> Iterator[Callable[..., Any]]:
    named = step.options.get("function")
    if isinstance(named, str):
        try:
            yield functions.resolve(named)
        except ConfigurationError:
            return  # whoever prepares the program says so
    if step.module not in STANDARD:
        try:
            yield builtin_registry().get(step.module).run
        except UnknownNameError:
            return
