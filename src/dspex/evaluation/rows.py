"""An assessment as a line of JSON and back, and the file of such lines that an evaluation writes."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from dspex.errors import ConfigurationError, DataError
from dspex.evaluation.assessment import Assessment
from dspex.kernel.ports import JSON, NO_USAGE, Usage
from dspex.kernel.state import Record

FORMAT = 1
_HEAD = b'{"dspex_evaluation":'
_BATCH = 256  # rows; a batch is written as one
_DELAY = 0.05  # seconds a row waits at most for others to be written with it
_CHUNK = 1 << 16
_RECORD_FIELDS = tuple(item.name for item in fields(Record))


class RowFile:
    """Rows as lines of a file: at a path of the user, or in a temporary file that goes when this does.

    The first line is the header. Rows are written in batches, at most 50 ms after they came, and a reader never sees
    half of one. For one event loop. Reading needs no loop and may happen at any time.
    """

    def __init__(self, path: Path | None, header: Mapping[str, JSON], *, fresh: bool = True) -> None:
        """Opens a new file, or (`fresh=False`) continues one. Raises ConfigurationError where a new one exists."""
        self.path = path
        self._fd = _opened(path, fresh)
        self._closed = weakref.finalize(self, os.close, self._fd)
        self._waiting: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._failure: OSError | None = None
        if fresh:
            self._write(to_json(header) + b"\n")

    def append(self, assessment: Assessment, *, traces: bool) -> None:
        """Take one more row. Raises OSError where an earlier batch could not be written."""
        if self._failure is not None:
            raise self._failure
        self._waiting.append(line_of(assessment, traces=traces))
        if len(self._waiting) >= _BATCH:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_DELAY, self._on_time)

    def flush(self) -> None:
        """Write what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            batch, self._waiting = b"".join(self._waiting), []
            self._write(batch)

    def rows(self) -> Iterator[Assessment]:
        """The rows so far, one at a time."""
        self.flush()
        where = str(self.path or "rows")
        for number, line in _complete_lines(self._fd):
            if number > 1:
                yield assessment_of(line, f"{where}:{number}")

    def _on_time(self) -> None:
        self._timer = None
        try:
            self.flush()
        except OSError as error:  # there is nobody to raise it to here; the next append raises it
            self._failure = error

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]


def holds_rows(path: Path) -> bool:
    """Whether there is anything to carry on with: false for no file, and for one killed before its first line."""
    try:
        with path.open("rb") as file:
            head = file.readline(_CHUNK)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    return head.endswith(b"\n") or not _HEAD.startswith(head[: len(_HEAD)])


def read_header(path: Path) -> dict[str, JSON]:
    """What a file of rows says about itself: program, metric, data. Raises DataError for a file that is none."""
    with _reading(path) as fd:
        first = next(_complete_lines(fd), (1, b""))[1]
    try:
        header: dict[str, JSON] = json.loads(first)
        version = header["dspex_evaluation"]
    except (ValueError, TypeError, KeyError):
        raise DataError(f"{path}:1: this is not a file of evaluation rows") from None
    if version != FORMAT:
        raise DataError(f"{path}:1: rows of format {version}; this DSPEx reads {FORMAT}")
    return header


def read_rows(path: Path) -> Iterator[Assessment]:
    """The rows of a file, one at a time; an unfinished last line is passed over."""
    with _reading(path) as fd:
        for number, line in _complete_lines(fd):
            if number > 1:
                yield assessment_of(line, f"{path}:{number}")


def keep_scored(path: Path) -> Iterator[Assessment]:
    """The scored rows of a file, which is rewritten to hold only those once all are read.

    The file is replaced whole or not at all; rows without a score and an unfinished last line go.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as kept, _reading(path) as fd:
            for number, line in _complete_lines(fd):
                row = assessment_of(line, f"{path}:{number}") if number > 1 else None
                if row is None or row.scored:
                    kept.write(line + b"\n")
                if row is not None and row.scored:
                    yield row
            kept.flush()
            os.fsync(kept.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def line_of(assessment: Assessment, *, traces: bool) -> bytes:
    """One line of JSON with its line feed; `traces` adds the history of steps and model calls."""
    row: dict[str, Any] = {
        "example": assessment.example,
        "sample": assessment.sample,
        "score": assessment.score,
        "feedback": assessment.feedback,
        "outputs": assessment.outputs,
        "error": assessment.error,
        "error_kind": assessment.error_kind,
        "usage": _usage_row(assessment.usage),
        "seconds": round(assessment.seconds, 6),
    }
    if assessment.details:
        row["details"] = assessment.details
    if traces:
        row["history"] = [{**_shallow(item), "usage": _usage_row(item.usage)} for item in assessment.history]
    try:
        return to_json(row) + b"\n"
    except PydanticSerializationError:  # half a surrogate pair in an answer: JSON has an escape for it, UTF-8 has not
        return json.dumps(row, default=dict).encode() + b"\n"


def assessment_of(line: bytes, where: str) -> Assessment:
    """The assessment in a line. Raises DataError."""
    try:
        row: dict[str, Any] = json.loads(line)
        usage = Usage(**row.pop("usage"))
        history = tuple(_record_of(item) for item in row.pop("history", ()))
        return Assessment(**row, usage=usage, history=history)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{where}: not a row of an evaluation: {error}") from error


def _usage_row(usage: Usage) -> dict[str, JSON]:
    if usage is NO_USAGE:
        return {}
    return {
        "calls": usage.calls,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "usd": usage.usd,
        "cached_calls": usage.cached_calls,
        "retries": usage.retries,
    }


def _shallow(record: Record) -> dict[str, Any]:
    return {name: getattr(record, name) for name in _RECORD_FIELDS}


def _record_of(item: dict[str, Any]) -> Record:
    tuples = {name: tuple(item[name]) for name in ("messages", "notes")}
    whole: dict[str, Any] = {**item, **tuples, "usage": Usage(**item["usage"])}
    return Record(**whole)


class _reading:  # noqa: N801 - reads as a verb where it is used
    """A descriptor of a file for reading, closed on the way out. Raises DataError where there is none."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> int:
        try:
            self.fd = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read: {error.strerror}") from error
        return self.fd

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)


def _opened(path: Path | None, fresh: bool) -> int:
    if path is None:
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())
    flags = os.O_RDWR | os.O_APPEND | (os.O_CREAT | os.O_EXCL if fresh else 0)
    try:
        if fresh:
            path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, flags, 0o644)
    except FileExistsError:
        raise ConfigurationError(
            f"{path} is there already, and rows that were paid for are not overwritten; "
            f"continue it with resume={str(path)!r}, or write to another file"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{path}: rows cannot be written there: {error.strerror}") from error


def _complete_lines(fd: int) -> Iterator[tuple[int, bytes]]:
    """Numbered lines up to the last line feed; what follows it was cut off while being written."""
    offset, number, rest = 0, 0, b""
    while chunk := os.pread(fd, _CHUNK, offset):
        offset += len(chunk)
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            number += 1
            yield number, line
