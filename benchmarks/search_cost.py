"""What a search costs beside its model: `python -m benchmarks.search_cost`. Writes nothing; prints a table.

CPU a call of whole searches whose model takes no time, in memory and with the journal in SQLite, what of it went into
surrogate fits, and the memory of one long run. Each search has a process of its own. What happens once a process (the
imports, statements that are worded at their first use, and the collector's look at all that these have left) or once a
project (its store is made) is done before the clock runs.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from tempfile import TemporaryDirectory
from typing import Any
from zlib import crc32

import dspex
from benchmarks.environments import ROOT
from benchmarks.measurements import Line
from benchmarks.report import Figures
from dspex.kernel.ports import Capabilities, Completion, Request, Usage
from dspex.storage.opening import open_database

STRATEGIES = ("auto", "bootstrap", "random", "mipro", "gepa", "beacon")
FITTING = {"mipro": "TPE", "beacon": "the Gaussian process", "tpe": "TPE with 16 parameters"}
"""Searches whose fits have a line of their own."""
LONG = "long"
"""`random` for so long that it makes 20,000 evaluations of 2,000 candidates."""
WANTED_CPU, WANTED_MB = 200, 500
REPEATS = 3
STORES = ("memory", "journal")
_LONGEST = 900
"""Seconds a search may take."""
_TEAMS = ("billing", "technical", "account")
_MORE = ("urgency", "language", "mood")
_HINT = "look at the number"


@dataclass(frozen=True, slots=True)
class Size:
    """Of a search."""

    calls: int = 2000
    val: int = 200
    width: int | None = None
    schedule: str | None = None


Splits = tuple[dspex.Dataset, dspex.Dataset]
SIZES = {LONG: Size(21_000, 20, 32, "full")}
"""Of those that are not of the usual one."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one search took. Several are shown by their median."""

    strategy: str
    store: str
    calls: int
    cpu: float
    """Seconds of CPU, all threads, fits included."""
    fitting: float
    """Seconds of it that went into fits."""
    rounds: int
    candidates: int
    evaluations: int
    megabytes: float
    """The most that the process held beyond what it held before the search."""

    @property
    def a_call(self) -> float:
        """Microseconds of CPU, fits left out."""
        return (self.cpu - self.fitting) / self.calls * 1e6

    @property
    def fits(self) -> float:
        """Milliseconds that the fits took a round."""
        return self.fitting / self.rounds * 1e3


class Instant:
    """A model that answers at once: right 45 times of 100, 90 with the hint, which it finds half of the time when it is
    asked for instructions. `fields` are what steps may ask for beside the team."""

    def __init__(self, fields: Sequence[str] = ()) -> None:
        self._fields = fields

    async def complete(self, request: Request) -> Completion:
        return Completion(self._answer(request), "stop", Usage(1, 100, 10, 0.0), request.model)

    def capabilities(self, model: str) -> Capabilities:
        return Capabilities()

    async def aclose(self) -> None:
        """Nothing is open."""

    def _answer(self, request: Request) -> str:
        asked = request.messages[-1]["content"]
        if "<instructions>" in asked:
            found = crc32(f"{asked}{request.sample}".encode()) % 2
            return f"<instructions>Route the ticket{': ' + _HINT if found else ', as well as you can'}.</instructions>"
        at = asked.rfind("ticket no. ")
        if at < 0:
            return "Route the ticket."
        number = int(asked[at + 11 :].split(maxsplit=1)[0])
        skill = 0.9 if _HINT in request.messages[0]["content"] else 0.45
        right = crc32(f"{number} {request.settings.get('temperature', 0)}".encode()) / 2**32 < skill
        answer = _TEAMS[(number + (not right)) % 3]
        if not self._fields:
            return f"[[team]]\n{answer}\n\n[[end]]"
        name = next((name for name in self._fields if f"[[{name}]]" in asked), "team")
        return f"[[{name}]]\n{answer}\n\n[[end]]"


def program(strategy: str) -> dspex.Program:
    """One step with texts and demonstrations, and a number where the strategy is about them; 16 numbers for `tpe`."""
    if strategy == "tpe":
        ranges = {name: dspex.Float(0, 1) for name in ("temperature", "top_p", "presence_penalty", "frequency_penalty")}
        wanted = ["ticket -> team", *(f"ticket -> {name}" for name in _MORE)]
        steps = [dspex.predict(dspex.signature(text), name=text.split()[-1], **ranges) for text in wanted]
        return dspex.Program(name="route", pipeline=steps)
    options: dict[str, Any] = {"instructions": dspex.Text(), "demos": dspex.Demos(max=4)}
    if strategy in ("random", "beacon", LONG):
        options["temperature"] = dspex.Float(0, 1)
    step = dspex.predict(dspex.signature("ticket -> team"), name="route", **options)
    return dspex.Program(name="route", pipeline=[step])


def rows(count: int, start: int) -> dspex.Dataset:
    """Tickets, all different, with their teams."""
    numbers = range(start, start + count)
    return dspex.Dataset.of({"ticket": f"ticket no. {n} weighs {n % 13} grams", "team": _TEAMS[n % 3]} for n in numbers)


async def search(strategy: str, store: str, size: Size, data: Splits, seed: int = 0) -> dspex.OptimizationResult:
    """A whole search, as a user begins it."""
    instant = Instant(_MORE if strategy == "tpe" else ())
    ready = dspex.runtime("instant/model", models={"instant": instant}, file="none", cache="none")
    budget, options = dspex.Budget(calls=size.calls), dspex.SearchOptions(width=size.width)
    return await dspex.aoptimize(
        program(strategy), *data, dspex.ExactMatch("team"), ready, strategy="random" if strategy == LONG else strategy,
        schedule=size.schedule, store=store, seed=seed, budget=budget, options=options,
    )  # fmt: skip


async def measured(strategy: str, store: str) -> Cost:
    """One search on the clock, after a short one."""
    with TemporaryDirectory(prefix="dspex-cost") as folder:
        places = [":memory:" if store == "memory" else str(Path(folder) / name) for name in ("first.db", "second.db")]
        await search(strategy, places[0], Size(400), (rows(100, 0), rows(60, 10_000)), seed=1)
        size = SIZES.get(strategy, Size())
        data = rows(100, 0), rows(size.val, 10_000)
        if store != "memory":
            await (await open_database(places[1])).aclose()
        gc.collect()
        before, began = _resident(), time.process_time()
        result = await search(strategy, places[1], size, data)
        cpu = time.process_time() - began
    grown = getrusage(RUSAGE_SELF).ru_maxrss / 1024 - before
    found = (result.rounds, len(result.ledger.candidates), result.evaluations)
    return Cost(strategy, store, result.usage.calls, cpu, result.fitting, *found, grown)


def cost(strategy: str, store: str) -> Cost:
    """`measured` in a process of its own. Raises RuntimeError with what that process said where it failed."""
    argv = [sys.executable, "-m", "benchmarks.search_cost", "--one", strategy, store]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=_LONGEST)
    if done.returncode:
        raise RuntimeError(f"search cost of {strategy}, {store}: {done.stderr[-500:]}")
    return Cost(**json.loads(done.stdout))


def search_figures(repeats: int, say: Callable[[str], None], names: Sequence[str] = STRATEGIES) -> list[Figures]:
    """The lines of the page; each figure is the median of so many searches, of one where it is memory."""
    lines: list[Figures] = []
    fits: list[Figures] = []
    unit = "us of CPU a call"
    for name in dict.fromkeys([*names, *(FITTING if names == STRATEGIES else ())]):
        found: dict[str, list[Cost]] = {store: [] for store in STORES}
        for store in STORES * repeats:
            say(f"search cost: {name}, {store}")
            found[store].append(cost(name, store))
        kept = statistics.median(item.a_call for item in found["memory"])
        journal = statistics.median(item.a_call for item in found["journal"])
        if name in names:
            lines.append(_figures(f"`{name}`, its journal in SQLite", unit, journal, WANTED_CPU))
            lines.append(_figures(f"`{name}`, in memory", unit, kept))
        if name in FITTING:
            everything = [item for costs in found.values() for item in costs]
            took = statistics.median(item.fits for item in everything)
            fits.append(_figures(f"fits of {FITTING[name]} in `{name}`, not in the above", "ms of CPU a round", took))
    say("search cost: memory of a long run")
    long = cost(LONG, "journal")
    title = f"memory of {long.evaluations:,} evaluations of {long.candidates:,} candidates"
    return [*lines, *fits, _figures(title, "MB", long.megabytes, WANTED_MB)]


def _figures(title: str, unit: str, value: float, wanted: float | None = None) -> Figures:
    return Figures(Line(title, unit, None, lambda _: value, wanted), None, value)


def _resident() -> float:
    """Megabytes of memory that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search_cost", description=__doc__)
    parser.add_argument("names", nargs="*", default=STRATEGIES, help="strategies (default: all, and the fits)")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="searches for each figure (default: 3)")
    parser.add_argument("--one", nargs=2, metavar=("STRATEGY", "STORE"), help="one search, in this process, as JSON")
    options = parser.parse_args(argv)
    if options.one:
        print(json.dumps(asdict(asyncio.run(measured(*options.one)))))
        return
    for item in search_figures(options.repeats, lambda text: print(text, file=sys.stderr), tuple(options.names)):
        wanted = "" if item.line.wanted is None else f" (goal: {item.line.wanted:g})"
        print(f"{item.line.title}: {item.ours:.3g} {item.line.unit}{wanted}")


if __name__ == "__main__":
    main()
