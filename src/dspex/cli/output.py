"""What the command prints: results on stdout, everything else on stderr, colour only where it is wanted."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any, Protocol

from dspex.optimization.counting import counted

if TYPE_CHECKING:
    from dspex.kernel.ports import Usage


class _Stream(Protocol):
    def isatty(self) -> bool: ...


_COLOURS = {"red": "31", "green": "32", "yellow": "33", "blue": "34", "dim": "2", "bold": "1"}


def emit(data: Mapping[str, Any]) -> None:
    """One JSON object on stdout; NaN and infinities, which JSON cannot say, become null."""
    finite = json.loads(json.dumps(data), parse_constant=lambda _: None)
    sys.stdout.write(json.dumps(finite, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()


def emit_error(error: BaseException, text: str, code: int) -> None:
    """What ended a command, as its one JSON object."""
    emit({"error": {"kind": type(error).__name__, "message": text, "exit_code": code}})


def say(text: str = "") -> None:
    """A line of the result, on stdout."""
    sys.stdout.write(text + "\n")


def note(text: str = "", *, colour: str | None = None) -> None:
    """A line beside the result, on stderr."""
    sys.stdout.flush()
    sys.stderr.write((paint(text, colour, sys.stderr) if colour else text) + "\n")
    sys.stderr.flush()


def paint(text: str, colour: str, stream: _Stream | None = None) -> str:
    """`text` in a colour, where the stream is a terminal and nobody asked for none (https://no-color.org)."""
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if coloured(stream or sys.stdout) else text


def coloured(stream: _Stream) -> bool:
    """Whether colour is wanted on `stream`."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


_MARK = re.compile(r"\[-|-\]|\{\+|\+\}")
_CLOSING = ("-]", "+}")


def marked(text: str) -> str:
    """A word difference with its marks in colour, line by line: what is gone in red, what is new in green.

    The text may be cut anywhere: a mark that is not closed ends with it.
    """
    if not coloured(sys.stdout):
        return text
    colour, parts = "", list[str]()
    for piece in re.split(rf"({_MARK.pattern}|\n)", text):
        if piece in ("[-", "{+"):
            colour = "red" if piece == "[-" else "green"
        parts.append(paint(piece, colour) if colour and piece.strip() else piece)
        if piece in _CLOSING:
            colour = ""
    return "".join(parts)


def abridged(line: str, size: int) -> str:
    """A line of a word difference cut to `size` columns, with the marks that would be lost at the end of it.

    A change that begins or ends in what is cut off is still seen to begin or end there; one that lies wholly in it is
    not shown.
    """
    if len(line) <= size:
        return line
    at = size - len("...") - 4  # two marks have room
    if _MARK.fullmatch(line[at - 1 : at + 1]):
        at -= 1
    lost = _MARK.findall(line[at:])
    kept = [mark for mark in lost[:1] if mark in _CLOSING] + [mark for mark in lost[-1:] if mark not in _CLOSING]
    return line[:at] + "..." + "".join(kept)


def width() -> int:
    """Columns to write to: those of the terminal, between 60 and 120."""
    return min(max(get_terminal_size((100, 24)).columns, 60), 120)


def shortened(text: str, length: int) -> str:
    """`text` on one line of at most `length` characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: max(length - 3, 0)].rstrip() + "..."


def cut(line: str, size: int) -> str:
    """`line` cut to `size` columns of a terminal; colours take none, and are ended."""
    if _seen(line) <= size:
        return line
    kept, left = list[str](), size
    for part in re.split(r"(\x1b\[\d*m)", line):
        if part.startswith("\x1b"):
            kept.append(part)
        else:
            kept.append(part[:left])
            left -= len(kept[-1])
    return "".join(kept)


def columns(rows: Sequence[Sequence[str]], indent: str = "  ") -> str:
    """Rows as aligned columns; the last one is cut to the width of the terminal."""
    if not rows:
        return ""
    widths = [max(_seen(row[index]) for row in rows) for index in range(len(rows[0]) - 1)]
    left = len(indent) + sum(widths) + 2 * len(widths)
    lines: list[str] = []
    for row in rows:
        cells = [cell + " " * (size - _seen(cell)) for cell, size in zip(row, widths, strict=False)]
        lines.append((indent + "  ".join([*cells, shortened(row[-1], max(width() - left, 24))])).rstrip())
    return "\n".join(lines)


def _seen(cell: str) -> int:
    """Columns that a cell takes; colours take none."""
    return len(re.sub(r"\x1b\[\d*m", "", cell))


def dollars(usd: float | None) -> str:
    """An amount in words; an unknown price is unknown, not zero."""
    if usd is None:
        return "unknown price"
    if usd == 0:
        return "$0"
    return f"${usd:.4f}" if usd < 1 else f"${usd:.2f}"


def limits(budget: Mapping[str, float]) -> str:
    """The limits of a budget: `1 call, 2,000 tokens, $1.5, 60 s`."""
    return ", ".join(_limit(name, value) for name, value in budget.items())


def _limit(name: str, value: float) -> str:
    if name == "usd":
        return f"${value:,.10g}"
    return f"{value:,.10g} s" if name == "seconds" else counted(int(value), name.removesuffix("s"))


def points(share: float) -> str:
    """A share as percentage points, `61.3`."""
    return f"{100 * share:.1f}"


def spent(usage: Usage, seconds: float) -> str:
    """What calls consumed, on one line."""
    parts = [counted(usage.calls, "call")]
    if usage.cached_calls:
        parts.append(f"{usage.cached_calls:,} answered from memory")
    if usage.retries:
        parts.append(counted(usage.retries, "retry", "retries"))
    parts.append(f"{usage.input_tokens + usage.output_tokens:,} tokens")
    return ", ".join([*parts, dollars(usage.usd), f"{seconds:.1f} s"])
