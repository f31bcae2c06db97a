"""What a whole report runs: worlds that nothing was chosen on, every strategy where it has something to vary."""

from __future__ import annotations

from benchmarks.optimizers.ablations import ABLATIONS
from benchmarks.optimizers.baselines import BASELINES
from benchmarks.optimizers.families import DEVELOPMENT, FAMILIES, HELD_OUT, REPORTED
from benchmarks.optimizers.running import Job
from benchmarks.optimizers.variants import BASELINE, CLASSICS, STRATEGIES

PEERS = ("dspy-bootstrap", "dspy-gepa", "dspy-mipro", "dspy-simba")
BUDGET = 1500
SEEDS = 10
FLAT = "flat"
FLAT_RUNS = 200
"""Runs of ours without headroom: the share that ends below the seed program is small, so it takes many."""
ABLATED = ("inferred", "stages", "mixed")


def strategies_of(family: str) -> list[str]:
    """Ours, the peers where their programs have all that may vary, Optuna where there is more than that."""
    shared = FAMILIES[family].shared
    return [*STRATEGIES, *((*CLASSICS, *PEERS) if shared else (*BASELINE, *BASELINES))]


def report(seeds: int = SEEDS, budget: int = BUDGET, flat: int = FLAT_RUNS) -> list[Job]:
    """The jobs of a report, the cheap and telling ones first."""
    worlds = [(family, REPORTED + number) for number in range(seeds) for family in FAMILIES]
    jobs = [Job(family, seed, name, budget) for family, seed in worlds for name in strategies_of(family)]
    jobs += [Job(family, REPORTED + n, name, budget) for n in range(seeds) for family in ABLATED for name in ABLATIONS]
    jobs += [Job(FLAT, REPORTED + n, name, budget) for name in ("auto", "beacon") for n in range(seeds, flat)]
    return jobs


def quick(budget: int = BUDGET) -> list[Job]:
    """A look in a few minutes, at worlds that defaults may be chosen on."""
    names = ("auto", "dspy-gepa", "dspy-mipro")
    return [
        Job(family, seed, name, budget)
        for seed in range(3) for family in ("rules", "demonstrations") for name in names
    ]  # fmt: skip


def kinds() -> tuple[list[str], list[str]]:
    """Families that defaults may be chosen on, and those held out."""
    return [item.family for item in DEVELOPMENT], [item.family for item in HELD_OUT]
