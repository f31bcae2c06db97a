"""The report as a page: what was found, against each peer, family by family, and where we lose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.optimizers import measures, tables
from benchmarks.optimizers.ablations import ABLATIONS
from benchmarks.optimizers.baselines import BASELINES
from benchmarks.optimizers.families import FAMILIES
from benchmarks.optimizers.plan import FLAT, PEERS, kinds
from benchmarks.optimizers.rows import Row, strategies

WANTED, LEAST = 0.5, 0.67
"""Median ratio of calls that is aimed at, and the most that still counts as success."""
FEWEST = 5
"""Pairs below which nothing is said."""
BELOW = 0.05
"""Share of runs without headroom that may end below the seed."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Where and when."""

    when: str
    machine: str
    versions: str
    commit: str
    budget: int


def document(rows: Sequence[Row], found: Circumstances, replay: str, reading: str) -> str:
    """The whole page. `replay` is the section on real outcomes, `reading` the text on how it is made."""
    mine = [name for name in ("auto", "beacon") if any(row.strategy == name for row in rows)]
    parts = [_opening(rows, found), "## What was found", _verdicts(rows, mine), "## Where we lose", _losses(rows, mine)]
    parts += ["## Every strategy in every family", tables.by_family(_main(rows))]
    parts += [f"## `{name}` against the peers\n\n{tables.against(_main(rows), name, PEERS)}" for name in mine]
    parts += ["## Beside the usual baselines", _baselines(rows), "## Parts taken out", _ablations(rows)]
    parts += [f"## Real outcomes, replayed\n\n{replay}" if replay else "", reading]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def _opening(rows: Sequence[Row], found: Circumstances) -> str:
    seconds = sum(row.seconds for row in rows)
    developed, held = kinds()
    states = len({row.code for row in rows if row.strategy not in PEERS and row.strategy not in BASELINES})
    mixed = f" Runs of ours are of {states} states of the code, as it went on." if states > 1 else ""
    return f"""# Optimizers compared

Written by `make bench-optimizers`; do not edit. {found.when}, {found.machine};
{found.versions}; commit {found.commit}.
{len(rows)} runs of {found.budget} calls each, proposals included, {seconds / 60:.0f} minutes of searching.{mixed}

The models are simulated, behind HTTP, with known optima; DSPy's optimizers are the real package, on the same server,
the same data and the same metric. Defaults may be chosen on {_listed(developed)}, on worlds with seeds
below 100. {_listed(held)} are held out. All worlds below have seeds from 100 on."""


def _main(rows: Sequence[Row]) -> list[Row]:
    """Without ablations, and without the many further runs that have no headroom."""
    few = {row.seed for row in rows if row.family != FLAT}
    return [row for row in rows if row.strategy not in ABLATIONS and row.seed in few]


def _verdicts(rows: Sequence[Row], mine: Sequence[str]) -> str:
    lines: list[str] = [
        "Calls, proposals and confirmation included, in the families where the peers' programs have all that may vary. "
        "A peer's result is known when its run ends; that it held the same program earlier can be seen afterwards.\n"
    ]
    main = _main(rows)
    for name in mine:
        lines.append(f"`{name}` against\n")
        for peer in PEERS:
            found = _versus(main, name, peer)
            if found.more.known:
                lines.append(
                    f"- {peer}, median over {found.ratio.n} pairs: {tables.ratio(found.whole)} times the calls of its "
                    f"whole run to reach what it ends with, {_met(found.whole.value)}; {tables.ratio(found.ratio)} "
                    f"times the calls after which it first held that, {_met(found.ratio.value)}. At the end "
                    f"{tables.signed(found.more)} of the reachable gain."
                )
        flat = [row for row in rows if row.family == FLAT and row.strategy == name]
        if flat:
            below = measures.below(flat)
            said = "within" if below <= BELOW * len(flat) else "above"
            lines.append(f"- Without headroom {below} of {len(flat)} runs end below the seed, {said} {BELOW:.0%}.\n")
    for peer in PEERS:
        flat = [row for row in main if row.family == FLAT and row.strategy == peer]
        if flat:
            lines.append(f"- {peer}, without headroom: {measures.below(flat)} of {len(flat)} end below the seed.")
    return "\n".join(lines)


def _met(value: float) -> str:
    if value <= WANTED:
        return f"the goal ({WANTED}) is met"
    return f"a success ({LEAST}) short of the goal" if value <= LEAST else f"not met ({LEAST} at most)"


def _versus(rows: Sequence[Row], ours: str, theirs: str, family: str | None = None) -> measures.Versus:
    here = [row for row in rows if family in (None, row.family) and FAMILIES[row.family].shared]
    return measures.versus(
        [row for row in here if row.strategy == ours], [row for row in here if row.strategy == theirs]
    )


def _losses(rows: Sequence[Row], mine: Sequence[str]) -> str:
    """Every family and every other where the other's gain is higher, the interval without 0, or calls are more."""
    lines: list[str] = []
    main = _main(rows)
    for name in mine:
        for other in strategies(main):
            for family in FAMILIES:
                here = [row for row in main if row.family == family]
                found = measures.versus(
                    [row for row in here if row.strategy == name], [row for row in here if row.strategy == other]
                )
                if other != name and found.more.n >= FEWEST and found.more.high < 0:
                    lines.append(f"- {family}: `{name}` ends {tables.signed(found.more)} beside `{other}`.")
        for peer in PEERS:
            for family in FAMILIES:
                found = _versus(main, name, peer, family)
                if found.whole.n >= FEWEST and found.whole.value > LEAST:
                    lines.append(
                        f"- {family}: `{name}` takes {tables.ratio(found.whole)} times all calls of {peer} to its "
                        f"result; never reached in {found.never} of {found.whole.n} pairs."
                    )
    said = "Significantly less of the gain (the interval is below 0), or more than 0.67 times all calls of a peer:"
    return f"{said}\n\n" + "\n".join(lines) if lines else "Nowhere significantly, in these families."


def _baselines(rows: Sequence[Row]) -> str:
    """Ours and the baselines where numbers, models and adapters vary, paired by world."""
    main = [row for row in _main(rows) if not FAMILIES[row.family].shared]
    names = [name for name in ("beacon", "auto") if any(row.strategy == name for row in main)]
    others = [name for name in strategies(main) if name not in names and name in (*_OTHERS,)]
    lines = ["| | against | pairs | more of the gain at the end |", "| --- | --- | ---: | --- |"]
    for name in names:
        for other in [*others, *(item for item in names if item != name)]:
            found = measures.versus(
                [row for row in main if row.strategy == name], [row for row in main if row.strategy == other]
            )
            lines.append(f"| `{name}` | `{other}` | {found.more.n} | {tables.signed(found.more)} |")
    return "Families with models, adapters and numbers to choose, pooled.\n\n" + "\n".join(lines)


_OTHERS = ("random", "random-halving", "tpe", "optuna-random", "optuna-tpe", "optuna-halving")


def _ablations(rows: Sequence[Row]) -> str:
    """Each variant against what it is a variant of, paired by world."""
    lines = [
        "| variant | pairs | share of the gain | less the whole's | below the seed |",
        "| --- | ---: | --- | --- | ---: |",
    ]
    for name in ABLATIONS:
        own = [row for row in rows if row.strategy == name]
        if not own:
            continue
        whole = name.partition("-")[0]
        worlds = {(row.family, row.seed) for row in own}
        base = [row for row in rows if row.strategy == whole and (row.family, row.seed) in worlds]
        found = measures.versus(own, base)
        lines.append(
            f"| `{name}` | {found.more.n} | {tables.share(measures.gain(own))} | {tables.signed(found.more)} | "
            f"{measures.below(own)} |"
        )
    told = "A part earns its place where the difference is below 0 and its interval without 0."
    return f"{told}\n\n" + "\n".join(lines) if len(lines) > 2 else "None was run."


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
