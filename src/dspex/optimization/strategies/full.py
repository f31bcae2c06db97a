"""What published strategies have in common: candidates on all of val, and the best mean wins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dspex.optimization.deciding import Finalists, SearchView
from dspex.optimization.rows import Candidate, Pair
from dspex.optimization.schedules.comparing import mean_of, missing

SPENT = "the search's share of the budget is spent"


def named(search: SearchView, values: dict[str, Any], operator: str, hypothesis: str) -> tuple[str, Candidate | None]:
    """The id of a configuration, and the candidate to commit with the round where the ledger has none of that id."""
    completed = search.problem.completed(values)
    found = search.problem.id_of(completed)
    if found in search.ledger.candidates:
        return found, None
    return found, Candidate(found, completed, operator, (search.problem.seed_id,), hypothesis, search.number)


def affordable(search: SearchView, candidates: Sequence[str], size: int) -> tuple[list[str], list[Pair]]:
    """As many of the candidates, in order, as the budget pays for on the first `size` val examples, and their pairs."""
    taken: list[str] = []
    pairs: dict[Pair, None] = {}
    for item in candidates:
        unasked = missing(search, [item], search.problem.keys[:size])
        # What infrastructure failed before was tried often enough: a program that comes again would fail it again.
        wanted = [pair for pair in unasked if pair not in pairs and not search.ledger.failures(pair)]
        if len(pairs) + len(wanted) > search.affordable:
            break
        pairs.update(dict.fromkeys(wanted))
        taken.append(item)
    return taken, list(pairs)


def means(search: SearchView, candidates: Iterable[str], size: int) -> dict[str, float]:
    """Mean scores on the first `size` val examples, best first; of equals the earlier first."""
    found = {item: mean_of(search, item, size) for item in dict.fromkeys(candidates)}
    return dict(sorted(found.items(), key=lambda entry: -entry[1]))


def best(search: SearchView, candidates: Iterable[str], size: int) -> str:
    """The best of those that were evaluated in full, the seed program where there are none."""
    return next(iter(means(search, candidates, size)), search.problem.seed_id)


def ahead(search: SearchView, candidates: Sequence[str], size: int) -> Finalists:
    """The best of those that were evaluated in full, as published: by the mean alone, where it is not the seed program.

    What it is worth, the confirmation says.
    """
    winner = best(search, candidates, size)
    seed = search.problem.seed_id
    others = [item for item in candidates if item != seed]
    return Finalists((winner,) if winner != seed else (), len(others))
