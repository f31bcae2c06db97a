"""A report for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dspex.optimization.reports.changes import described, indented
from dspex.optimization.reports.contents import Block, Changes, Lines, Table, Title


def as_text(blocks: Iterable[Block]) -> str:
    """Some forty lines; what changed has {+new+} and [-gone-] words."""
    return "\n".join(line for block in blocks for line in _lines(block)) + "\n"


def _lines(block: Block) -> Iterator[str]:
    match block:
        case Title(text):
            yield text
        case Lines(lines, heading):
            yield from ([heading] if heading else [])
            yield from (f"  {line}" for line in lines)
        case Changes(changes):
            yield "changed:"
            yield from (indented(described(change)) for change in changes)
        case Table():
            yield from _table(block)
        case _:
            pass


def _table(table: Table) -> Iterator[str]:
    rows = [[" ".join(cell.split()) for cell in row] for row in (table.columns, *table.rows)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(table.columns))]
    yield table.heading
    for row in rows:
        cells = zip(row, widths, table.columns, strict=True)
        yield ("  " + "  ".join(c.rjust(w) if name in table.right else c.ljust(w) for c, w, name in cells)).rstrip()
    if table.more:
        yield f"  {table.more}"
