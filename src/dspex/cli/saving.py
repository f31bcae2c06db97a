"""Files that a command writes where it was told to."""

from __future__ import annotations

import itertools
from contextlib import suppress
from pathlib import Path

from dspex.errors import ConfigurationError


def refuse_existing(out: Path, force: bool) -> None:
    """Raises ConfigurationError for a file that is there, unless it may be overwritten."""
    if out.exists() and not force:
        raise ConfigurationError(f"--out {out}: this file is there already; name another, or give --force")


def claimed(source: Path) -> Path:
    """A free name beside a program's file, which is an empty file from here on: no other command takes it meanwhile."""
    for number in itertools.count(1):
        found = source.with_name(f"{source.stem}-optimized{'' if number == 1 else f'-{number}'}{source.suffix}")
        with suppress(FileExistsError):
            found.touch(exist_ok=False)
            return found
    raise AssertionError("unreachable")


def write(out: Path, text: str) -> None:
    """As a program is written: the folder need not be there."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
