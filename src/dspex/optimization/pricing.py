"""What an evaluation of a candidate will cost: its stages from the first changed one on, since the others are replayed.

An equal request is an equal call, and the store has its answer: a candidate that differs from another in its last stage
alone pays for that stage alone, on the examples that the other was asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice

from dspex.kernel.canonical import canonical
from dspex.kernel.ports import JSON, NO_USAGE, Usage
from dspex.kernel.program import Program
from dspex.kernel.space import Configuration
from dspex.optimization.deciding import SearchView
from dspex.optimization.rows import Candidate, Evaluation
from dspex.optimization.spending import LIMITS, amount_of

ROWS = 4
"""Evaluations of a candidate that are looked at: the price of a stage hardly differs from one to the other."""

Price = Mapping[str, float]
"""By the limits of a budget: calls, tokens, dollars an example."""


@dataclass
class _Mean:
    total: Usage = NO_USAGE
    count: int = 0

    def add(self, usage: Usage) -> None:
        self.total, self.count = self.total + usage, self.count + 1

    def of(self, name: str) -> float:
        return amount_of(self.total, name) / self.count


@dataclass
class StagePrices:
    """What each stage of the pipeline consumed, by its configuration, and which beginnings have been run before."""

    program: Program
    seen: set[str] = field(default_factory=set[str])
    """Configured beginnings of the pipeline that candidates have run through, as text."""
    asked: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """(beginning, example) that were run."""
    means: dict[str, _Mean] = field(default_factory=dict[str, _Mean])
    """Of a stage as configured, of a stage with its model, of a stage: from the exact to the rough."""
    replayed: int = 0
    bought_again: int = 0
    """How often a beginning that had been run before was answered from memory, or was not: there may be no memory."""

    def whole(self, values: Configuration) -> dict[str, float]:
        """The price of an evaluation of this configuration, where nothing is replayed."""
        return self._sum(self._parts(values), 0, 0.0)

    def of(self, values: Configuration) -> dict[str, float]:
        """The price of an evaluation of this configuration, where another has been asked the same example."""
        parts = self._parts(values)
        fresh = next((index for index, (_, begun) in enumerate(parts) if begun not in self.seen), len(parts))
        return self._sum(parts, fresh, (self.replayed + 1) / (self.replayed + self.bought_again + 1))

    def _sum(self, parts: list[tuple[_Stage, str]], fresh: int, free: float) -> dict[str, float]:
        """Of the stages before `fresh` the share `free` costs nothing."""
        found: dict[str, float] = dict.fromkeys(LIMITS, 0.0)
        for index, (stage, _) in enumerate(parts):
            share = 1.0 if index >= fresh else 1 - free
            mean = next((self.means[key] for key in _named(stage) if key in self.means), None)
            if mean is not None:
                for name in LIMITS:
                    found[name] += share * mean.of(name)
        return found

    def learn(self, candidate: Candidate, rows: list[Evaluation]) -> None:
        """Take in what rows of a candidate consumed. Candidates come oldest first."""
        parts = self._parts(candidate.values)
        for row in rows:
            for stage, begun in parts:
                used = _used(row, stage.name)
                if (begun, row.example) in self.asked and (used.calls or used.cached_calls):
                    self.replayed += not used.calls
                    self.bought_again += bool(used.calls)
                if used.cached_calls:
                    continue  # what it costs when it is not in memory, this row does not say
                for key in _named(stage):
                    self.means.setdefault(key, _Mean()).add(used)
            self.asked.update((begun, row.example) for _, begun in parts)
        self.seen.update(begun for _, begun in parts)

    def _parts(self, values: Configuration) -> list[tuple[_Stage, str]]:
        """Each stage with the text of all that is configured up to it."""
        found: list[tuple[_Stage, str]] = []
        begun: list[JSON] = []
        for step in self.program.pipeline:
            own = {path: value for path, value in values.items() if path.startswith(f"{step.name}.")}
            begun.append(own)
            model = own.get(f"{step.name}.model")
            found.append((_Stage(step.name, canonical(own), canonical(model)), canonical(begun)))
        return found


@dataclass(frozen=True, slots=True)
class _Stage:
    name: str
    configured: str
    model: str


def _named(stage: _Stage) -> tuple[str, str, str]:
    return f"{stage.name}/{stage.configured}", f"{stage.name}//{stage.model}", stage.name


def _used(row: Evaluation, stage: str) -> Usage:
    """What a stage of a row consumed, its sub-steps included."""
    if len(row.trace) == 1:
        return row.usage if row.trace[0].step.partition(".")[0] == stage else NO_USAGE
    return sum((item.usage for item in row.trace if item.step.partition(".")[0] == stage), NO_USAGE)


async def stage_prices(search: SearchView) -> StagePrices:
    """From the folded rows; what was read and learned once is remembered, so that a round takes in its new candidates
    alone. What an earlier round was given goes on learning: it is for the round that asks."""
    memory, val = search.problem.memory, set(search.problem.keys)
    told: list[Candidate] = []
    for candidate in search.ledger.candidates.values():
        key = ("rows for prices", candidate.id)
        if key not in memory:
            scores = search.ledger.scores(candidate.id)
            # In the order in which they were folded: a process that takes over later finds the same ones first.
            asked = list(islice((item for item in scores if item in val), ROWS))
            read = [await search.ledger.read((candidate.id, *item)) for item in asked]
            if not read:
                continue
            memory[key] = [row for row in read if row is not None]
        told.append(candidate)
    names = [item.id for item in told]
    known: tuple[list[str], StagePrices] = memory.get("prices") or ([], StagePrices(search.problem.program))
    learned, found = known
    # One that is older than some that were learned may have had no score until now: then all are learned in order.
    if names[: len(learned)] != learned:
        learned, found = [], StagePrices(search.problem.program)
    for candidate in told[len(learned) :]:
        found.learn(candidate, memory["rows for prices", candidate.id])
    memory["prices"] = (names, found)
    return found
