"""The memory of calls in the database: intents are written before sending, answers before they are used."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ARRAY, Connection, Insert, Select, String, bindparam, delete, func, literal_column, select
from sqlalchemy.dialects import postgresql, sqlite

from dspex.clients.budget import at_most
from dspex.clients.prices import Prices
from dspex.clients.remembered import from_memory
from dspex.kernel.ports import Completion, Request, Usage
from dspex.storage.database import Database, Guard
from dspex.storage.statements import Prepared, insert_new, packed, unpacked
from dspex.storage.tables import calls


@dataclass(eq=False, slots=True)
class _Begun:
    key: str
    model: str
    most: tuple[int | None, float | None]
    """Tokens and dollars."""
    future: asyncio.Future[_Known | None]


@dataclass(frozen=True, slots=True)
class _Known:
    """What is there of a run's call."""

    key: str
    run: str
    state: str
    completion: str


class DatabaseCallStore:
    """`CallStore` over rows, shared by all runs of a store.

    `begin` looks a call up and, where nobody has its answer, commits the intent to send it, both in one transaction for
    all calls that begin at the same time. A run has a row of its own for what it sends, whoever else sends the same at
    the same time: so each sending counts where it was paid. A call that an earlier owner of the run had sent without
    hearing of it is `unknown`; sending it again adds to its `sends`, which is what `repeated_calls` counts, unless it
    is abandoned.

    With `prices` an intent says what its sending takes at most, which is what it counts as should its answer be lost.

    `booked` are the calls that the run's ledger accounts for. An answer that the run bought but, because it was killed,
    never booked, comes back with what it cost, once: so the ledger ends as it would have without the kill.
    """

    def __init__(
        self,
        database: Database,
        run: str = "",
        epoch: int = 0,
        guard: Guard | None = None,
        *,
        booked: Iterable[str] = (),
        prices: Prices | None = None,
    ) -> None:
        self._database, self._run, self._epoch, self._guard = database, run, epoch, guard
        self._booked, self._prices = set(booked), prices or Prices()
        self._begun: list[_Begun] = []
        self._flushing: set[asyncio.Task[None]] = set()

    async def get(self, key: str) -> Completion | None:
        query = select(calls.c.completion).where(calls.c.key == key, calls.c.state == "done")
        query = query.order_by(calls.c.run != self._run, calls.c.finished).limit(1)
        text = await self._database.read(lambda c: c.execute(query).scalar_one_or_none())
        return None if text is None else completion_of(text, key)

    async def begin(self, key: str, request: Request) -> Completion | None:
        entry = _Begun(key, request.model, at_most(request, self._prices), asyncio.get_running_loop().create_future())
        self._begun.append(entry)
        if len(self._begun) == 1:
            task = asyncio.create_task(self._flush())
            self._flushing.add(task)
            task.add_done_callback(self._flushing.discard)
        row = await entry.future
        if row is None:
            return None
        completion = completion_of(row.completion, key)
        if row.run == self._run and key not in self._booked:
            self._booked.add(key)
            return completion
        return from_memory(completion, key)

    async def put(self, key: str, request: Request, completion: Completion) -> None:
        usage, now = completion.usage, time.time()
        row = {
            **self._intent(key, request.model, (None, None), now), "state": "done",
            "completion": completion_text(completion),
            "input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens, "usd": usage.usd, "finished": now,
        }  # fmt: skip
        await self._database.append(_FINISH, row, self._guard)
        self._booked.add(key)

    async def abandon(self, key: str) -> None:
        row = {"of": key, "by": self._run}
        await asyncio.gather(*(self._database.append(each, row, self._guard) for each in _ABANDON))

    async def aclose(self) -> None:
        while self._flushing:
            await asyncio.wait(self._flushing)

    async def _flush(self) -> None:
        begun, self._begun = self._begun, []

        def work(connection: Connection) -> dict[str, _Known]:
            return self._look_up_and_intend(connection, {item.key: item for item in begun})

        try:
            found = await self._database.write(work, self._guard)
        except BaseException as error:
            for item in begun:
                if not item.future.done():
                    item.future.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for item in begun:
            if not item.future.done():
                item.future.set_result(found.get(item.key))

    def _look_up_and_intend(self, connection: Connection, begun: Mapping[str, _Begun]) -> dict[str, _Known]:
        """Answers that are there; for all others the intent is written."""
        keys = list(begun)
        given = {"keys": keys if connection.dialect.name == "postgresql" else packed(keys)}
        found: dict[str, _Known] = {}
        again: set[str] = set()
        for row in (_Known(*values) for values in _LOOK_UP.found(connection, given)):
            mine = row.run == self._run
            if row.state == "done" and (mine or row.key not in found):
                found[row.key] = row
            elif mine:
                again.add(row.key)
        now = time.time()
        missing = [begun[key] for key in keys if key not in found and key not in again]
        new = [self._intent(item.key, item.model, item.most, now) for item in missing]
        if again := again - found.keys():
            own = (calls.c.run == self._run, calls.c.key.in_(sorted(again)))
            values = {"sends": calls.c.sends + 1, "epoch": self._epoch, "started": now, "state": "intent"}
            connection.execute(calls.update().where(*own).values(values))
        if new:
            _INTEND.execute_all(connection, new)
        return found

    def _intent(self, key: str, model: str, most: tuple[int | None, float | None], now: float) -> dict[str, Any]:
        return {
            "key": key, "run": self._run, "epoch": self._epoch, "state": "intent", "sends": 1, "model": model,
            "started": now, "most_tokens": most[0], "most_usd": most[1],
        }  # fmt: skip


def _looked_up(dialect: str) -> Select[Any, Any, Any, Any]:
    """Rows by their keys, however many, the first answer first: the keys are one value, so that the text is always the
    same."""
    query = select(calls.c.key, calls.c.run, calls.c.state, calls.c.completion).order_by(calls.c.finished)
    if dialect == "postgresql":
        return query.where(calls.c.key == func.any(bindparam("keys", type_=ARRAY(String))))
    given = func.json_each(bindparam("keys")).table_valued("value")
    return query.where(calls.c.key.in_(select(given.c.value)))


_LOOK_UP = Prepared(_looked_up)
_INTEND = Prepared(lambda dialect: insert_new(calls, dialect))


def _finished(dialect: str) -> Insert:
    """An answer, over the run's intent to ask for it; its first answer to be written stands."""
    row = postgresql.insert(calls) if dialect == "postgresql" else sqlite.insert(calls)
    told = {name: row.excluded[name] for name in _ANSWER}
    return row.on_conflict_do_update(
        index_elements=[calls.c.key, calls.c.run], set_=told, where=calls.c.state != literal_column("'done'")
    )


_ANSWER = ("state", "completion", "input_tokens", "output_tokens", "usd", "finished")
_FINISH = Prepared(_finished)
_MINE = (calls.c.key == bindparam("of"), calls.c.run == bindparam("by"))
_BEGUN = (*_MINE, calls.c.state == "intent")
_ABANDON = (
    Prepared(delete(calls).where(*_BEGUN, calls.c.sends == 1)),
    # What was sent before a kill may have been billed: that stays, and this sending is not counted with it.
    Prepared(calls.update().where(*_BEGUN, calls.c.sends > 1).values(sends=calls.c.sends - 1, state="unknown")),
)
"""Of a call the one or the other has something to do."""


def completion_text(completion: Completion) -> str:
    """An answer as kept in a column; its usage is what it cost when it was bought."""
    usage = completion.usage
    calls_list: Sequence[Any] = [dict(item) for item in completion.tool_calls]
    figures = [usage.calls, usage.input_tokens, usage.output_tokens, usage.usd, usage.retries]
    return packed([completion.text, completion.finish_reason, completion.model, calls_list, figures])


def completion_of(text: str, key: str = "") -> Completion:
    """What `completion_text` wrote, with the usage it had."""
    answer, reason, model, tool_calls, figures = unpacked(text)
    sent, asked, answered, usd, retries = figures
    usage = Usage(sent, asked, answered, usd, 0, retries)
    return Completion(answer, reason, usage, model, tuple(tool_calls), False, key)


def bought_by(connection: Connection, run: str) -> frozenset[str]:
    """The calls of a run that were answered, by key."""
    return frozenset(
        connection.execute(select(calls.c.key).where(calls.c.run == run, calls.c.state == "done")).scalars()
    )


def spent_by(connection: Connection, run: str) -> Usage:
    """What a run's answered calls have used, each once.

    Calls whose answers a kill has lost are not in it: they are made again, and counted then. So a budget may be passed
    by what was in flight at a kill, and a run that is carried on ends where it would have without the kill.
    """
    count, asked, given, usd, unpriced = _SPENT.found(connection, {"of": run})[0]
    return Usage(int(count), int(asked), int(given), None if unpriced else float(usd))


_SPENT = Prepared(
    select(
        func.count(),
        func.coalesce(func.sum(calls.c.input_tokens), 0),
        func.coalesce(func.sum(calls.c.output_tokens), 0),
        func.coalesce(func.sum(calls.c.usd), 0.0),
        func.count().filter(calls.c.usd.is_(None)),
    ).where(calls.c.run == bindparam("of"), calls.c.state == "done")
)
