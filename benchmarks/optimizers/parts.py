"""What each part of BEACON is worth on a replay of real outcomes: calls until one point of the best is left.

    python -m benchmarks.optimizers.parts [--seeds 8] [--data agnews|dbpedia]

Constants were fixed on AG News; DBpedia is for the report.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from statistics import fmean, median
from typing import Any

from benchmarks.optimizers import measures
from benchmarks.optimizers.outcomes import Table, folder, formats
from benchmarks.optimizers.replay import CALLS, search, study
from dspex.optimization.options import SearchOptions
from dspex.optimization.strategies.acquisition import Acquisition
from dspex.optimization.strategies.portfolio import Portfolio
from dspex.optimization.strategies.table import strategy_named

PLAIN = SearchOptions(headroom=False)
NEAR = 0.01
"""One point."""


def beacon(schedule: str | None = None, **parts: Any) -> Portfolio:
    """BEACON with parts left out."""
    found = strategy_named("beacon", PLAIN, schedule)
    assert isinstance(found, Portfolio)
    assert isinstance(found.chooser, Acquisition)
    return replace(found, chooser=replace(found.chooser, **parts))


def named(name: str, schedule: str) -> Mapping[str, Any]:
    """A strategy by name under a schedule."""
    return {"strategy": name, "schedule": schedule, "options": PLAIN}


METHODS: Mapping[str, Callable[[], Mapping[str, Any]]] = {
    "random, race": partial(named, "random", "race"),
    "random, halving": partial(named, "random", "halving"),
    "random, response": partial(named, "random", "response"),
    "tpe, race": partial(named, "tpe", "race"),
    "beacon": lambda: {"strategy": beacon()},
    "beacon without surrogate": lambda: {"strategy": beacon(surrogate=None)},
    "beacon without item response": lambda: {"strategy": beacon("race", item_response=False)},
    "beacon without cooling": lambda: {"strategy": beacon(cooling=False)},
    "beacon without stopping": lambda: {"strategy": beacon(stopping=False)},
}
OPTUNA = "optuna-tpe"


def regrets(table: Table, seed: int, name: str) -> tuple[float, ...]:
    """At each of CALLS."""
    return study(table, seed, name) if name == OPTUNA else search(table, seed, METHODS[name]())


def calls_to(left: tuple[float, ...], least: float) -> float:
    """The first of CALLS at which no more than this is left; twice the last where it never was."""
    return next((float(calls) for calls, regret in zip(CALLS, left, strict=True) if regret <= least), 2.0 * CALLS[-1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--data", default="dbpedia")
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    (table,) = (item for item in formats(folder()) if item.name.startswith(given.data))
    print(f"{table.name}: {len(table.means)} arms, best {table.best:.3f}, start {table.means[table.start]:.3f}")
    print(f"| regret in points after | {' | '.join(map(str, CALLS))} calls | calls to one point (median) |")
    print(f"| --- |{' --- |' * (len(CALLS) + 1)}")
    for name in (*METHODS, OPTUNA):
        if given.only and name not in given.only.split(";"):
            continue
        found = [regrets(table, seed, name) for seed in range(given.seeds)]
        cells: list[str] = []
        for place in range(len(CALLS)):
            figure = measures.bootstrapped([100 * row[place] for row in found], fmean)
            cells.append(f"{figure.value:.1f} ({figure.low:.1f} to {figure.high:.1f})")
        print(f"| {name} | {' | '.join(cells)} | {median(calls_to(row, NEAR) for row in found):.0f} |", flush=True)


if __name__ == "__main__":
    main()
