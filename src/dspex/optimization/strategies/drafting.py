"""A round in two parts: while the first is evaluated, the candidates of the second are written.

What they are written from is decided with the first part and kept in its memo. Both parts are rounds of the ledger; the
schedule is folded after the second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dspex.errors import BudgetExceededError
from dspex.kernel.ports import JSON
from dspex.optimization.deciding import Draft, Drafting, Joinable, Proposer, Schedule, SearchView, Turn
from dspex.optimization.rows import Proposal, Round
from dspex.optimization.strategies.sharing import Fresh

FIRST = 0.25
"""The share of what the budget still pays for that is kept for the first texts: nobody knows what they will take."""


async def drafted(turns: Sequence[tuple[Proposer, Turn]]) -> dict[str, JSON]:
    """By the writer's name, what it will write from; nobody's where the budget does not even show them mistakes."""
    try:
        found = {item.name: await item.draft(turn) for item, turn in turns if isinstance(item, Drafting)}
    except BudgetExceededError:
        return {}
    return {name: draft for name, draft in found.items() if draft is not None}


async def written(search: SearchView, proposers: Sequence[Proposer], drafts: Mapping[str, JSON]) -> list[Proposal]:
    """What they write, all at once."""
    writers = [item for item in proposers if isinstance(item, Drafting) and item.name in drafts]
    found = await asyncio.gather(*(item.write(search, drafts[item.name]) for item in writers))
    return [proposal for proposals in found for proposal in proposals]


def first_part(search: SearchView, schedule: Schedule, memo: JSON, fresh: Sequence[str], later: int) -> Draft | None:
    """The plan of the first part of a round that `later` candidates join; None where it has to come whole.

    It has to where nothing is there to be evaluated, and where the budget may not pay for all of it: what a spent
    budget refuses would then hang on what was sooner, an evaluation or a text.
    """
    if not later or not isinstance(schedule, Joinable):
        return None
    asking = search.asking or FIRST * min(search.affordable, 1e9)
    part = schedule.part(replace(search, affordable=search.affordable - asking), memo, fresh, later)
    return part if part.pairs and set(part.taken) == set(fresh) else None


def second_part(search: SearchView, schedule: Schedule, memo: dict[str, Any]) -> Round | None:
    """The second part of a round: what was written while the first was evaluated. None where nothing came of it."""
    found = Fresh()
    found.add(search, search.prepared)
    if not found.candidates or not isinstance(schedule, Joinable):
        return None
    draft = schedule.join(search, memo["schedule"], list(found.candidates))
    if not draft.pairs:
        return None
    memo["schedule"] = draft.memo
    new = tuple(item for item in found.candidates.values() if item.id in draft.taken)
    return Round(search.number, draft.pairs, new, memo)
