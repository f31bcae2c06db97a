"""Waking what waits, whatever event loop or thread it waits on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

Waiter = asyncio.Future[None]


def waiter() -> Waiter:
    """A future of the running loop, to be given to `wake`."""
    return asyncio.get_running_loop().create_future()


def wake(future: Waiter, too_late: Callable[[], None] | None = None) -> None:
    """Complete `future` on its own loop. `too_late` is called instead where nobody waits for it any more."""
    loop = future.get_loop()
    if loop is _running():
        _complete(future, too_late)
        return
    try:
        loop.call_soon_threadsafe(_complete, future, too_late)
    except RuntimeError:  # the loop is closed, and whoever waited on it is gone
        if too_late is not None:
            too_late()


def _complete(future: Waiter, too_late: Callable[[], None] | None) -> None:
    if not future.done():
        future.set_result(None)
    elif too_late is not None:
        too_late()


def _running() -> asyncio.AbstractEventLoop | None:
    with suppress(RuntimeError):
        return asyncio.get_running_loop()
    return None
