"""Data files as rows, each with its place in the file, read lazily: JSONL, JSON, CSV, TSV, Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from dspex.errors import DataError, suggestion
from dspex.kernel.signature import Example

Row = Mapping[Any, Any] | Example
_LONGEST_CELL = 1 << 30


def read_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """(place, row) of every row of a file; the ending of its name says what it is. Raises DataError naming the line."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"{path}: a data file ends in {', '.join(_READERS)}; this one ends in {path.suffix or 'nothing'!r}"
        )
    if path.is_dir():
        raise DataError(f"{path}: this is a folder; name a file in it")
    if not path.exists():
        near = suggestion(path.name, _neighbours(path))
        raise DataError(f"{path}: there is no such file{near}")
    try:
        yield from reader(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def _jsonl(path: Path) -> Iterator[tuple[str, Row]]:
    for number, line in _lines(path):
        if line.strip():
            place = f"{path}:{number}"
            yield place, _object(_json(line, place), place)


def _json_array(path: Path) -> Iterator[tuple[str, Row]]:
    text = "".join(line for _, line in _lines(path))
    if not text.strip():
        return
    whole: object = _json(text, str(path))
    if not isinstance(whole, list):
        kind = "object" if isinstance(whole, dict) else type(whole).__name__
        raise DataError(f"{path}: holds a JSON {kind}; rows are an array of objects: [{{...}}, {{...}}]")
    for number, item in enumerate(cast("Sequence[object]", whole), start=1):
        place = f"{path}, item {number}"
        yield place, _object(item, place)


def _csv(path: Path) -> Iterator[tuple[str, Row]]:
    before = csv.field_size_limit(_LONGEST_CELL)
    number = 1
    try:
        reader = csv.reader((line for _, line in _lines(path)), delimiter=_delimiter(path), strict=True)
        header = next(reader, None)
        if header is None:
            return
        _check_header(header, path)
        number = reader.line_num + 1
        for cells in reader:
            if cells:
                if len(cells) != len(header):
                    raise DataError(
                        f"{path}:{number}: {len(cells)} cells in a row of a table with {len(header)} columns"
                    )
                yield f"{path}:{number}", dict(zip(header, cells, strict=True))
            number = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}:{number}: not a row of a table: {error}") from error
    finally:
        csv.field_size_limit(before)


def _parquet(path: Path) -> Iterator[tuple[str, Row]]:
    try:
        parquet: Any = import_module("pyarrow.parquet")
    except ImportError as error:
        raise DataError(
            f"{path}: reading Parquet needs pyarrow; install the extra: pip install 'dspex[parquet]'"
        ) from error
    try:
        with parquet.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}, row {number}", row
    except OSError:
        raise
    except import_module("pyarrow").ArrowException as error:
        raise DataError(f"{path}: not a Parquet file, or a damaged one: {error}") from error


_READERS: Mapping[str, Callable[[Path], Iterator[tuple[str, Row]]]] = {
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".json": _json_array,
    ".csv": _csv,
    ".tsv": _csv,
    ".parquet": _parquet,
}


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines as text, split at line feeds alone, so that a number is the one an editor shows."""
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            try:
                yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{path}:{number}: not UTF-8 text (byte {raw[error.start]:#04x} at column {error.start + 1}); "
                    "save the file as UTF-8"
                ) from error


def _json(text: str, place: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refused)
    except json.JSONDecodeError as error:
        line = f":{error.lineno}" if "\n" in text.strip() else ""
        raise DataError(f"{place}{line}: not JSON: {error.msg} at column {error.colno}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: not JSON: {error}") from error


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _object(value: object, place: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{place}: a row is a JSON object of field to value, not {json.dumps(value):.60}")
    return cast("Mapping[str, Any]", value)


def _delimiter(path: Path) -> str:
    if path.suffix.lower() == ".tsv":
        return "\t"
    head = next((line for _, line in _lines(path)), "")
    return "," if "," in head else next((item for item in (";", "\t") if item in head), ",")


def _check_header(header: list[str], path: Path) -> None:
    if "" in (names := [name.strip() for name in header]):
        raise DataError(f"{path}:1: column {names.index('') + 1} has no name; the first line names the fields")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"{path}:1: two columns are named {twice!r}")
    header[:] = names


def _neighbours(path: Path) -> list[str]:
    try:
        return [item.name for item in path.parent.iterdir() if item.suffix.lower() in _READERS]
    except OSError:
        return []
