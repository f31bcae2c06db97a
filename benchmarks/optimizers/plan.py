"""What a whole report runs: worlds that nothing was chosen on, every strategy where it has something to vary."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.optimizers.ablations import ABLATIONS
from benchmarks.optimizers.baselines import BASELINES
from benchmarks.optimizers.families import DEVELOPMENT, FAMILIES, HELD_OUT, REPORTED
from benchmarks.optimizers.running import Job
from benchmarks.optimizers.variants import BASELINE, CLASSICS

PEERS = ("dspy-bootstrap", "dspy-gepa", "dspy-mipro", "dspy-simba")
OURS = ("auto", "beacon")
"""Run in every family, each on all of its worlds."""
OTHERS = ("gepa", "mipro", "simba", "vista", "copro", "playbook", "bootstrap", "models")
"""Further strategies of ours: on a few worlds of a few families, to be seen beside the rest."""
BUDGET = 1500
SEEDS = 10
FEW = 3
LOOKED_AT = ("rules", "demonstrations", "stages", "relay", "models")
FLAT = "flat"
FLAT_RUNS = 200
"""Runs of ours without headroom: the share that ends below the seed program is small, so it takes many."""
ABLATED: Mapping[str, tuple[str, ...]] = {
    "auto": ("inferred", "relay", "parameters", "mixed"), "beacon": ("parameters", "models", "mixed"),
}  # fmt: skip
"""Where the parts of a strategy are taken out."""
UNRESERVED = "auto-no-reserve"
"""Run without headroom as well: what the confirmation is worth is seen there."""


def strategies_of(family: str) -> list[str]:
    """Ours; the peers where their programs have all that may vary, the usual baselines where there is more."""
    shared = FAMILIES[family].shared
    return [*OURS, *(PEERS if shared else (*BASELINE, *BASELINES))]


def looks(seeds: int, budget: int) -> list[Job]:
    """A few worlds of the strategies that are neither ours by default nor a peer's."""
    return [
        Job(family, REPORTED + number, name, budget)
        for number in range(min(seeds, FEW)) for family in LOOKED_AT
        for name in (*OTHERS, *CLASSICS) if (name == "models") == (family == "models")
    ]  # fmt: skip


def ablations(seeds: int, budget: int) -> list[Job]:
    """Parts taken out, on the worlds where the whole is run as well."""
    jobs = [
        Job(family, REPORTED + number, name, budget)
        for number in range(seeds) for name in ABLATIONS
        for family in ABLATED.get(name.partition("-")[0], ())
    ]  # fmt: skip
    return [*jobs, *(Job(FLAT, REPORTED + number, UNRESERVED, budget) for number in range(3 * seeds))]


def report(seeds: int = SEEDS, budget: int = BUDGET, flat: int = FLAT_RUNS) -> list[Job]:
    """The jobs of a report, the telling ones first."""
    worlds = [(family, REPORTED + number) for number in range(seeds) for family in FAMILIES]
    jobs = [Job(family, seed, name, budget) for family, seed in worlds for name in strategies_of(family)]
    jobs += [Job(FLAT, REPORTED + number, "auto", budget) for number in range(seeds, flat)]
    return [*jobs, *ablations(seeds, budget), *looks(seeds, budget)]


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
