"""What changed between two programs, for people: texts word by word, demonstrations one by one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from textwrap import fill
from typing import Literal

from dspex.cli.description import value
from dspex.cli.output import counted, paint, shortened, width
from dspex.kernel.canonical import canonical, is_list, is_mapping
from dspex.kernel.difference import Change
from dspex.kernel.ports import JSON

Operation = Literal["same", "removed", "added"]
_PIECES = re.compile(r"\s+|[^\s]+")


def words(before: str, after: str) -> list[tuple[Operation, str]]:
    """The texts word by word: runs of what is the same, what was removed and what was added, in order."""
    old, new = _PIECES.findall(before), _PIECES.findall(after)
    runs: list[tuple[Operation, str]] = []
    for kind, i1, i2, j1, j2 in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            runs.append(("same", "".join(old[i1:i2])))
        else:
            runs.extend(("removed", part) for part in ["".join(old[i1:i2])] if part)
            runs.extend(("added", part) for part in ["".join(new[j1:j2])] if part)
    return runs


def text_of(change: Change, indent: str = "  ") -> str:
    """One change as lines."""
    return "\n".join([paint(change.path, "bold"), *(indent + line for line in _lines(change, len(indent)))])


def _lines(change: Change, indent: int) -> Iterator[str]:
    before, after = change.before, change.after
    if change.kind == "removed":
        yield _removed(value(before, 200))
    elif isinstance(after, str) and (isinstance(before, str) or before is None) and _long(before, after):
        yield from _worded(before or "", after, indent)
    elif _demonstrations(before) and _demonstrations(after) and (before or after):
        yield from _listed(before or [], after or [], indent)
    elif change.kind == "added":
        yield _added(value(after, 200))
    else:
        yield f"{_removed(value(before, 90))} {_added(value(after, 90))}"


def _long(*texts: str | None) -> bool:
    return any(text is not None and (len(text) > 40 or "\n" in text) for text in texts)


def _worded(before: str, after: str, indent: int) -> Iterator[str]:
    marked = "".join(
        part if kind == "same" else _around(part, _removed if kind == "removed" else _added)
        for kind, part in words(before, after)
    )
    for line in marked.splitlines():
        yield fill(line, width() - indent, subsequent_indent=" " * indent, break_long_words=False) if line else ""


def _around(part: str, mark: object) -> str:
    """Marks inside the spaces of a run and line by line, so that wrapping and colours keep to the words."""
    assert callable(mark)
    pieces = re.split(r"(\n+)", part)
    done: list[str] = []
    for piece in pieces:
        inner = piece.strip()
        if not inner:
            done.append(piece)
            continue
        start = piece.index(inner)
        done.append(piece[:start] + str(mark(inner)) + piece[start + len(inner) :])
    return "".join(done)


def _listed(before: Sequence[JSON], after: Sequence[JSON], indent: int) -> Iterator[str]:
    old, new = [canonical(item) for item in before], [canonical(item) for item in after]
    kept = sum(item in old for item in new)
    if kept:
        yield f"{counted(kept, 'demonstration')} kept"
    for items, others, mark in ((before, new, _removed), (after, old, _added)):
        for item in items:
            if canonical(item) not in others:
                yield mark(shortened(" | ".join(f"{k}: {value(v, 80)}" for k, v in item.items()), width() - indent - 4))


def _demonstrations(item: JSON) -> bool:
    return item is None or (is_list(item) and all(is_mapping(part) for part in item))


def _removed(text: str) -> str:
    return paint(f"[-{text}-]", "red")


def _added(text: str) -> str:
    return paint(f"{{+{text}+}}", "green")
