"""Rows as tables in Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmarks.optimizers import measures
from benchmarks.optimizers.measures import Figure
from benchmarks.optimizers.rows import Row, strategies

_SCORES = ("seed_score", "best_score", "final_score")


def by_family(rows: Sequence[Row]) -> str:
    """Each family's strategies: gain, calls, runs below the seed, calls to 90 %."""
    lines = [
        "| family | strategy | runs | seed | best | final | share of the gain | calls | of them for proposals | "
        "reach 90 % | calls to it | below the seed |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for family in dict.fromkeys(row.family for row in rows):
        here = [row for row in rows if row.family == family]
        for name in strategies(here):
            lines.append(_line(family, name, [row for row in here if row.strategy == name]))
    return "\n".join(lines)


def _line(family: str, name: str, rows: Sequence[Row]) -> str:
    count, calls = measures.reached(rows)
    flat = rows[0].best_score - rows[0].seed_score < 1e-9
    cells = [
        family, name, str(len(rows)), *(f"{_mean(rows, part):.3f}" for part in _SCORES),
        "nothing to gain" if flat else share(measures.gain(rows)), f"{_mean(rows, 'calls'):.0f}",
        f"{_mean(rows, 'proposals'):.0f}", "" if flat else f"{count}/{len(rows)}",
        "" if math.isnan(calls) or flat else f"{calls:.0f}", str(measures.below(rows)),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def against(rows: Sequence[Row], ours: str, peers: Sequence[str]) -> str:
    """One of ours against each peer, pooled and by family."""
    lines = [
        f"| `{ours}` against | family | pairs | calls to the peer's result, ratio to the peer's | "
        "ratio to all its calls | never reached | peer gained nothing | more of the gain |",
        "| --- | --- | ---: | --- | --- | ---: | ---: | --- |",
    ]
    mine = [row for row in rows if row.strategy == ours]
    for peer in peers:
        theirs = [row for row in rows if row.strategy == peer]
        families = list(dict.fromkeys(row.family for row in theirs))
        for family in ["all", *families] if theirs else []:
            found = measures.versus(
                [row for row in mine if family in ("all", row.family)],
                [row for row in theirs if family in ("all", row.family)],
            )
            name = f"**{peer}**" if family == "all" else ""
            lines.append(
                f"| {name} | {family} | {found.more.n} | {ratio(found.ratio)} | {ratio(found.whole)} | {found.never} | "
                f"{found.idle} | {signed(found.more)} |"
            )
    return "\n".join(lines)


def share(figure: Figure) -> str:
    """`62 % (55 to 70)`."""
    if not figure.known:
        return ""
    return f"{figure.value:.0%} ({figure.low:.0%} to {figure.high:.0%})".replace("%", " %")


def signed(figure: Figure) -> str:
    """A difference of shares in points."""
    if not figure.known:
        return ""
    return f"{figure.value * 100:+.0f} points ({figure.low * 100:+.0f} to {figure.high * 100:+.0f})"


def ratio(figure: Figure) -> str:
    """`0.43 (0.31 to 0.60)`."""
    if not figure.known:
        return ""
    low, middle, high = (_finite(item) for item in (figure.low, figure.value, figure.high))
    return f"{middle} ({low} to {high})"


def _finite(value: float) -> str:
    return "never" if math.isinf(value) else f"{value:.2f}"


def _mean(rows: Sequence[Row], part: str) -> float:
    return float(sum(getattr(row, part) for row in rows)) / len(rows)
