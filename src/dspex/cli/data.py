"""Data files as examples for a program: a table of texts is read by the types of the program's fields."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dspex.evaluation.dataset import Dataset
from dspex.kernel.program import Program

_TEXTS = (".csv", ".tsv")
_TYPES: Mapping[str, type] = {"integer": int, "number": float, "boolean": bool, "array": list, "object": dict}


def examples(path: Path, program: Program) -> Dataset:
    """The rows of `path`. CSV and TSV know texts alone, so their cells are converted to what the program's fields are.

    Raises DataError naming the file and the line.
    """
    found = Dataset.load(path)
    if path.suffix.lower() not in _TEXTS:
        return found
    wanted = {item.name: _type(item.type) for item in (*program.inputs, *program.outputs) if item.name in found.fields}
    types = {name: kind for name, kind in wanted.items() if kind is not None}
    return Dataset.load(path, types=types) if types else found


def _type(schema: Mapping[str, Any]) -> type | None:
    """What a text becomes for a field; None: it stays a text."""
    parts = [part for part in schema.get("anyOf", [schema]) if part.get("type") != "null"]
    if len(parts) != 1:
        return None
    values = parts[0].get("enum")
    if values and all(type(item) is int for item in values):
        return int
    return _TYPES.get(str(parts[0].get("type")))
