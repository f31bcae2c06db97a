"""The command: a few runs and a table, or with --report everything and the page.

    python -m benchmarks.optimizers --only rules --strategies auto,dspy-gepa --seeds 3
    python -m benchmarks.optimizers --report

Rows are appended to a file; what it has already, made by the code as it is, is not run again: a report that was cut
short goes on. Rows of the peers come with the project, and serve while the simulator is as it was then.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks import environments
from benchmarks.optimizers import plan, replay, tables
from benchmarks.optimizers.baselines import BASELINES
from benchmarks.optimizers.families import FAMILIES
from benchmarks.optimizers.page import Circumstances, document
from benchmarks.optimizers.rows import Row, latest, load
from benchmarks.optimizers.rows import strategies as strategies_of
from benchmarks.optimizers.running import Job, perform
from benchmarks.optimizers.variants import STRATEGIES, VARIANTS

PAGE = environments.ROOT / "docs" / "optimizers.md"
RECORDED = Path(__file__).with_name("recorded.jsonl")
"""Peers' rows: they hang on the simulator and the peers' versions alone, and take most of an hour."""
READING = Path(__file__).with_name("reading.md")


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.optimizers", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", default=",".join(FAMILIES), help="families, with commas between")
    parser.add_argument("--strategies", help="ours by name, optuna-..., dspy-...; by default all of them")
    parser.add_argument("--seeds", type=int, default=plan.SEEDS, help="worlds of each family")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--budget", type=int, default=plan.BUDGET, help="calls, proposals included")
    parser.add_argument("--rows", type=Path, help="file of rows; by default one for each kind of run")
    parser.add_argument("--again", action="store_true", help="run what the file of rows has already, too")
    parser.add_argument("--quick", action="store_true", help="two families, three seeds, two peers")
    parser.add_argument("--report", action="store_true", help="all of it, and the page")
    parser.add_argument("--page-only", action="store_true", help="the page from the rows that there are")
    parser.add_argument("--page", type=Path, default=PAGE)
    return parser.parse_args(arguments)


def main() -> int:
    """Run what is missing, and print a table or write the page."""
    asked = parsed()
    families = asked.only.split(",")
    strategies = asked.strategies.split(",") if asked.strategies else [*STRATEGIES, *BASELINES, *plan.PEERS]
    known = {*VARIANTS, *BASELINES, *plan.PEERS}
    if unknown := [*(set(families) - set(FAMILIES)), *(set(strategies) - known)]:
        _say(f"unknown: {', '.join(unknown)}; families: {', '.join(FAMILIES)}; strategies: {', '.join(sorted(known))}")
        return 2
    whole = asked.report or asked.page_only
    file: Path = asked.rows or environments.cache_folder() / ("optimizers.jsonl" if whole else "optimizers-trial.jsonl")
    jobs = _jobs(asked, families, strategies, whole)
    recorded = [] if asked.again else load(RECORDED)
    had = {(row.key, row.code) for row in (*recorded, *load(file)) if not asked.again}
    missing = [] if asked.page_only else [job for job in jobs if (job.key, job.code) not in had]
    python = environments.peer() if any(job.theirs for job in missing) else None
    perform(missing, python, file, _say)
    wanted = {job.key for job in jobs}
    found = _sorted([row for row in (*recorded, *load(file)) if row.key in wanted])
    if whole:
        _write(asked.page, found, asked.budget, missing=bool(missing))
    else:
        print(_shown(latest(found)))
    return 0


def _jobs(asked: argparse.Namespace, families: Sequence[str], strategies: Sequence[str], whole: bool) -> list[Job]:
    if asked.quick:
        return plan.quick(asked.budget)
    if whole:
        jobs = plan.report(asked.seeds, asked.budget)
        return [job for job in jobs if job.family in families and (not asked.strategies or job.strategy in strategies)]
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    return [Job(family, seed, name, asked.budget) for seed in seeds for family in families for name in strategies]


def _sorted(rows: Sequence[Row]) -> list[Row]:
    order, families = [*VARIANTS, *BASELINES, *plan.PEERS], list(FAMILIES)
    return sorted(rows, key=lambda row: (families.index(row.family), order.index(row.strategy), row.seed))


def _shown(rows: Sequence[Row]) -> str:
    mine = [name for name in strategies_of(rows) if name in VARIANTS]
    theirs = [name for name in strategies_of(rows) if name in plan.PEERS]
    parts = [tables.by_family(rows), *(tables.against(rows, name, theirs) for name in mine[:2] if theirs)]
    return "\n\n".join(parts)


def _write(page: Path, rows: Sequence[Row], budget: int, *, missing: bool) -> None:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=environments.ROOT, capture_output=True, text=True, check=False
    )
    versions = f"Python {platform.python_version()}, optuna {version('optuna')}, dspy 3.4.1, gepa 0.1.4"
    when = time.strftime("%Y-%m-%d", time.gmtime())
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    circumstances = Circumstances(when, machine, versions, commit.stdout.strip() or "unknown", budget)
    told = replay.section(_say, again=missing)
    text = document(rows, circumstances, told, READING.read_text(encoding="utf-8"))
    page.write_text(text, encoding="utf-8")
    _say(f"wrote {page}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
