"""The demo over many splits of its data: how often the gain it reports is one that the test split shows."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

SECTION_SEEDS = 10
"""Split seeds in a whole run."""
WANTED_GAIN, WANTED_OVER_RANDOM, WANTED_SHOWN = 15.0, 8.0, 8
"""Points over the seed program, points over random demonstrations, and seeds of ten whose interval excludes 0."""
_LONGEST = 300
"""Seconds one demo may take."""


@dataclass(frozen=True, slots=True)
class SeedRun:
    """One demo. Scores in points of 100, all on the test split."""

    seed: int
    before: float
    after: float
    random: float
    """Mean of programs with random demonstrations."""
    low: float
    high: float
    """The paired interval of `after - before`, in points."""
    seconds: float

    @property
    def shown(self) -> bool:
        """Whether the interval excludes 0, on the side of a gain."""
        return self.low > 0


def seeds_section(python: Path, seeds: Sequence[int], say: Callable[[str], None]) -> tuple[str, list[str]]:
    """The page's section on the demo, and a line for each demo that failed."""
    runs: list[SeedRun] = []
    failures: list[str] = []
    for seed in seeds:
        say(f"demo: split seed {seed}")
        try:
            runs.append(demo(python, seed))
        except (OSError, ValueError, KeyError, TypeError, subprocess.SubprocessError) as error:
            failures.append(f"demo with seed {seed}: {type(error).__name__}: {str(error)[-300:]}")
    return (section(runs) if runs else ""), failures


def demo(python: Path, seed: int) -> SeedRun:
    """`dspex demo --seed N --json` in a process of its own, in an empty folder. Raises what a failed process raises."""
    with TemporaryDirectory(prefix="dspex-demo") as folder:
        done = subprocess.run(
            [str(python.parent / "dspex"), "demo", "--seed", str(seed), "--json"],
            cwd=folder, env={**os.environ, "NO_COLOR": "1"}, capture_output=True, text=True, check=False,
            timeout=_LONGEST,
        )  # fmt: skip
    if done.returncode:
        raise ValueError(f"it ended with {done.returncode}: {done.stderr[-300:]}")
    return run_of(seed, json.loads(done.stdout))


def run_of(seed: int, found: dict[str, Any]) -> SeedRun:
    """A run from the object that `dspex demo --json` prints."""
    interval = found["interval"]
    return SeedRun(
        seed, found["seed_score"] * 100, found["final_score"] * 100, found["random_demos_score"] * 100,
        interval["low"] * 100, interval["high"] * 100, found["seconds"],
    )  # fmt: skip


def section(runs: Sequence[SeedRun]) -> str:
    """The table, and what it comes to."""
    rows = [
        f"| {run.seed} | {run.before:.1f} | {run.after:.1f} | {run.after - run.before:+.1f} "
        f"| {run.low:+.1f} to {run.high:+.1f} | {run.random:.1f} | {run.seconds:.0f} |"
        for run in runs
    ]
    shown = sum(run.shown for run in runs)
    gains = [run.after - run.before for run in runs]
    overs = [run.after - run.random for run in runs]
    gain, over = statistics.mean(gains), statistics.mean(overs)
    longest = max(run.seconds for run in runs)
    wanted = round(WANTED_SHOWN * len(runs) / SECTION_SEEDS)
    table = "\n".join(rows)
    return f"""## The demo over split seeds

`dspex demo --seed N`: offline, {len(runs)} splits of the same tickets, scores on the test split in percent.

| seed | seed program | final | gain | its 95 % interval, paired | random demonstrations | seconds |
| ---: | ---: | ---: | ---: | --- | ---: | ---: |
{table}

- The interval excludes 0 on {shown} of {len(runs)} (wanted: {wanted}): {_met(shown >= wanted)}.
- Gain over the seed program: {gain:+.1f} points in the mean (wanted: {WANTED_GAIN:.0f}), {min(gains):+.1f} at the
  least: {_met(gain >= WANTED_GAIN)}.
- Over random demonstrations: {over:+.1f} points in the mean (wanted: {WANTED_OVER_RANDOM:.0f}), {min(overs):+.1f} at
  the least: {_met(over >= WANTED_OVER_RANDOM)}.
- The longest took {longest:.0f} s (wanted: under 60): {_met(longest < 60)}."""


def _met(held: bool) -> str:
    return "met" if held else "**not met**"
