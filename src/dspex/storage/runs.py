"""Rows of runs: their states and the graph they move along, ownership by epoch, commands, events."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from sqlalchemy import Connection, bindparam, func, select

from dspex.errors import ConfigurationError, UnknownNameError
from dspex.kernel.ports import JSON
from dspex.storage.database import CHANNEL, FencedError, Guard, StorageError
from dspex.storage.statements import Prepared, packed, unpacked
from dspex.storage.tables import calls, commands, evaluations, events, rounds, runs

RunState = Literal["queued", "running", "pausing", "paused", "stopping", "stopped", "completed", "failed", "crashed"]
STATES: tuple[RunState, ...] = get_args(RunState)
FINISHED: frozenset[RunState] = frozenset({"stopped", "completed"})
"""Ends; to go on from one, fork it."""
RESTING: frozenset[RunState] = frozenset({*FINISHED, "paused", "failed", "crashed"})
"""Nothing carries it, and nothing is to."""
MOVES: Mapping[RunState, frozenset[RunState]] = {
    "queued": frozenset({"running", "paused", "stopped", "failed", "crashed"}),
    "running": frozenset({"pausing", "paused", "stopping", "stopped", "completed", "failed", "crashed"}),
    "pausing": frozenset({"paused", "stopping", "stopped", "completed", "failed", "crashed"}),
    "paused": frozenset({"queued", "stopped"}),
    "stopping": frozenset({"stopped", "completed", "failed", "crashed"}),
    "crashed": frozenset({"queued", "stopped"}),
    "failed": frozenset({"queued", "stopped"}),
    "stopped": frozenset(),
    "completed": frozenset(),
}
"""Where a run may go from each state; anything else is refused."""
CommandKind = Literal["pause", "resume", "stop", "stop-now", "raise"]


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run as the database has it."""

    id: str
    name: str
    program: str | None
    base_version: int | None
    parent: str | None
    state: RunState
    reason: str
    spec: dict[str, JSON]
    budget: dict[str, JSON]
    strategy: str
    seed: int
    epoch: int
    owner: str
    heartbeat: float | None
    lease_until: float | None
    restarts: int
    progress: dict[str, JSON]
    """What the runner last wrote of where it is: best and seed score, round, rung, spent."""
    result: dict[str, JSON] | None
    created: float
    started: float | None
    finished: float | None


@dataclass(frozen=True, slots=True)
class Command:
    """Something asked of a run and not yet done."""

    id: int
    kind: CommandKind
    data: dict[str, JSON]


def create(connection: Connection, row: Mapping[str, Any]) -> None:
    """Insert a queued run; `spec` and `budget` are JSON data."""
    values = {**row, "spec": packed(row["spec"]), "budget": packed(row["budget"])}
    connection.execute(runs.insert().values(state="queued", created=time.time(), **values))


def find(connection: Connection, id: str) -> RunRow:
    """The run of this id or of an id that only it starts with. Raises UnknownNameError."""
    found = _RUN.found(connection, {"of": id})
    if not found:
        like = select(runs).where(runs.c.id.startswith(id, autoescape=True)).limit(2)
        near = [_run(dict(item)) for item in connection.execute(like).mappings()] if id else []
        if len(near) == 1:
            return near[0]
        ids = connection.execute(select(runs.c.id).order_by(runs.c.created.desc()).limit(200)).scalars().all()
        raise UnknownNameError("run", id, ids)
    return _run(dict(zip(runs.c.keys(), found[0], strict=True)))


_RUN = Prepared(select(runs).where(runs.c.id == bindparam("of")))


def respecified(connection: Connection, id: str, spec: Mapping[str, JSON]) -> None:
    """Another spec for a run that has not begun."""
    connection.execute(runs.update().where(runs.c.id == id, runs.c.epoch == 0).values(spec=packed(dict(spec))))


def discard(connection: Connection, id: str) -> None:
    """Delete a run that never began. Any other is left as it is."""
    connection.execute(runs.delete().where(runs.c.id == id, runs.c.state == "queued", runs.c.epoch == 0))


def listed(connection: Connection, limit: int = 100, states: frozenset[str] | None = None) -> list[RunRow]:
    """Runs, newest first."""
    query = select(runs).order_by(runs.c.created.desc()).limit(limit)
    if states is not None:
        query = query.where(runs.c.state.in_(sorted(states)))
    return [_run(dict(row)) for row in connection.execute(query).mappings()]


def move(connection: Connection, id: str, to: RunState, reason: str = "", **values: Any) -> RunState:
    """Change the state along the graph; returns the state it had. Raises ConfigurationError for a move it forbids."""
    found = _LOCKED.found(connection, {"of": id})
    if not found:
        raise StorageError(f"run {id}: it is not in the store any more")
    had: RunState = found[0][0]
    if had == to:
        return had
    if to not in MOVES[had]:
        raise ConfigurationError(f"run {id} is {had}; it cannot become {to}")
    if to in FINISHED or to in ("failed", "crashed", "paused"):
        values.setdefault("finished", time.time())
    connection.execute(runs.update().where(runs.c.id == id).values(state=to, reason=reason, **values))
    note(connection, id, f"run.{to}", {"from": had, "reason": reason})
    return had


_LOCKED = Prepared(select(runs.c.state, runs.c.epoch).where(runs.c.id == bindparam("of")).with_for_update())


def explained(connection: Connection, id: str, reason: str) -> None:
    """Another reason for the state that the run is in."""
    connection.execute(runs.update().where(runs.c.id == id).values(reason=reason))
    note(connection, id, "run.explained", {"reason": reason})


def hold(connection: Connection, id: str) -> None:
    """Keep others from changing the run's row until this transaction ends."""
    _LOCKED.found(connection, {"of": id})


def let_go(connection: Connection, id: str) -> None:
    """End the owner's lease: it carries the run no longer."""
    connection.execute(runs.update().where(runs.c.id == id).values(lease_until=None))


def outlive(connection: Connection, id: str, owner: str) -> None:
    """End the lease of an owner that is known to be dead."""
    connection.execute(runs.update().where(runs.c.id == id, runs.c.owner == owner).values(lease_until=None))


def overtaken(connection: Connection, id: str) -> None:
    """Commands that an earlier owner did not get to, and that a resumption has made void."""
    old = (commands.c.run == id, commands.c.handled.is_(None), commands.c.kind != "raise")
    connection.execute(commands.update().where(*old).values(handled=time.time(), outcome="overtaken: it was resumed"))


def claim(connection: Connection, id: str, owner: str, lease_seconds: float | None) -> int:
    """Take the run over: a new epoch, after which every write of an earlier owner is refused. Returns the epoch."""
    found = _LOCKED.found(connection, {"of": id})
    if not found:
        raise StorageError(f"run {id}: it is not in the store any more")
    epoch = int(found[0][1]) + 1
    now = time.time()
    until = None if lease_seconds is None else now + lease_seconds
    values = {"epoch": epoch, "owner": owner, "heartbeat": now, "lease_until": until}
    _CLAIM.execute_all(connection, [{"of": id, **values}])
    # Whatever an earlier owner had sent and not heard of may have been paid: it is unknown from now on.
    _LOSE.execute_all(connection, [{"of": id}])
    return epoch


_CLAIM = Prepared(
    runs.update()
    .where(runs.c.id == bindparam("of"))
    .values({name: bindparam(name) for name in ("epoch", "owner", "heartbeat", "lease_until")})
)
_LOSE = Prepared(
    calls.update().where(calls.c.run == bindparam("of"), calls.c.state == "intent").values(state="unknown")
)


PROGRESS = Prepared(
    runs.update().where(runs.c.id == bindparam("of")).values(progress=bindparam("progress")),
)
"""Where a run is, for those who ask while it is running or after. Its rows are what `progress_row` gives."""


def progress_row(id: str, progress: Mapping[str, JSON]) -> dict[str, JSON]:
    """A row of `PROGRESS`."""
    return {"of": id, "progress": packed(dict(progress))}


def progressed(connection: Connection, id: str, progress: Mapping[str, JSON]) -> None:
    """The same, within a transaction."""
    PROGRESS.execute_all(connection, [progress_row(id, progress)])


def rebudgeted(connection: Connection, id: str, budget: Mapping[str, JSON]) -> None:
    """Another budget, for whoever carries the run from now on."""
    connection.execute(runs.update().where(runs.c.id == id).values(budget=packed(dict(budget))))


def restarted(connection: Connection, id: str, reason: str) -> None:
    """Count one more start after a death."""
    connection.execute(runs.update().where(runs.c.id == id).values(restarts=runs.c.restarts + 1))
    note(connection, id, "run.restarted", {"reason": reason})


_EPOCH = Prepared(select(runs.c.epoch).where(runs.c.id == bindparam("run")).with_for_update(read=True))


def fence(id: str, epoch: int) -> Guard:
    """A guard that lets writes through only while `epoch` is the run's own."""

    def check(connection: Connection) -> None:
        rows = _EPOCH.found(connection, {"run": id})
        found = rows[0][0] if rows else None
        if found != epoch:
            raise FencedError(f"run {id}: this process no longer owns it (epoch {epoch}, now {found})")

    return check


def beat(connection: Connection, id: str, epoch: int, lease_seconds: float | None) -> None:
    """Say that the owner is alive. Raises FencedError when it is no longer the owner."""
    now = time.time()
    until = None if lease_seconds is None else now + lease_seconds
    own = (runs.c.id == id, runs.c.epoch == epoch)
    done = connection.execute(runs.update().where(*own).values(heartbeat=now, lease_until=until))
    if done.rowcount != 1:
        raise FencedError(f"run {id}: this process no longer owns it (epoch {epoch})")


def tell(connection: Connection, id: str, kind: CommandKind, data: Mapping[str, JSON] | None = None) -> int:
    """Leave a command for whoever runs the run; returns its number."""
    row = {"run": id, "kind": kind, "data": packed(dict(data or {})), "created": time.time()}
    key = connection.execute(commands.insert().values(row)).inserted_primary_key
    _hint(connection, id)
    return int(key[0]) if key is not None else 0


def pending(connection: Connection, id: str) -> list[Command]:
    """Commands not yet handled, oldest first."""
    found = _PENDING.found(connection, {"of": id})
    return [Command(number, kind, unpacked(data)) for number, kind, data in found]


_PENDING = Prepared(
    select(commands.c.id, commands.c.kind, commands.c.data)
    .where(commands.c.run == bindparam("of"), commands.c.handled.is_(None))
    .order_by(commands.c.id)
)


def handled(connection: Connection, command: int, outcome: str) -> None:
    """Mark a command as done, with what came of it."""
    done = commands.update().where(commands.c.id == command)
    connection.execute(done.values(handled=time.time(), outcome=outcome))


def note(connection: Connection, id: str, kind: str, data: Mapping[str, JSON]) -> None:
    """Append an event to the run's, from whichever process."""
    row = {"run": id, "kind": kind, "data": packed(dict(data)), "created": time.time()}
    _NOTE.execute_all(connection, [row])
    _hint(connection, id)


_NOTE = Prepared(events.insert())


def _hint(connection: Connection, id: str) -> None:
    """Wake whoever waits for news of the run, once this transaction is committed."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_notify(CHANNEL, id)))


def counts(connection: Connection, id: str) -> dict[str, int]:
    """How much of everything the run has: evaluations, rounds, calls, repeated_calls; and of those that are unanswered,
    unknown_calls, which an owner that was taken over had sent, and open_calls, which the last owner sends."""

    def number(query: Any) -> int:
        return int(connection.execute(query).scalar() or 0)

    mine = calls.c.run == id
    return {
        "evaluations": number(select(func.count()).select_from(evaluations).where(evaluations.c.run == id)),
        "rounds": number(select(func.count()).select_from(rounds).where(rounds.c.run == id)),
        "calls": number(select(func.coalesce(func.sum(calls.c.sends), 0)).where(mine)),
        "repeated_calls": number(select(func.coalesce(func.sum(calls.c.sends - 1), 0)).where(mine, calls.c.sends > 1)),
        "unknown_calls": number(select(func.count()).select_from(calls).where(mine, calls.c.state == "unknown")),
        "open_calls": number(select(func.count()).select_from(calls).where(mine, calls.c.state == "intent")),
    }


def _run(row: Mapping[str, Any]) -> RunRow:
    data = dict(row)
    for name in ("spec", "budget", "progress", "result"):
        data[name] = unpacked(data[name])
    return RunRow(**data)
