"""What rows come to in words: what was found against each peer, and where we lose."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.optimizers import measures, tables
from benchmarks.optimizers.baselines import BASELINES
from benchmarks.optimizers.families import FAMILIES, HELD_OUT
from benchmarks.optimizers.plan import FLAT, PEERS
from benchmarks.optimizers.rows import Row, strategies
from benchmarks.optimizers.variants import BASELINE

WANTED, LEAST = 0.5, 0.67
"""Median ratio of calls that is aimed at, and the most that still counts as success."""
FEWEST = 5
"""Pairs below which nothing is said."""
BELOW = 0.05
"""Share of runs without headroom that may end below the seed."""
USUAL = (*BASELINE, *BASELINES)
"""The usual baselines."""
TEXTLESS = "parameters"
"""The family in which no text varies."""


def found(rows: Sequence[Row], flat: Sequence[Row], mine: Sequence[str]) -> str:
    """Ours against each peer and each usual baseline; `flat` are all runs without headroom."""
    lines: list[str | None] = [
        "Calls, proposals and confirmation included, in the families where the peers' programs have all that may vary. "
        "A peer's result is known when its run ends; that it held the same program earlier can be seen afterwards.\n"
    ]
    for name in mine:
        lines.append(f"`{name}` against\n")
        for peer in PEERS:
            lines += _against_peer(rows, name, peer)
        lines += _nowhere_worse(rows, name)
        lines += [_against_usual(rows, name, other) for other in USUAL]
        own = [row for row in flat if row.strategy == name]
        if own:
            below = measures.below(own)
            said = "within" if below <= BELOW * len(own) else "above"
            lines.append(f"- Without headroom {below} of {len(own)} runs end below the seed, {said} {BELOW:.0%}.")
        lines.append("")
    for peer in PEERS:
        own = [row for row in rows if row.family == FLAT and row.strategy == peer]
        if own:
            lines.append(f"- {peer}, without headroom: {measures.below(own)} of {len(own)} end below the seed.")
    return "\n".join(line for line in lines if line is not None)


def _against_usual(rows: Sequence[Row], name: str, other: str) -> str | None:
    """Over all, and where no text varies: there what ours can write is no advantage."""
    more = _versus(rows, name, other, shared=False).more
    if more.n < FEWEST:
        return None
    told = (
        f"- {other}, where models or numbers vary: {tables.signed(more)} of the reachable gain at the end, in {more.n} "
        f"worlds, {_leads(more)}"
    )
    equal = _versus(rows, name, other, family=TEXTLESS, shared=False).more
    return f"{told}; in `{TEXTLESS}`, without texts to write, {tables.signed(equal)}." if equal.known else f"{told}."


def _against_peer(rows: Sequence[Row], name: str, peer: str) -> list[str]:
    found = _versus(rows, name, peer)
    if not found.more.known:
        return []
    lines = [
        f"- {peer}, median over {found.ratio.n} pairs: {tables.ratio(found.whole)} times the calls of its whole run to "
        f"reach what it ends with, {_met(found.whole.value)}; {tables.ratio(found.ratio)} times the calls after which "
        f"it first held that, {_met(found.ratio.value)}. At the end {tables.signed(found.more)} of the reachable gain."
    ]
    for family in (item.family for item in HELD_OUT if item.shared and item.family != FLAT):
        here = _versus(rows, name, peer, family=family)
        if here.more.n >= FEWEST:
            lines.append(
                f"  On `{family}` alone, which nothing was chosen on: {tables.ratio(here.whole)} times its calls, and "
                f"{tables.signed(here.more)}, in {here.more.n} worlds."
            )
    return lines


def _nowhere_worse(rows: Sequence[Row], name: str) -> list[str]:
    """Whether there is a family in which a peer ends significantly higher."""
    every = [(family, peer, _versus(rows, name, peer, family=family).more) for family in FAMILIES for peer in PEERS]
    met = [item for item in every if item[2].n >= FEWEST]
    worse = [f"{peer} in `{family}` ({tables.signed(more)})" for family, peer, more in met if more.high < 0]
    if not met:
        return []
    families = len({family for family, _, _ in met})
    said = f"below {', '.join(worse)}" if worse else "below no peer"
    return [f"- At the end significantly {said}, of {families} families."]


def _met(value: float) -> str:
    if value <= WANTED:
        return f"the goal ({WANTED}) is met"
    return f"a success ({LEAST}) short of the goal" if value <= LEAST else f"not met ({LEAST} at most)"


def _leads(figure: measures.Figure) -> str:
    if figure.low > 0:
        return "ahead"
    return "behind" if figure.high < 0 else "which may be chance"


def _versus(
    rows: Sequence[Row], ours: str, theirs: str, *, family: str | None = None, shared: bool = True
) -> measures.Versus:
    here = [row for row in rows if family in (None, row.family) and FAMILIES[row.family].shared == shared]
    return measures.versus(
        [row for row in here if row.strategy == ours], [row for row in here if row.strategy == theirs]
    )


def losses(rows: Sequence[Row], mine: Sequence[str]) -> str:
    """Every family and every other where the other's gain is higher, the interval without 0, or calls are more."""
    lines: list[str] = []
    for name in mine:
        for other in strategies(rows):
            for family in FAMILIES:
                found = _versus(rows, name, other, family=family, shared=FAMILIES[family].shared)
                if other != name and found.more.n >= FEWEST and found.more.high < 0:
                    lines.append(f"- {family}: `{name}` ends {tables.signed(found.more)} beside `{other}`.")
        for peer in PEERS:
            for family in FAMILIES:
                found = _versus(rows, name, peer, family=family)
                if found.whole.n >= FEWEST and found.whole.value > LEAST:
                    lines.append(
                        f"- {family}: `{name}` takes {tables.ratio(found.whole)} times all calls of {peer} to its "
                        f"result; never reached in {found.never} of {found.whole.n} pairs."
                    )
    said = "Significantly less of the gain (the interval is below 0), or more than 0.67 times all calls of a peer:"
    return f"{said}\n\n" + "\n".join(lines) if lines else "Nowhere significantly, in these families."
