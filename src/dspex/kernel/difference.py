"""What differs between two programs, path by path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dspex.kernel.canonical import identity
from dspex.kernel.ports import JSON
from dspex.kernel.program import Program, Step
from dspex.kernel.variables import Variable, written

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
        elif identity(old) != identity(new):
            found.append(Change(path, "changed", old, new))
    found.extend(_order(before, after))
    return tuple(found)


def _facts(program: Program) -> Iterator[tuple[str, JSON]]:
    """Everything the content hash speaks of, by path: equal facts, equal hashes."""
    values = program.values
    for path, step in program.walk():
        yield f"{path}:module", step.module
        yield from _signature_facts(path, step)
        for key, value in step.options.items():
            where = f"{path}.{key}"
            if isinstance(value, Variable):
                if where in values:
                    unset = key == "instructions" and values[where] is None  # then the signature's own are in force
                    yield where, step.signature.instructions if unset else values[where]
                yield f"{where}:variable", written(value)
            else:
                yield where, value
    for text in program.constraints:
        yield f"constraint {text}", True


def _order(before: Program, after: Program) -> Iterator[Change]:
    """Changes of order alone: of the steps, and of the fields of a signature."""
    left, right = dict(_sequences(before)), dict(_sequences(after))
    for path in sorted(left.keys() & right.keys()):
        if left[path] != right[path] and sorted(left[path]) == sorted(right[path]):
            yield Change(path, "changed", left[path], right[path])


def _sequences(program: Program) -> Iterator[tuple[str, list[str]]]:
    yield "pipeline:order", [path for path, _ in program.walk()]
    for path, step in program.walk():
        yield f"{path}:input order", [item.name for item in step.signature.inputs]
        yield f"{path}:output order", [item.name for item in step.signature.outputs]


def _signature_facts(path: str, step: Step) -> Iterator[tuple[str, JSON]]:
    yield f"{path}:signature", step.signature.name
    yield f"{path}:instructions", step.signature.instructions
    for side, fields in (("input", step.signature.inputs), ("output", step.signature.outputs)):
        for item in fields:
            yield f"{path}:{side}.{item.name}", item.model_dump(mode="json")
