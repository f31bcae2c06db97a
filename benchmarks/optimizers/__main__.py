"""The command: python -m benchmarks.optimizers [--only rules] [--strategies auto,dspy-gepa] [--seeds 3] [--quick].

Rows are appended to a file; what it has already is not run again. The page is made from all of it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import environments
from benchmarks.optimizers import tables
from benchmarks.optimizers.baselines import BASELINES
from benchmarks.optimizers.families import FAMILIES
from benchmarks.optimizers.rows import load
from benchmarks.optimizers.running import Job, perform
from benchmarks.optimizers.variants import STRATEGIES, VARIANTS

PEERS = ("dspy-bootstrap", "dspy-gepa", "dspy-mipro", "dspy-simba")
BUDGET = 1500


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.optimizers", description=__doc__)
    parser.add_argument("--only", default=",".join(FAMILIES), help="families, with commas between")
    parser.add_argument(
        "--strategies", default=",".join((*STRATEGIES, *BASELINES, *PEERS)), help="ours by name, and dspy-..."
    )
    parser.add_argument("--seeds", type=int, default=10, help="worlds of each family")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--budget", type=int, default=BUDGET, help="calls, proposals included")
    parser.add_argument("--rows", type=Path, default=environments.cache_folder() / "optimizers.jsonl")
    parser.add_argument("--again", action="store_true", help="run what the file of rows has already, too")
    return parser.parse_args(arguments)


def main() -> int:
    """Run what is missing, and print the table of what was asked for."""
    asked = parsed()
    families, strategies = asked.only.split(","), asked.strategies.split(",")
    unknown = [*(set(families) - set(FAMILIES)), *(set(strategies) - {*VARIANTS, *BASELINES, *PEERS})]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; families: {', '.join(FAMILIES)}; strategies: "
              f"{', '.join((*VARIANTS, *BASELINES, *PEERS))}", file=sys.stderr)  # fmt: skip
        return 2
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    jobs = [Job(family, seed, name, asked.budget) for family in families for seed in seeds for name in strategies]
    known = {row.key for row in load(asked.rows) if not asked.again}
    missing = [job for job in jobs if job.key not in known]
    python = environments.peer() if any(job.theirs for job in missing) else None
    perform(missing, python, asked.rows, lambda text: print(text, file=sys.stderr, flush=True))
    wanted = {job.key for job in jobs}
    found = sorted(
        (row for row in load(asked.rows) if row.key in wanted), key=lambda row: strategies.index(row.strategy)
    )
    found.sort(key=lambda row: families.index(row.family))
    print(tables.by_family(found))
    mine = [name for name in strategies if not name.startswith("dspy-") and any(row.strategy == name for row in found)]
    theirs = [name for name in strategies if name.startswith("dspy-")]
    if theirs:
        print("\n" + "\n\n".join(tables.against(found, name, theirs) for name in mine[:2]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
