"""Carrying a run in the foreground: the first Ctrl-C pauses it, and what ends it says how to come back."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from types import FrameType

import typer

from dspex.blocking import submit, wait
from dspex.cli.exits import BUDGET, INTERRUPTED, PROVIDER
from dspex.cli.output import emit_error, note
from dspex.errors import OutageError, SharedBudgetError
from dspex.hosting.building import Live
from dspex.hosting.conducting import PausedError
from dspex.hosting.handle import Run
from dspex.hosting.heedless import saying_aside
from dspex.hosting.hosts import carried_here
from dspex.kernel.ports import Event
from dspex.optimization.result import OptimizationResult
from dspex.storage.database import StorageError

_PAUSING = b"\npausing: waiting for the calls in flight to end; Ctrl-C again drops them\n"


def carried(run: Run, live: Live, on_event: Callable[[Event], None], *, json: bool) -> OptimizationResult:
    """Carry the run to its end. Where it pauses before, says how to come back and raises typer.Exit."""
    try:
        with _pausing(run), saying_aside():
            return wait(carried_here(run, live, on_event))
    except PausedError as error:
        note()
        note(f"{error}.")
        back(run.id)
        code = _code(error.__cause__)
        if json and code != INTERRUPTED:  # an interruption is told of wherever it ends a command
            emit_error(error, str(error), code)
        raise typer.Exit(code) from None
    except StorageError:
        back(run.id)
        raise
    except KeyboardInterrupt:
        note(f"run {run.id} is paused; what was in flight is dropped and may be paid again.")
        back(run.id)
        raise


def _code(cause: BaseException | None) -> int:
    if isinstance(cause, OutageError):
        return PROVIDER
    return BUDGET if isinstance(cause, SharedBudgetError) else INTERRUPTED


def back(run: str) -> None:
    """How to come back to a run."""
    note(f"Carry it on: dspex runs resume {run}     look at it: dspex runs show {run}")


@contextmanager
def _pausing(run: Run) -> Generator[None]:
    """While inside, the first Ctrl-C asks the run to pause; the second is an interrupt."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def ask(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        with suppress(OSError):  # nobody may be reading
            os.write(2, _PAUSING)
        submit(run.pause())

    signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
