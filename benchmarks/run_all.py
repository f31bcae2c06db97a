"""`make bench`: measure this checkout and a peer side by side, and write docs/benchmarks.md."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from benchmarks.demo_seeds import SECTION_SEEDS, seeds_section
from benchmarks.environments import ROOT, SetupError, cache_folder, make_all, size_of
from benchmarks.harness import Harness, Row, find_harness
from benchmarks.measurements import EXPERIMENTS, Experiment, Line, Medians
from benchmarks.report import Circumstances, Figures, document, table
from benchmarks.search_cost import search_figures

PAGE = ROOT / "docs" / "benchmarks.md"
NAMES = ("size", *EXPERIMENTS, "search", "demo")
QUICK = ("size", "import", "call", "http", "evaluate-64", "cache", "faults")
"""What a quick run measures, once each."""


@dataclass(slots=True)
class Session:
    """What one run gathers."""

    harness: Harness
    rounds: int
    figures: dict[str, list[Figures]] = field(default_factory=dict[str, list[Figures]])
    failures: list[str] = field(default_factory=list[str])
    versions: dict[str, str] = field(default_factory=dict[str, str])
    calibrations: list[float] = field(default_factory=list[float])

    def run(self, experiment: Experiment) -> None:
        """Every trial of an experiment, turn by turn; its lines join the figures."""
        found: dict[str, list[Row]] = {name: [] for name in experiment.trials}
        turns = max(self.rounds, experiment.rounds or 1) if self.rounds > 1 else 1
        for turn in range(turns):
            order = list(experiment.trials.items())
            for name, trial in order if turn % 2 == 0 else reversed(order):
                if turn and (name in experiment.once or any("failed" in row for row in found[name])):
                    continue
                say(f"{experiment.name}: {name}, {turn + 1} of {turns}")
                found[name].append(self._kept(f"{experiment.name}: {name}", self.harness.measure(trial)))
        medians = {name: medians_of(rows) for name, rows in found.items()}
        self.figures[experiment.name] = [filled(line, medians) for line in experiment.lines]

    def size(self) -> None:
        """What an installation takes."""
        theirs, ours = (size_of(self.harness.pythons[name], name) for name in ("dspy", "dspex"))
        brought = Line("distributions", "", lambda _: theirs.distributions, lambda _: ours.distributions)
        megabytes = Line("size without bytecode", "MB", lambda _: theirs.megabytes, lambda _: ours.megabytes, 60)
        self.figures["size"] = [filled(line, {}) for line in (megabytes, brought)]

    def search(self) -> None:
        """What searches take beside their models."""
        try:
            self.figures["search"] = search_figures(self.rounds, say)
        except (RuntimeError, subprocess.SubprocessError) as error:
            self.failures.append(f"search: `{' '.join(str(error).split())[-300:]}`")

    def _kept(self, name: str, row: Row) -> Row:
        if "failed" in row:
            self.failures.append(f"{name}: `{' '.join(str(row['failed']).split())[-300:]}`")
            say(f"{name} failed: {row['failed']}")
        self.versions.update({key: str(value) for key, value in row.get("versions", {}).items()})
        if isinstance(speed := row.get("calib_cpu_ns"), int | float):
            self.calibrations.append(speed)
        return row


def medians_of(rows: Sequence[Row]) -> dict[str, float]:
    """The median of every figure of the rows that did not fail."""
    good = [row for row in rows if "failed" not in row]
    names = {key for row in good for key, value in row.items() if _is_number(value)}
    return {name: statistics.median(float(row[name]) for row in good if _is_number(row.get(name))) for name in names}


def filled(line: Line, medians: Medians) -> Figures:
    """A line with what was measured."""
    return Figures(line, None if line.theirs is None else line.theirs(medians), line.ours(medians))


def say(text: str) -> None:
    """One line of progress."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """0: measured; 1: measured, with failures; 2: nothing could be measured."""
    options = _arguments(argv)
    began = monotonic()
    try:
        program = find_harness()
        folder = cache_folder().resolve()
        pythons = make_all(folder)
    except SetupError as error:
        say(str(error))
        return 2
    chosen = tuple(options.only or (QUICK if options.quick else NAMES))
    say(f"measuring {', '.join(chosen)}")
    session = Session(Harness(program, pythons, folder / "rows.jsonl"), 1 if options.quick else options.rounds)
    (folder / "rows.jsonl").write_text("", encoding="utf-8")
    if "size" in chosen:
        session.size()
    for name in EXPERIMENTS:
        if name in chosen:
            session.run(EXPERIMENTS[name])
    if "search" in chosen:
        session.search()
    seeds = ""
    if "demo" in chosen:
        seeds, failed = seeds_section(pythons["dspex"], range(1 if options.quick else SECTION_SEEDS), say)
        session.failures += failed
    _publish(session, seeds, monotonic() - began, options.out or (PAGE if chosen == NAMES else None))
    return 1 if session.failures else 0


def _publish(session: Session, seeds: str, seconds: float, out: Path | None) -> None:
    """The whole page to `out`; without one, the table alone to standard output."""
    if out is None:
        print(table(session.figures), *session.failures, seeds, sep="\n")
        return
    speeds = session.calibrations
    circumstances = Circumstances(
        f"{datetime.now(UTC):%Y-%m-%d}", _machine(), platform.python_version(), session.versions,
        (min(speeds), max(speeds)) if speeds else None, session.rounds, seconds,
    )  # fmt: skip
    out.write_text(document(session.figures, seeds, session.failures, circumstances), encoding="utf-8")
    say(f"wrote {out} after {seconds:.0f} s")


def _machine() -> str:
    model = platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return f"{os.cpu_count()} cores ({model})"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class Options:
    """The command line."""

    only: Sequence[str]
    quick: bool
    rounds: int
    out: Path | None


def _arguments(argv: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run_all", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=NAMES, default=[], help="measure this alone; may be repeated"
    )
    parser.add_argument("--quick", action="store_true", help="the short measurements, once each")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each measurement (default: 3)")
    parser.add_argument("--out", type=Path, help="write the page there (default: docs/benchmarks.md, for a whole run)")
    found = parser.parse_args(argv)
    return Options(found.only, found.quick, found.rounds, found.out)


if __name__ == "__main__":
    raise SystemExit(main())
