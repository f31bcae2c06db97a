"""Waiting for a run that was asked to rest."""

from __future__ import annotations

import asyncio

from dspex.blocking import wait
from dspex.cli.output import emit, note, say
from dspex.cli.telling import facts, next_step
from dspex.durable import Run
from dspex.hosting.handle import Run as AsyncRun
from dspex.hosting.status import RunStatus

LOOK_SECONDS = 1.0
"""Seconds between two looks whether the process of a run that is waited for still moves."""


async def warned_of(run: AsyncRun) -> bool:
    """Say it where the run's process does not move, so that nothing comes of waiting until it is continued."""
    if stuck := (await run.status()).stalled:
        note(
            f"the process of run {run.id} is there and does not move, so it may never rest; to end it: "
            f"dspex runs stop {run.id} --now"
        )
    return stuck


async def _rested(run: AsyncRun, *, warned: bool) -> RunStatus:
    """Its status at rest; a process that stops moving meanwhile is told of once."""
    waiting = asyncio.ensure_future(run.wait())
    try:
        while not (await asyncio.wait({waiting}, timeout=LOOK_SECONDS))[0]:
            warned = warned or await warned_of(run)
        return await waiting
    finally:
        waiting.cancel()


def settled(run: Run, no_wait: bool, json: bool, *, warned: bool) -> None:
    """Wait for a run that was asked to rest, unless it is not to be waited for, and say where it is."""
    try:
        status = run.status() if no_wait else wait(_rested(run.twin, warned=warned))
    except KeyboardInterrupt:
        note(f"\nit was asked, and will do so. Look at it: dspex runs show {run.id}")
        raise
    if json:
        emit(facts(status))
        return
    say(f"run {run.id} is {status.state}{': ' + status.reason if status.reason else ''}")
    say(next_step(status))
