"""Metrics that do to their process what users' code does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from dspex.kernel.ports import Score
from dspex.kernel.signature import Example
from dspex.kernel.state import State


def right(example: Example, state: State) -> float:
    """1.0 for the right label, and no harm."""
    return float(example["label"] == state["label"])


def told(example: Example, state: State) -> float:
    """Does what the example's `act` says, then scores."""
    _ACTS[str(example.get("act", "nothing"))](example)
    return right(example, state)


def surroundings(example: Example, state: State) -> Score:
    """What can be seen from where the metric runs."""
    seen = {"environment": dict(os.environ), "pid": os.getpid(), "parent": os.getppid(), "folder": os.getcwd()}
    return Score(right(example, state), json.dumps(seen))


def hours(example: Example, state: State) -> float:
    """Takes as long as the example says."""
    time.sleep(float(example["seconds"]))
    return right(example, state)


def _nothing(gold: Example) -> None:
    """No harm."""


def _segfault(gold: Example) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _leave(gold: Example) -> None:
    os._exit(int(gold.get("status", 3)))


def _gone(gold: Example) -> None:
    """As a process that ended in order, which it has not."""
    os._exit(0)


def _exit(gold: Example) -> None:
    sys.exit(5)


def _hang(gold: Example) -> None:
    while True:
        pass


def _hold(gold: Example) -> None:
    """Holds the interpreter's lock for good: no other thread of the process runs again."""
    import ctypes  # noqa: PLC0415 - for this act alone

    ctypes.PyDLL(None).pause()


def _eat(gold: Example) -> None:
    eaten: list[bytes] = []
    while True:
        eaten.append(bytes(10_000_000))


def _scribble(gold: Example) -> None:
    for end in range(3, 512):
        try:
            os.write(end, b"\xff\xff\xff\xffnot a frame")
        except OSError:
            continue


def _close(gold: Example) -> None:
    os.closerange(3, 512)
    time.sleep(600)


def _kill(gold: Example) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _killed_once(gold: Example) -> None:
    mark = Path(str(gold["mark"]))
    if not mark.exists():
        mark.write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGKILL)


def _keep(gold: Example) -> None:
    """Starts a process of its own, says which, and never ends."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(f"{gold['mark']}.{child.pid}").touch()
    time.sleep(600)


def _fork(gold: Example) -> None:
    """Forks its process once, as pools of processes do; says which the child is, which does nothing."""
    if not list(Path(str(gold["mark"])).parent.glob("forked.*")):
        child = os.fork()
        if child == 0:
            time.sleep(600)
        Path(str(gold["mark"])).with_name(f"forked.{child}").touch()


def _beget(gold: Example) -> None:
    """Starts a process of its own, says which, and crashes."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(str(gold["mark"])).write_text(str(child.pid))
    _segfault(gold)


_ACTS: dict[str, Callable[[Example], None]] = {
    "nothing": _nothing, "segfault": _segfault, "leave": _leave, "gone": _gone, "exit": _exit, "hang": _hang,
    "hold": _hold, "eat": _eat, "scribble": _scribble, "close": _close, "kill": _kill, "killed once": _killed_once,
    "beget": _beget, "keep": _keep, "fork": _fork,
}  # fmt: skip
