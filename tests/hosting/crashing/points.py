"""Named places where a process kills itself with signal 9, around the seams of the code as it is.

`install("commit.before:3")` wraps the seam `commit` so that the process dies right before its third passage;
`install("confirmation/commit.before:3")` before its third one within the confirmation.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Literal

When = Literal["before", "after"]

POINTS: tuple[str, ...] = (
    "intent.before", "intent.inside", "intent.after",
    "send.before", "send.after",
    "response.before", "response.after",
    "commit.before", "commit.inside", "commit.after",
    "record.before", "record.after",
    "fold.before", "fold.after",
    "round.before", "round.after",
    "promotion.before", "promotion.inside", "promotion.after",
)  # fmt: skip
"""`inside` is within the transaction, after its last statement and before its commit."""

WATCHING: tuple[str, ...] = (
    "adopted.before", "adopted.after", "ended.before", "ended.after", "death.before", "death.inside",
)  # fmt: skip
"""Of a supervisor: around waiting for a process that another one started, around its own process's life, and around the
record of that one's death."""


class _Fuse:
    """Burns down with each passage; with the last the process dies."""

    def __init__(self, occurrence: int, once: Path | None) -> None:
        self._left, self._once = occurrence, once
        self.dry = True

    def pass_by(self) -> None:
        if not self.dry:
            return
        self._left -= 1
        if self._left == 0:
            if self._once is not None:
                if self._once.exists():
                    return
                self._once.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def install(where: str, once: Path | None = None) -> None:
    """Die at `point:occurrence`; with `once`, a file, only the first process that gets there."""
    purpose, _, place = where.rpartition("/")
    point, _, number = place.partition(":")
    if point not in _PLACES:
        raise ValueError(f"no such point: {point}")
    fuse = _Fuse(int(number or 1), once)
    if purpose:
        _within(purpose, fuse)
    _PLACES[point](fuse)


def _within(purpose: str, fuse: _Fuse) -> None:
    """Let the fuse burn from the moment on in which a round of that purpose has been committed."""
    from dspex.storage.ledgers import DurableLedger  # noqa: PLC0415 - only what is wrapped is loaded

    original = DurableLedger.commit
    fuse.dry = False

    @wraps(original)
    async def wrapped(ledger: Any, round: Any) -> None:
        await original(ledger, round)
        fuse.dry = round.purpose == purpose

    setattr(DurableLedger, "commit", wrapped)  # noqa: B010 - the class is not to be typed as having it


def _asynchronous(owner: Any, name: str, when: When, burn: Callable[[], None]) -> None:
    original = getattr(owner, name)

    @wraps(original)
    async def wrapped(*arguments: Any, **named: Any) -> Any:
        if when == "before":
            burn()
        result = await original(*arguments, **named)
        if when == "after":
            burn()
        return result

    setattr(owner, name, wrapped)


def _synchronous(owner: Any, name: str, when: When, burn: Callable[[], None]) -> None:
    original = getattr(owner, name)

    @wraps(original)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        if when == "before":
            burn()
        result = original(*arguments, **named)
        if when == "after":
            burn()
        return result

    setattr(owner, name, wrapped)


def _intent(fuse: _Fuse, when: str) -> None:
    from dspex.storage.calls import DatabaseCallStore  # noqa: PLC0415 - only what is wrapped is loaded

    if when == "inside":
        _synchronous(DatabaseCallStore, "_look_up_and_intend", "after", fuse.pass_by)
    else:
        _asynchronous(DatabaseCallStore, "_flush", "after" if when == "after" else "before", fuse.pass_by)


def _send(fuse: _Fuse, when: str) -> None:
    import aiohttp  # noqa: PLC0415

    from dspex.clients.connection import Connection  # noqa: PLC0415

    if when == "before":
        _asynchronous(Connection, "post", "before", fuse.pass_by)
    else:
        _asynchronous(aiohttp.ClientResponse, "start", "before", fuse.pass_by)


def _response(fuse: _Fuse, when: str) -> None:
    import aiohttp  # noqa: PLC0415

    from dspex.clients.connection import Connection  # noqa: PLC0415

    if when == "before":
        _asynchronous(aiohttp.ClientResponse, "start", "after", fuse.pass_by)
    else:
        _asynchronous(Connection, "post", "after", fuse.pass_by)


def _commit(fuse: _Fuse, when: str) -> None:
    from dspex.storage import calls, postgres, sqlite  # noqa: PLC0415

    if when != "inside":
        _asynchronous(calls.DatabaseCallStore, "put", "after" if when == "after" else "before", fuse.pass_by)
        return
    for module in (sqlite, postgres):
        original = module.perform

        def performed(connection: Any, items: Any, original: Any = original) -> Any:
            found = original(connection, items)
            if any("completion" in (item.row or ()) for item in items):
                fuse.pass_by()
            return found

        setattr(module, "perform", performed)  # noqa: B010 - the module is not to be typed as having it


def _ledger(name: str) -> Callable[[_Fuse, str], None]:
    def wrap(fuse: _Fuse, when: str) -> None:
        from dspex.storage.ledgers import DurableLedger  # noqa: PLC0415

        _asynchronous(DurableLedger, name, "after" if when == "after" else "before", fuse.pass_by)

    return wrap


def _promotion(fuse: _Fuse, when: str) -> None:
    from dspex.hosting import conducting  # noqa: PLC0415

    if when == "after":
        _asynchronous(vars(conducting)["_Conductor"], "_search", "after", fuse.pass_by)
    else:
        _synchronous(conducting, "conclude", "after" if when == "inside" else "before", fuse.pass_by)


def _watching(name: str) -> Callable[[_Fuse, str], None]:
    def wrap(fuse: _Fuse, when: str) -> None:
        from dspex.hosting.supervisor import Supervisor  # noqa: PLC0415

        _asynchronous(Supervisor, name, "after" if when == "after" else "before", fuse.pass_by)

    return wrap


def _death(fuse: _Fuse, when: str) -> None:
    from dspex.storage import runs  # noqa: PLC0415

    _synchronous(runs, "restarted", "after" if when == "inside" else "before", fuse.pass_by)


_SEAMS: dict[str, Callable[[_Fuse, str], None]] = {
    "intent": _intent,
    "send": _send,
    "response": _response,
    "commit": _commit,
    "record": _ledger("record"),
    "fold": _ledger("fold"),
    "round": _ledger("commit"),
    "promotion": _promotion,
    "adopted": _watching("_adopted"),
    "ended": _watching("_ended"),
    "death": _death,
}


def _place(point: str) -> Callable[[_Fuse], None]:
    seam, _, when = point.partition(".")
    return lambda fuse: _SEAMS[seam](fuse, when)


_PLACES: dict[str, Callable[[_Fuse], None]] = {point: _place(point) for point in POINTS + WATCHING}
