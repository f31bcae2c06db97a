"""Time that passes, also while the machine sleeps."""

from __future__ import annotations

import time


def elapsed() -> float:
    """Seconds from some moment on, for what is valid for a while.

    While a machine is suspended `time.monotonic` stands still on Linux and the clock of a store goes on: what has been
    taken from a process meanwhile would look valid to it.
    """
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()
