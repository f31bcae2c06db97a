"""docs/benchmarks.md from what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.measurements import Line

HEADINGS: Mapping[str, str] = {
    "size": "Installed",
    "import": "Start, in a new process",
    "call": "One structured call, the model in process",
    "http": "One structured call over loopback HTTP",
    "evaluate": "Evaluation over HTTP, the model takes 50 ms",
    "linearity": "Evaluation in process, more and more examples",
    "cache": "An answer already bought",
    "faults": "2,000 examples, 5 % answers 429, 2 % answers 500, 1 % bodies cut off",
    "optimizers": "Optimizers, the model at 0 ms: what is left is the framework",
    "search": "Searches by strategy, the model in process at 0 ms",
}
"""By the first word of an experiment's name."""


@dataclass(frozen=True, slots=True)
class Figures:
    """A line of the table, with what was measured now."""

    line: Line
    theirs: float | None
    ours: float | None

    @property
    def ratio(self) -> float | None:
        """How many times better ours is; None where there is nothing to compare."""
        if self.theirs is None or self.ours is None or self.theirs <= 0 or self.ours <= 0:
            return None
        return self.ours / self.theirs if self.line.more else self.theirs / self.ours

    @property
    def verdict(self) -> str:
        """`met`; `met by ratio` where only the machine is slower than the one the goal was set on; or `not met`."""
        if self.line.wanted is None:
            return ""
        if self.ours is None:
            return "not measured"
        if self.ours >= self.line.wanted if self.line.more else self.ours <= self.line.wanted:
            return "met"
        goal = self.goal_ratio
        if goal is not None and self.ratio is not None and self.ratio >= goal:
            return "met by ratio"
        return "**not met**"

    @property
    def goal_ratio(self) -> float | None:
        """How many times better than the peer the goal is, by the figures it was set beside."""
        if self.line.peer_then is None or not self.line.wanted:
            return None
        return self.line.wanted / self.line.peer_then if self.line.more else self.line.peer_then / self.line.wanted


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Where and when it was measured."""

    when: str
    machine: str
    python: str
    versions: Mapping[str, str]
    calibration: tuple[float, float] | None
    """Least and most nanoseconds of CPU for one pass of the harness's fixed loop, during the run."""
    rounds: int
    seconds: float


def document(
    figures: Mapping[str, Sequence[Figures]], seeds: str, failures: Sequence[str], circumstances: Circumstances
) -> str:
    """The whole page. `seeds` is the section on the demo, `failures` one line for each measurement that failed."""
    parts = [_introduction(circumstances), table(figures), _REMARKS]
    if failures:
        listed = "\n".join(f"- {item}" for item in failures)
        parts.append(f"## Measurements that failed\n\n{listed}")
    if seeds:
        parts.append(seeds)
    return "\n\n".join(part.strip() for part in parts) + "\n"


def table(figures: Mapping[str, Sequence[Figures]]) -> str:
    """The lines of all experiments, a heading for each kind."""
    rows = ["| | unit | DSPy | DSPEx | ratio | what we want | met |", "| --- | --- | ---: | ---: | ---: | ---: | --- |"]
    heading = ""
    for name, lines in figures.items():
        if heading != (heading := HEADINGS[name.partition("-")[0]]):
            rows.append(f"| **{heading}** | | | | | | |")
        rows.extend(_row(item) for item in lines)
    return "\n".join(rows)


def _row(item: Figures) -> str:
    line = item.line
    wanted = "" if line.wanted is None else f"{number(line.wanted)}"
    if item.goal_ratio is not None:
        wanted += f" ({item.goal_ratio:.1f} x)"
    ratio = "" if item.ratio is None else f"{item.ratio:.1f} x"
    theirs = "" if line.theirs is None else number(item.theirs)
    return f"| {line.title} | {line.unit} | {theirs} | {number(item.ours)} | {ratio} | {wanted} | {item.verdict} |"


def number(value: float | None) -> str:
    """Three digits, thousands kept whole; `failed` where there is none."""
    if value is None:
        return "failed"
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _introduction(found: Circumstances) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in sorted(found.versions.items()))
    speed, minutes = "", found.seconds / 60
    if found.calibration is not None:
        low, high = found.calibration
        speed = f"""
A fixed loop took {low:.0f} to {high:.0f} ns of CPU a pass during the run: the nearer the two, the steadier the machine.
The goals were set on a machine where it took about 48."""
    return f"""# Benchmarks

Written by `make bench`; do not edit. {found.when}, {found.machine}, Python {found.python};
{versions}.

Both libraries were measured in one run of {minutes:.0f} minutes, turn by turn, each measurement in a process of its
own; a figure is the median of {found.rounds} or more, of one where this page says so.{speed}

Everything is measured through public names, with retries, the limiter, the history, the accounting of tokens and an
observer of events on. The model is a mock that answers at once, or after a set time: what is measured is what the
framework adds. The task has one text in and two typed fields out.

*Ratio*: how many times better DSPEx is. *What we want*: the goal in figures of the machine it was set on, and in
brackets the ratio to DSPy that it meant there. *Met by ratio*: the figure is above the goal and the ratio is kept, so
it is this machine that is slower than that one. Shares and counts have no such excuse."""


_REMARKS = """## How to read it

- *Installed* counts the distribution with all it requires, without bytecode: DSPEx from a wheel of this checkout, with
  the locked versions; DSPy without what two of its optimizers need besides (numpy, optuna).
- *Start*: `python -c` in a new process, bytecode compiled; DSPy defines the same signature and program.
- *One structured call*: DSPy is called as its users call it, blocking, and that figure is beside each of ours. DSPEx
  asks for JSON, which is what the mock server writes; the line with the chat adapter shows our default. DSPy asks in
  its own default form, which the mock writes too.
- *Evaluation*: the ideal rate is the number at once over the latency. The client has one core, the server another.
  DSPy's run with 10,240 examples is measured once.
- *More and more examples*: the largest run of each is measured once; 100,000 would take DSPy many minutes. *Memory*:
  how much the resident set grows during the evaluation, over the number of examples; the data is made before, rows
  stream to a file.
- *An answer already bought*: each answer is fetched once over HTTP, then asked for again; from disk, with nothing in
  memory. DSPEx awaited in one loop.
- *Optimizers*: 100 examples to learn from and 100 to choose by; CPU of the whole optimization over the calls that it
  asked for. `dspex.optimize` as it is called without more: a durable run, its journal in SQLite. They do different
  things with their calls: this is the price of a call, not of what they find.
- *Searches by strategy*: whole searches of about 2,000 calls, 16 at once, each in a process of its own, after a short
  one that does what happens once a process; in this checkout's development environment, with the extra `optimize`.
  What goes into fits of surrogates is not in the price of a call; it has its own lines. *Memory* is what the process
  grew by at the most. `python -m benchmarks.search_cost` measures this part alone.

Run it again: `make bench`; a part of it: `python -m benchmarks.run_all --only call --quick`. The measuring harness is
looked for in `../shared/bench`, or where `BENCH_HARNESS` says."""
