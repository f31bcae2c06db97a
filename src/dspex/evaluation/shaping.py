"""From a row as it was found to an example: fields renamed, texts converted, values made JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from dspex.errors import DataError, UnknownNameError
from dspex.evaluation.files import Row
from dspex.kernel.signature import Example


class Shaping:
    """Renames and converts the fields of rows, and remembers which names it has met."""

    def __init__(self, rename: Mapping[str, str], types: Mapping[str, type], where: str) -> None:
        self.rename, self.where = rename, where
        self.converters = {name: _converter(name, kind) for name, kind in types.items()}
        self.unmet = {*rename} | {*types}
        self.known: dict[str, None] = {}

    def example(self, place: str, row: Row) -> Example:
        if isinstance(row, Example) and not (self.rename or self.converters):
            return row
        values: Mapping[Any, Any] = row.values if isinstance(row, Example) else row
        if self.unmet:
            self.unmet -= values.keys() | {self.rename.get(name, name) for name in values}
            self.known.update(dict.fromkeys(str(name) for name in values))
        if self.rename or self.converters:
            values = self._shaped(place, values)
        try:
            return Example.of(values)
        except DataError as error:
            raise DataError(f"{place}: {error}") from error

    def finish(self, sample: Example) -> None:
        """Raises UnknownNameError for names in `rename` or `types` that no row has."""
        if self.unmet:
            raise UnknownNameError("field", sorted(self.unmet)[0], self.known or sample.values, self.where)

    def _shaped(self, place: str, values: Mapping[Any, Any]) -> dict[Any, Any]:
        shaped: dict[Any, Any] = {}
        for name, value in values.items():
            name = self.rename.get(name, name)
            if name in shaped:
                raise DataError(f"{place}: after renaming there are two fields {name!r}")
            if name in self.converters and isinstance(value, str):
                try:
                    value = self.converters[name](value)
                except ValueError as error:
                    raise DataError(f"{place}: field {name!r} is {value!r}: {error}") from error
            shaped[name] = value
        return shaped


def _converter(field: str, kind: type) -> Callable[[str], Any]:
    found = _CONVERTERS.get(kind)
    if found is None:
        known = ", ".join(item.__name__ for item in _CONVERTERS)
        raise DataError(f"types: field {field!r} is to be {kind!r}; a text converts to {known}")
    return found


def _truth(text: str) -> bool:
    word = text.strip().casefold()
    if word in ("true", "yes", "1"):
        return True
    if word in ("false", "no", "0"):
        return False
    raise ValueError("not true or false")


def _json_of(kind: type) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        value: object = json.loads(text)
        if not isinstance(value, kind):
            raise ValueError(f"not a {kind.__name__}")
        return value

    return convert


def _optional(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    """An empty cell is a missing value, not a bad one."""
    return lambda text: convert(text) if text.strip() else None


_CONVERTERS: Mapping[type, Callable[[str], Any]] = {
    int: _optional(int),
    float: _optional(float),
    bool: _optional(_truth),
    str: str,
    list: _optional(_json_of(list)),
    dict: _optional(_json_of(dict)),
}
