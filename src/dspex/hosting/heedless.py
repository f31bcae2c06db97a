"""Streams for what is said on the side: where it cannot be written, since its reader has gone, it is dropped.

A search is not to end, and no evaluation is to fail, because nobody reads what is said meanwhile.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, TextIO


class _Heedless(io.FileIO):
    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def heedless(stream: TextIO) -> TextIO:
    """The same stream, whose writing does not fail. One that is no file, as within a notebook, is left as it is."""
    try:
        raw = _Heedless(stream.fileno(), "wb", closefd=False)
    except (AttributeError, OSError):
        return stream
    lines, through = (bool(getattr(stream, name, False)) for name in ("line_buffering", "write_through"))
    # As the interpreter makes its own: without a buffer where it was told to have none.
    buffer: Any = raw if through else io.BufferedWriter(raw)
    return io.TextIOWrapper(buffer, stream.encoding, stream.errors, line_buffering=lines, write_through=through)


@contextmanager
def saying_aside() -> Generator[None]:
    """While inside, neither stdout nor stderr fails: user code may print. Not for results, which somebody waits for."""
    before = sys.stdout, sys.stderr
    sys.stdout.flush()
    sys.stdout, sys.stderr = inside = heedless(sys.stdout), heedless(sys.stderr)
    try:
        yield
    finally:
        for stream in inside:
            stream.flush()
        sys.stdout, sys.stderr = before
