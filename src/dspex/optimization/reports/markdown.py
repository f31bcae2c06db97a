"""A report as Markdown, for an issue, a pull request or a wiki."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from dspex.kernel.difference import Change
from dspex.optimization.reports.changes import demonstrations, short, texts_of, word_difference
from dspex.optimization.reports.contents import Block, Changes, Lines, Table, Title, change_line

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~])")


def as_markdown(blocks: Iterable[Block]) -> str:
    """Everything that a model or a user wrote is escaped, or stands in a fence longer than any within."""
    return "\n".join(line for block in blocks for line in (*_lines(block), "")).rstrip() + "\n"


def _lines(block: Block) -> Iterator[str]:
    match block:
        case Title(text):
            yield f"# {_escaped(text)}"
        case Lines(lines, heading):
            if heading:
                yield f"## {_heading(heading)}"
                yield ""
            yield from (f"- {_escaped(line)}" for line in lines)
        case Changes(changes):
            yield "## What changed"
            for change in changes:
                yield ""
                yield from _change(change)
        case Table():
            yield from _table(block)
        case _:
            pass


def _change(change: Change) -> Iterator[str]:
    texts = texts_of(change)
    shown = demonstrations(change.after)
    if texts is not None:
        body = word_difference(*texts)
    elif shown:
        body = "\n".join(map(short, shown))
    else:
        yield f"- {_escaped(change_line(change))}"
        return
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", body)), default=0))
    yield f"**{_escaped(change.path)}**"
    yield ""
    yield from (f"{fence}text", body, fence)


def _table(table: Table) -> Iterator[str]:
    yield f"## {_heading(table.heading)}"
    yield ""
    yield "| " + " | ".join(map(_escaped, table.columns)) + " |"
    yield "| " + " | ".join("---:" if name in table.right else "---" for name in table.columns) + " |"
    for row in table.rows:
        yield "| " + " | ".join(_escaped(cell) for cell in row) + " |"
    if table.more:
        yield ""
        yield _escaped(table.more)


def _heading(text: str) -> str:
    return _escaped(text.rstrip(":"))


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
