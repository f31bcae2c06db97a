"""The verbs without await. One event loop on a thread of its own serves every blocking call of the process.

Nothing is written twice: each verb hands the coroutine of its awaitable twin to that loop and waits.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from dspex.errors import ConfigurationError
from dspex.hosting import stores
from dspex.hosting.references import check_not_importing

P = ParamSpec("P")
T = TypeVar("T")


class _Bridge:
    """The loop's thread. Started at the first blocking call, and again in a forked child."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pid = 0

    def loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None or self._pid != os.getpid():
            with self._lock:
                if self._loop is None or self._pid != os.getpid():
                    loop = asyncio.new_event_loop()
                    self._thread = threading.Thread(target=loop.run_forever, name="dspex-loop", daemon=True)
                    self._thread.start()
                    self._loop, self._pid = loop, os.getpid()
                    atexit.register(self._close, loop, self._thread, self._pid)
        return self._loop

    def within(self) -> bool:
        return self._thread is threading.current_thread()

    @staticmethod
    def _close(loop: asyncio.AbstractEventLoop, thread: threading.Thread, pid: int) -> None:
        if pid != os.getpid() or not thread.is_alive():
            return

        async def settle() -> None:
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
            await loop.shutdown_asyncgens()

        asyncio.run_coroutine_threadsafe(settle(), loop).result(timeout=5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=5)


_bridge = _Bridge()


def wait(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of `coroutine`, run on the blocking loop.

    Ctrl-C cancels it, waits for it to put its things away, and is raised. Raises ConfigurationError when called
    from code that runs on that loop itself (a metric, a module): await the `a...` verb there; and by a script that the
    process of a run is importing.
    """
    try:
        check_not_importing()
    except ConfigurationError:
        coroutine.close()
        raise
    if _bridge.within():
        coroutine.close()
        raise ConfigurationError("a blocking verb was called from the event loop it needs; await its a... twin instead")
    settled = threading.Event()

    async def settling() -> T:
        try:
            return await coroutine
        finally:
            settled.set()

    future = asyncio.run_coroutine_threadsafe(settling(), _bridge.loop())
    try:
        return future.result()
    except KeyboardInterrupt:
        # What was bought is written down before the interrupt goes on; a second Ctrl-C does not wait.
        future.cancel()
        settled.wait(timeout=30)
        raise


def submit(coroutine: Coroutine[Any, Any, T]) -> Future[T]:
    """Start `coroutine` on the blocking loop and return at once; safe in a signal handler."""
    return asyncio.run_coroutine_threadsafe(coroutine, _bridge.loop())


def blocking(verb: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """The verb without await: same arguments, same result, same errors."""

    @wraps(verb)
    def waiting(*args: P.args, **kwargs: P.kwargs) -> T:
        return wait(verb(*args, **kwargs))

    return waiting


run = blocking(stores.run)
evaluate = blocking(stores.evaluate)
