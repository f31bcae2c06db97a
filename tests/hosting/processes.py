"""Which processes of a group are left, as the kernel says."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path


def gone(group: int) -> bool:
    """Whether no process of the group is left (a zombie that is being waited for does not count). One that is has to
    write to its log where each of its threads stands."""
    deadline = time.monotonic() + 60
    while members(group):
        if time.monotonic() > deadline:
            for pid in members(group):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGABRT)
            return False
        time.sleep(0.005)
    return True


def members(group: int) -> list[int]:
    """The living processes of a process group. One that was killed lives until its last thread has ended, which may be
    within a write."""
    return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _group(pid) == group and _lives(pid)]


def _group(pid: int) -> int:
    with suppress(ProcessLookupError):
        return os.getpgid(pid)
    return 0


def _lives(pid: int) -> bool:
    """Whether any thread of a process does."""
    states: list[str] = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with suppress(FileNotFoundError, ProcessLookupError):
                text = Path(f"/proc/{pid}/task/{thread}/stat").read_text()
                states.append(text.rpartition(")")[2].split()[0])
    return any(state not in "ZX" for state in states)
