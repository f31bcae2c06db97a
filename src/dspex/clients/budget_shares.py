"""What all runs of a store may spend together: amounts, what a process says and asks, and what it is told."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Protocol

from dspex.clients.budget import Budget

VALID_SECONDS = 15.0
"""What a process holds it may spend for so long after it last asked."""
VOID_SECONDS = 2 * VALID_SECONDS
"""After so long it is taken from a process that is not heard of, and its rows say what it has spent."""
PARTS = 50
"""A process takes about one of so many parts of what is left."""
_DIGITS, DRIFT = 12, 1e-9
"""Sums of fractions of dollars drift; by less than this."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Amounts of everything that a budget can limit but time."""

    calls: int = 0
    tokens: int = 0
    usd: float = 0.0

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.calls + other.calls, self.tokens + other.tokens, round(self.usd + other.usd, _DIGITS))

    def __sub__(self, other: Sums) -> Sums:
        return Sums(self.calls - other.calls, self.tokens - other.tokens, round(self.usd - other.usd, _DIGITS))

    def within(self, room: Sums, budget: Budget) -> bool:
        """Whether it fits into `room`, as far as the budget limits it."""
        return all(getattr(self, unit) <= getattr(room, unit) + DRIFT for unit in limited(budget))

    def cut(self, room: Sums) -> Sums:
        """As much of it as `room` has, and nothing where that is less than nothing."""
        return Sums(
            max(0, min(self.calls, room.calls)),
            max(0, min(self.tokens, room.tokens)),
            max(0.0, min(self.usd, room.usd)),
        )


UNITS: tuple[str, ...] = tuple(item.name for item in fields(Sums))
NOTHING = Sums()


def limited(budget: Budget) -> list[str]:
    """What the budget limits of what can be shared."""
    return [unit for unit in UNITS if getattr(budget, unit) is not None]


@dataclass(frozen=True, slots=True)
class Claim:
    """What one run says and asks."""

    spent: Sums
    """All that it has spent."""
    reserved: Sums
    """For calls under way. It counts whatever is left: they are sent, or about to be."""
    wanted: Sums = NOTHING
    """What it wants at least, beyond the rest."""
    spare: Sums = NOTHING
    """What it holds beyond that and would keep. It keeps no more than it was given and was not taken from it since."""
    unheard: Sums = NOTHING
    """Of what is spent, what rows of calls do not say: sendings that may have been billed, with others after them."""


@dataclass(frozen=True, slots=True)
class Share:
    """What a run may spend beyond what it has spent, and how things stand. `budget` None: nothing is shared."""

    budget: Budget | None
    held: Sums = NOTHING
    spent: Sums = NOTHING
    """By all runs, as far as is known."""
    own: Sums = NOTHING
    """Of it, by this run."""
    unheard: Sums = NOTHING
    """Of that, what no row says."""


class BudgetShares(Protocol):
    """One run's access to the budget of its store.

    Contract: what all runs have spent and hold never adds up to more than the budget, whichever process dies or is
    stopped for however long. Raises StorageError, and FencedError where another process carries the run.
    """

    async def open(self) -> Share:
        """Take over whatever an earlier process of the run held: what it spent is told from its rows."""
        ...

    async def claim(self, claim: Claim) -> Share: ...
