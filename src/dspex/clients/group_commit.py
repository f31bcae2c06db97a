"""Writing in groups: rows that are added at the same time are committed together, by a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any

from dspex.errors import ConfigurationError

Row = tuple[Any, ...]
Commit = Callable[[list[Row]], None]
"""Writes all rows or none, durably. Called on the thread only."""


@dataclass(frozen=True, slots=True)
class _Added:
    row: Row
    done: asyncio.Future[None]


class GroupCommit:
    """`add` returns when the row is committed. `open` is entered on the thread and gives the function that commits.

    The thread starts with the first row and ends with `close`; meanwhile it gathers whatever is added while the
    previous group is being written, so a slow disk makes larger groups, not longer queues. Safe on several event
    loops. Holds no reference to whoever owns it.
    """

    def __init__(self, open: Callable[[], AbstractContextManager[Commit]], name: str) -> None:
        self._open, self._name = open, name
        self._queue: SimpleQueue[_Added | None] = SimpleQueue()
        self._lock = Lock()
        self._thread: Thread | None = None
        self._closed = False

    async def add(self, row: Row) -> None:
        """Commit `row`. Raises what the commit raised; ConfigurationError after `close`."""
        done = asyncio.get_running_loop().create_future()
        with self._lock:
            if self._closed:
                raise ConfigurationError(f"{self._name} is closed; nothing can be written to it any more")
            if self._thread is None:
                self._thread = Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._queue.put(_Added(row, done))
        await done

    def close(self) -> None:
        """Commit what was added so far and end the thread."""
        with self._lock:
            thread, self._closed = self._thread, True
            self._queue.put(None)
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        commit: Commit | None = None
        going = True
        try:
            with self._open() as commit:
                while going:
                    group, going = self._group()
                    _deliver(group, _outcome(commit, group))
        except Exception as error:
            if commit is not None:
                raise
            while going:
                group, going = self._group()
                _deliver(group, error)

    def _group(self) -> tuple[list[_Added], bool]:
        """Everything added by now, at least one; and whether more may come."""
        group: list[_Added] = []
        item = self._queue.get()
        with suppress(Empty):
            while item is not None:
                group.append(item)
                item = self._queue.get_nowait()
            return group, False
        return group, True


def _outcome(commit: Commit, group: list[_Added]) -> Exception | None:
    try:
        if group:
            commit([added.row for added in group])
    except Exception as error:
        return error
    return None


def _deliver(group: list[_Added], error: Exception | None) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for added in group:
        by_loop.setdefault(added.done.get_loop(), []).append(added.done)
    for loop, futures in by_loop.items():
        with suppress(RuntimeError):  # the loop has ended, and nobody waits
            loop.call_soon_threadsafe(_complete, futures, error)


def _complete(futures: list[asyncio.Future[None]], error: Exception | None) -> None:
    for future in futures:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
