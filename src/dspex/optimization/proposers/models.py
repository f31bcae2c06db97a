"""Which model for which step: one step's model at a time, the cheapest first, and together what paid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from dspex.clients.prices import Prices
from dspex.kernel.ports import JSON
from dspex.kernel.variables import Choice
from dspex.optimization.deciding import SearchView, Turn, VariableKind
from dspex.optimization.rows import Candidate, Proposal
from dspex.optimization.schedules.comparing import PRIOR
from dspex.optimization.stages import Hole, holes

Swap = tuple[str, JSON]
"""The path of a step's model, and a model."""
_TOKENS = (1000, 250)
"""Of a call, to compare prices by: what goes in counts, and what comes out costs more."""


@dataclass(frozen=True)
class ModelChoice:
    """Coordinate moves over the `model` of each step that leaves it open.

    From the best candidate the model of one step is changed, the cheapest model first, those of unknown price last.
    Where changes of several steps paid off, each for itself, all of them are made together.
    """

    name: str = "model"
    needs: frozenset[VariableKind] = frozenset({"choice"})
    prices: Prices = field(default_factory=Prices)

    async def propose(self, turn: Turn) -> list[Proposal]:
        search, best = turn.search, turn.parents[0]
        open_ = _open(search, best)
        found: list[Proposal] = []
        for changes in (*_together(search, best, open_), *([swap] for swap in self._cheapest_first(best, open_))):
            if len(found) == turn.count:
                break
            values = {**best.values, **dict(changes)}
            said = ", ".join(f"{path} = {value!r}" for path, value in changes)
            proposal = Proposal(values, self.name, (best.id,), said)
            if search.candidate(proposal) is not None:
                found.append(proposal)
        return found

    def _cheapest_first(self, best: Candidate, open_: list[tuple[Hole, Choice]]) -> list[Swap]:
        swaps = [
            (hole.dimension.path, value)
            for hole, variable in open_
            for value in variable.values
            if value != best.values[hole.dimension.path]
        ]
        return sorted(swaps, key=lambda swap: self._price(swap[1]))

    def _price(self, model: JSON) -> float:
        price = self.prices.of(str(model))
        return float("inf") if price is None else price.usd(*_TOKENS)


def _open(search: SearchView, candidate: Candidate) -> list[tuple[Hole, Choice]]:
    """The steps whose model is a Choice that is active."""
    found = holes(search.problem.program, candidate.values, "choice")
    return [
        (hole, hole.dimension.variable)
        for hole in found
        if hole.option == "model" and isinstance(hole.dimension.variable, Choice)
    ]


def _together(search: SearchView, best: Candidate, open_: list[tuple[Hole, Choice]]) -> Iterator[list[Swap]]:
    """The best change of each step that paid, all of them at once; nothing where that is a single change."""
    paths = {hole.dimension.path for hole, _ in open_}
    gains: dict[str, tuple[float, JSON]] = {}
    for path, value, gain in _tried(search):
        if path in paths and gain > max(0.0, gains.get(path, (0.0, None))[0]):
            gains[path] = (gain, value)
    changes = [(path, value) for path, (_, value) in gains.items() if best.values[path] != value]
    if len(changes) > 1 or (changes and len(gains) > 1):
        yield changes


def _tried(search: SearchView) -> Iterator[tuple[str, JSON, float]]:
    """Single changes of a model so far, with what they gained over what they were made of, shrunk."""
    known = search.ledger.candidates
    for item in known.values():
        parent = known.get(item.parents[0]) if item.operator == ModelChoice.name and item.parents else None
        if parent is None:
            continue
        changed = [path for path, value in item.values.items() if parent.values.get(path) != value]
        ours, theirs = search.ledger.scores(item.id), search.ledger.scores(parent.id)
        moved = [ours[key] - theirs[key] for key in ours if key in theirs]
        if len(changed) == 1 and moved:
            yield changed[0], item.values[changed[0]], sum(moved) / (len(moved) + PRIOR)
