"""A report as HTML, for notebooks and files: no script, nothing from elsewhere, everything escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from dspex.kernel.difference import Change
from dspex.optimization.reports.changes import demonstrations, short, texts_of, word_pieces
from dspex.optimization.reports.contents import Block, Changes, Chart, Lines, Table, Title, change_line

_STYLE = """
.dspex-report {font: 14px/1.45 system-ui, sans-serif; max-width: 70em}
.dspex-report table {border-collapse: collapse; margin: .4em 0}
.dspex-report th, .dspex-report td {padding: .15em .7em; text-align: left; vertical-align: top;
  border-bottom: 1px solid #8884}
.dspex-report .right {text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap}
.dspex-report pre {white-space: pre-wrap; background: #8881; padding: .6em; margin: .3em 0}
.dspex-report ins {background: #2a72; text-decoration: none}
.dspex-report del {background: #c332}
.dspex-report h3 {font-size: 1em; margin: 1.2em 0 .2em}
"""
_TAGS = {"same": "{}", "gone": "<del>{}</del>", "new": "<ins>{}</ins>"}
_WIDTH, _HEIGHT, _EDGE = 420, 240, 46


def as_html(blocks: Iterable[Block]) -> str:
    """One element, with its style."""
    body = "\n".join(line for block in blocks for line in _lines(block))
    return f'<div class="dspex-report"><style>{_STYLE}</style>\n{body}\n</div>\n'


def page(fragment: str, title: str) -> str:
    """A whole page around a report."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title></head>\n'
        f"<body>\n{fragment}</body></html>\n"
    )


def _lines(block: Block) -> Iterator[str]:
    match block:
        case Title(text):
            yield f"<h2>{escape(text)}</h2>"
        case Lines(lines, heading):
            if heading:
                yield f"<h3>{escape(heading)}</h3>"
            yield "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"
        case Changes(changes):
            yield "<h3>What changed</h3>"
            for change in changes:
                yield from _change(change)
        case Table():
            yield from _table(block)
        case Chart():
            yield from _chart(block)


def _change(change: Change) -> Iterator[str]:
    texts = texts_of(change)
    shown = demonstrations(change.after)
    if texts is not None:
        body = "".join(_TAGS[kind].format(escape(text)) for kind, text in word_pieces(*texts))
    elif shown:
        body = escape("\n".join(map(short, shown)))
    else:
        yield f"<p>{escape(change_line(change))}</p>"
        return
    yield f"<p><b>{escape(change.path)}</b></p><pre>{body}</pre>"


def _table(table: Table) -> Iterator[str]:
    kinds = ['class="right"' if name in table.right else "" for name in table.columns]
    yield f"<h3>{escape(table.heading)}</h3>"
    yield "<table><thead>" + _row("th", table.columns, kinds) + "</thead><tbody>"
    yield from (_row("td", row, kinds) for row in table.rows)
    yield "</tbody></table>"
    if table.more:
        yield f"<p>{escape(table.more)}</p>"


def _row(tag: str, cells: Iterable[str], kinds: Iterable[str]) -> str:
    found = (f"<{tag} {kind}>{escape(cell)}</{tag}>" for cell, kind in zip(cells, kinds, strict=True))
    return "<tr>" + "".join(found).replace(f"<{tag} >", f"<{tag}>") + "</tr>"


def _chart(chart: Chart) -> Iterator[str]:
    most = max((x for x, _, _ in chart.points), default=0.0) or 1.0
    yield f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img" font-size="11">'
    left, bottom = _EDGE, _HEIGHT - _EDGE
    yield f'<path d="M{left} 8V{bottom}H{_WIDTH - 8}" fill="none" stroke="currentColor"/>'
    yield f'<text x="{_WIDTH - 8}" y="{_HEIGHT - 28}" text-anchor="end">{escape(chart.x)}, up to {most:.4g}</text>'
    yield f'<text x="4" y="20">{escape(chart.y)}</text>'
    for x, y, about in chart.points:
        across = left + (_WIDTH - _EDGE - 16) * x / most
        down = bottom - (bottom - 16) * min(max(y, 0.0), 1.0)
        said = escape(f"{chart.y} {y:.4g}, {chart.x} {x:.4g}: {about}")
        yield f'<circle cx="{across:.1f}" cy="{down:.1f}" r="4" fill="#2a7"><title>{said}</title></circle>'
    yield "</svg>"
