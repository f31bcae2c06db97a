"""Files that a command writes where it was told to."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from dspex.configuration.files import save
from dspex.errors import ConfigurationError
from dspex.kernel.program import Program


def refuse_existing(out: Path, force: bool) -> None:
    """Raises ConfigurationError for a file that is there, unless it may be overwritten."""
    if out.exists() and not force:
        raise ConfigurationError(f"--out {out}: this file is there already; name another, or give --force")


def claimed(source: Path) -> Path:
    """A free name beside a program's file, which is an empty file from here on: no other command takes it meanwhile."""
    number = 1
    while True:
        found = source.with_name(f"{source.stem}-optimized{'' if number == 1 else f'-{number}'}{source.suffix}")
        with suppress(FileExistsError):
            found.touch(exist_ok=False)
            return found
        number += 1


def save_beside(program: Program, source: Path) -> Path:
    """Save under such a name; where that fails, the name is free again."""
    place = claimed(source)
    try:
        return save(program, place)
    except BaseException:
        place.unlink(missing_ok=True)
        raise


def write(out: Path, text: str) -> None:
    """As a program is written: the folder need not be there."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
