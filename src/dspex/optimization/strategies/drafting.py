"""Who writes for the next round while a round is evaluated, and what: decided with the round, kept in its memo."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from dspex.errors import BudgetExceededError
from dspex.kernel.ports import JSON
from dspex.optimization.deciding import Drafting, Proposer, SearchView, Turn
from dspex.optimization.rows import Proposal


def writers(proposers: Sequence[Proposer]) -> list[Drafting]:
    """Those whose proposals take long to write."""
    return [item for item in proposers if isinstance(item, Drafting)]


async def drafted(turns: Sequence[tuple[Drafting, Turn]]) -> dict[str, JSON]:
    """By the writer's name, what it will write from; nobody's where the budget does not even show them mistakes."""
    try:
        found = {writer.name: await writer.draft(turn) for writer, turn in turns}
    except BudgetExceededError:
        return {}
    return {name: draft for name, draft in found.items() if draft is not None}


async def written(search: SearchView, proposers: Sequence[Proposer], drafts: Mapping[str, JSON]) -> list[Proposal]:
    """What they write, all at once."""
    asked = [item.write(search, drafts[item.name]) for item in writers(proposers) if item.name in drafts]
    return [proposal for proposals in await asyncio.gather(*asked) for proposal in proposals]
