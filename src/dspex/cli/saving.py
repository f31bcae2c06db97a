"""Files that a command writes where it was told to."""

from __future__ import annotations

from pathlib import Path

from dspex.errors import ConfigurationError


def refuse_existing(out: Path, force: bool) -> None:
    """Raises ConfigurationError for a file that is there, unless it may be overwritten."""
    if out.exists() and not force:
        raise ConfigurationError(f"--out {out}: this file is there already; name another, or give --force")


def write(out: Path, text: str) -> None:
    """As a program is written: the folder need not be there."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
