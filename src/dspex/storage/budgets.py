"""A budget that all runs of a store keep together: one row says how much, one row a run what it has spent and holds.

What a run has spent is told from its calls whenever a process takes it over or gives it up unheard of; in between its
process says so, in all and not by how much more, so that nothing is counted twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, ScalarSelect, bindparam, case, func, or_, select

from dspex.clients.budget import Budget
from dspex.clients.budget_shares import NOTHING, PARTS, UNITS, VOID_SECONDS, Claim, Share, Sums, limited
from dspex.errors import ConfigurationError
from dspex.storage.database import Database, Guard
from dspex.storage.rates import clock
from dspex.storage.statements import Prepared, packed, unpacked
from dspex.storage.tables import calls, leases

_BUDGET = "budget"
_RUN = "budget:"


@dataclass(frozen=True, slots=True)
class Standing:
    """The shared budget at one moment."""

    budget: Budget
    spent: Sums
    held: Sums
    """Set aside by running processes, of which they give back what they do not need."""
    runs: int
    """How many have spent of it."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One run's part. After `until` its process is not heard of any more; 0: none of it was heard of yet."""

    spent: Sums
    held: Sums = NOTHING
    until: float = 0.0
    unheard: Sums = NOTHING
    """Of what is spent, what rows of calls do not say."""


class StoredShares:
    """`BudgetShares` of one run over rows."""

    def __init__(self, database: Database, run: str, guard: Guard | None = None) -> None:
        self._database, self._run, self._guard = database, run, guard

    async def open(self) -> Share:
        if await self._database.read(_budget) is None:
            return Share(None)
        return await self._database.write(partial(_opened, run=self._run), self._guard)

    async def claim(self, claim: Claim) -> Share:
        return await self._database.write(partial(_claimed, run=self._run, claim=claim), self._guard)


def share_budget(connection: Connection, budget: Budget | None) -> None:
    """Set what all runs of the store may spend together, from its first call on; None: as much as each may.

    Raises ConfigurationError for a budget without limits, and for one of seconds.
    """
    if budget is None:
        connection.execute(leases.delete().where((leases.c.name == _BUDGET) | leases.c.name.startswith(_RUN)))
        return
    if budget.seconds is not None:
        raise ConfigurationError("a shared budget has no seconds: give each run its own; set calls, tokens or usd")
    if not limited(budget):
        raise ConfigurationError("the shared budget has no limit; set at least one: calls, tokens or usd")
    new = _budget(connection, hold=True) is None
    values = {"period": 0.0, "used": 0.0, "data": packed(budget.model_dump(exclude_none=True))}
    if not new:
        connection.execute(leases.update().where(leases.c.name == _BUDGET).values(values))
        return
    connection.execute(leases.insert().values(name=_BUDGET, **values))
    for run, spent in _paid(connection).items():
        _keep(connection, run, _Entry(spent), {})


def standing(connection: Connection) -> Standing | None:
    """The shared budget and what is spent and held of it; None: there is none."""
    budget = _budget(connection)
    if budget is None:
        return None
    entries = _entries(connection)
    spent, held = (sum((getattr(item, name) for item in entries.values()), NOTHING) for name in ("spent", "held"))
    return Standing(budget, spent, held, sum(item.spent != NOTHING for item in entries.values()))


def _opened(connection: Connection, run: str) -> Share:
    budget = _budget(connection, hold=True)
    if budget is None:
        return Share(None)
    entries = _entries(connection)
    entry = _ended(connection, budget, run, entries.get(run), clock(connection) + VOID_SECONDS)
    _keep(connection, run, entry, entries)
    return Share(budget, own=entry.spent, unheard=entry.unheard)


def _claimed(connection: Connection, run: str, claim: Claim) -> Share:
    budget = _budget(connection, hold=True)
    if budget is None:
        return Share(None, own=claim.spent)
    now, entries = clock(connection), _entries(connection)
    others = {name: entry for name, entry in entries.items() if name != run}
    had = entries.get(run, _Entry(NOTHING))
    # What was taken from a process that did not move for a while is another's by now, whatever it thinks it holds.
    spare = claim.spare.cut(had.spent + had.held - claim.spent - claim.reserved)
    kept = claim.reserved + spare
    left = _left(budget, claim.spent + kept, others.values())
    over = spare - spare.cut(spare + left)  # beyond a budget that is smaller by now
    kept, left = kept - over, left + over
    if claim.wanted != NOTHING and not claim.wanted.within(left, budget):
        for name in [name for name, entry in others.items() if entry.held != NOTHING and entry.until < now]:
            others[name] = _ended(connection, budget, name, others[name], now)
            _keep(connection, name, others[name], entries)
        left = _left(budget, claim.spent + kept, others.values())
    if claim.wanted != NOTHING and claim.wanted.within(left, budget):
        kept = kept + _part(budget, claim.wanted, left)
    _keep(connection, run, _Entry(claim.spent, kept, now + VOID_SECONDS, claim.unheard), entries)
    spent = sum((entry.spent for entry in others.values()), claim.spent)
    return Share(budget, kept, spent, claim.spent, claim.unheard)


def _ended(connection: Connection, budget: Budget, run: str, entry: _Entry | None, until: float) -> _Entry:
    """A run whose process is gone, or not heard of: it has spent what its calls say, at least what that process said
    itself, and never more than it held. Where its calls were all lost and do not say what they take at most, that is
    what counts."""
    paid = _paid(connection, run).get(run, NOTHING)
    if entry is None or not entry.until:
        return _Entry(paid, until=until)
    paid, most = paid + entry.unheard, entry.spent + entry.held
    if _unknown(connection, budget, run):
        paid = replace(most, calls=paid.calls)
    spent = replace(
        paid,
        **{
            unit: max(getattr(entry.spent, unit), min(getattr(paid, unit), getattr(most, unit)))
            for unit in limited(budget)
        },
    )
    return _Entry(spent, NOTHING, until, entry.unheard)


def _unknown(connection: Connection, budget: Budget, run: str) -> bool:
    """Whether calls of a run were lost that do not say what they take, and none of it was answered to tell from."""
    columns = [column for unit, column in (("tokens", calls.c.most_tokens), ("usd", calls.c.most_usd))
               if unit in limited(budget)]  # fmt: skip
    if not columns:
        return False
    lost = select(calls.c.key).where(calls.c.run == run, calls.c.state != "done", or_(*(c.is_(None) for c in columns)))
    heard = select(calls.c.key).where(calls.c.run == run, calls.c.state == "done")
    return connection.execute(lost.limit(1)).first() is not None and connection.execute(heard.limit(1)).first() is None


def _left(budget: Budget, own: Sums, others: Iterable[_Entry]) -> Sums:
    """What neither is spent nor held by anybody, in what the budget limits."""
    gone = sum((entry.spent + entry.held for entry in others), own)
    return Sums(**{unit: getattr(budget, unit) or 0 for unit in UNITS}) - gone


def _part(budget: Budget, wanted: Sums, left: Sums) -> Sums:
    """A share of what is left that is worth coming for, and at least what is wanted."""
    calls = max(wanted.calls, left.calls // PARTS)
    tokens = max(wanted.tokens, left.tokens // PARTS)
    usd = max(wanted.usd, left.usd / PARTS)
    limits = limited(budget)
    return Sums(calls if "calls" in limits else 0, tokens if "tokens" in limits else 0, usd if "usd" in limits else 0.0)


def _budget(connection: Connection, *, hold: bool = False) -> Budget | None:
    """The budget; with `hold` nobody else reads it so until the transaction ends."""
    found = (_HELD if hold else _SHARED).found(connection, {"of": _BUDGET})
    return Budget.model_validate(unpacked(found[0][0])) if found else None


_SHARED = Prepared(select(leases.c.data).where(leases.c.name == bindparam("of")))
_HELD = Prepared(select(leases.c.data).where(leases.c.name == bindparam("of")).with_for_update())


def _entries(connection: Connection) -> dict[str, _Entry]:
    query = select(leases.c.name, leases.c.period, leases.c.data).where(leases.c.name.startswith(_RUN))
    found: dict[str, _Entry] = {}
    for row in connection.execute(query):
        data = unpacked(row.data)
        sums = {name: Sums(**data[name]) for name in ("spent", "held", "unheard") if name in data}
        found[row.name.removeprefix(_RUN)] = _Entry(**sums, until=row.period)
    return found


def _keep(connection: Connection, run: str, entry: _Entry, known: dict[str, _Entry]) -> None:
    data = packed({name: asdict(getattr(entry, name)) for name in ("spent", "held", "unheard")})
    values = {"period": entry.until, "used": entry.spent.usd, "data": data}
    if run in known:
        connection.execute(leases.update().where(leases.c.name == _RUN + run).values(values))
    else:
        connection.execute(leases.insert().values(name=_RUN + run, **values))


def _paid(connection: Connection, run: str | None = None) -> dict[str, Sums]:
    """What runs have spent as far as their calls say, by run; every sending counts.

    What a sending cost whose answer was lost nobody knows: it counts as the most that it can take, which is what was
    set aside for it. Where its row does not say (an older DSPEx wrote it, or it had no such limit) it counts as much as
    the dearest answer in the store.
    """
    size = func.coalesce(calls.c.input_tokens + calls.c.output_tokens, 0)
    every = calls.alias("every")
    longest = select(func.max(every.c.input_tokens + every.c.output_tokens)).scalar_subquery()
    dearest = select(func.max(every.c.usd)).scalar_subquery()
    tokens = _sendings(size, calls.c.most_tokens, longest)
    usd = _sendings(func.coalesce(calls.c.usd, 0.0), calls.c.most_usd, dearest)
    query = select(calls.c.run, func.sum(calls.c.sends), func.sum(tokens), func.sum(usd))
    query = query.where(calls.c.run != "" if run is None else calls.c.run == run).group_by(calls.c.run)
    return {row[0]: Sums(int(row[1]), int(row[2]), float(row[3])) for row in connection.execute(query)}


def _sendings(told: ColumnElement[Any], most: ColumnElement[Any], otherwise: ScalarSelect[Any]) -> ColumnElement[Any]:
    """What all sendings of a call took: one as told where there is an answer, each other the most."""
    lost = case((most > told, most), else_=told)
    answered = told + (calls.c.sends - 1) * lost
    return case((calls.c.state == "done", answered), else_=calls.c.sends * func.coalesce(most, otherwise, 0))
