"""What differs between two programs, path by path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dspex.kernel.canonical import canonical
from dspex.kernel.ports import JSON
from dspex.kernel.program import Program, Step, written

_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Change:
    """One path whose value differs. `kind` is `added`, `removed` or `changed`; the absent side is None."""

    path: str
    kind: str
    before: JSON
    after: JSON


def differences(before: Program, after: Program) -> tuple[Change, ...]:
    """Every path that differs: values of active variables, options, modules, signatures, steps and constraints."""
    left, right = dict(_facts(before)), dict(_facts(after))
    found: list[Change] = []
    for path in dict.fromkeys([*left, *right]):
        old, new = left.get(path, _ABSENT), right.get(path, _ABSENT)
        if old is _ABSENT:
            found.append(Change(path, "added", None, new))
        elif new is _ABSENT:
            found.append(Change(path, "removed", old, None))
        elif canonical(old) != canonical(new):
            found.append(Change(path, "changed", old, new))
    return tuple(found)


def _facts(program: Program) -> Iterator[tuple[str, JSON]]:
    values = program.values
    for path, step in program.walk():
        if not _active(program, path):
            continue
        yield f"{path}:module", step.module
        yield from _signature_facts(path, step)
        for key, value in step.options.items():
            where = f"{path}.{key}"
            yield where, values[where] if where in values else written(value)
    for text in program.constraints:
        yield f"constraint {text}", True


def _active(program: Program, path: str) -> bool:
    """Whether no chooser above `path` has chosen another sub-step."""
    names = path.split(".")
    steps: tuple[Step, ...] = program.pipeline
    for depth, name in enumerate(names[:-1], start=1):
        step = next(item for item in steps if item.name == name)
        if (chooser := step.chooser) and program.values.get(".".join([*names[:depth], chooser])) != names[depth]:
            return False
        steps = step.steps
    return True


def _signature_facts(path: str, step: Step) -> Iterator[tuple[str, JSON]]:
    yield f"{path}:instructions", step.signature.instructions
    for side, fields in (("input", step.signature.inputs), ("output", step.signature.outputs)):
        for item in fields:
            yield f"{path}:{side}.{item.name}", item.model_dump(mode="json")
