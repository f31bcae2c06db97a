"""How the new candidates of a round are shared among proposers, and collected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from dspex.optimization.deciding import Proposer, SearchView
from dspex.optimization.rows import Candidate, Proposal

PATIENCE = 4
"""Rounds without a new incumbent after which proposers take turns whatever they have brought so far."""
Share = tuple[Proposer, int]


@dataclass(slots=True)
class Fresh:
    """New candidates on their way into a round."""

    candidates: dict[str, Candidate] = field(default_factory=dict[str, Candidate])

    def add(self, search: SearchView, proposals: Sequence[Proposal]) -> None:
        """Take those that are valid and that the ledger does not have."""
        for item in map(search.candidate, proposals):
            if item is not None:
                self.candidates.setdefault(item.id, item)


def shared(proposers: Sequence[Proposer], slots: int, memo: Mapping[str, Any], rng: Random) -> list[Share]:
    """How many candidates each proposer is asked for: one at least where there is room, the rest by its record.

    Where the room is too small for all, those go first at the beginning that are listed first, later by lot.
    """
    order = rng.sample(list(proposers), len(proposers)) if memo["arms"] else list(proposers)
    counts = dict.fromkeys((item.name for item in order), 0)
    for index in range(slots):
        if index < len(order):
            counts[order[index].name] += 1
        else:
            drawn: dict[str, float] = {}
            for item in order:
                wins, tries = (0, 0) if memo["stale"] > PATIENCE else memo["arms"].get(item.name, (0, 0))
                drawn[item.name] = rng.betavariate(1 + wins, 1 + tries - wins)
            counts[max(drawn, key=lambda name: drawn[name])] += 1
    return [(item, counts[item.name]) for item in proposers if counts[item.name]]
