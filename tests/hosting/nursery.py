"""Carriers of runs as processes that start in milliseconds: forked from one that has everything imported.

What a child does is `dspex.hosting.carrier.main`, as `python -m dspex.hosting.carrier RUN` would; or that of
`dspex.hosting.supervisor`, whose carriers are then processes as users have them.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_LOADED = (
    "aiohttp", "dspex.hosting.carrier", "dspex.hosting.searching", "dspex.hosting.supervisor", "dspex.storage.postgres",
    "dspex.storage.sqlite", "tests.hosting.project",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Order:
    """One carrier."""

    run: str
    store: str
    log: str
    crash: str = ""
    """Where it dies, as `tests.hosting.crashing.points` names it."""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    constants: Mapping[str, float] = field(default_factory=dict[str, float])
    """Module constants by path, such as `dspex.hosting.control.BEAT_SECONDS`."""
    limit: int = 0
    """Bytes that no file of it may grow beyond; 0: no limit."""
    supervised: bool = False
    """It is a supervisor, which starts a carrier."""


class Nursery:
    """Starts carriers and waits for them."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._left: set[int] = set()
        self._lock = threading.Lock()

    def start(self, order: Order) -> int:
        """A carrier; returns its process id, which is its process group as well."""
        with self._lock:
            pid = int(self._ask(asdict(order))["pid"])
            self._left.add(pid)
        return pid

    def wait(self, pid: int) -> int:
        """Its exit status, or minus the signal that killed it. Several threads may wait at once."""
        while True:
            with self._lock:
                if (status := self._ask({"wait": pid})["status"]) is not None:
                    self._left.discard(pid)
                    return int(status)
            time.sleep(0.005)

    def signal(self, pid: int, number: signal.Signals) -> bool:
        """Send it a signal; False where somebody has waited for its end, so that its id may be another's by now."""
        with self._lock:
            if pid in self._left:
                os.kill(pid, number)
            return pid in self._left

    def load(self, *modules: str) -> None:
        """Import these, too, so that carriers from now on need not."""
        with self._lock:
            self._ask({"load": modules})

    def close(self) -> None:
        for pid in list(self._left):
            os.kill(pid, signal.SIGKILL)
            self.wait(pid)

    def _ask(self, order: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@contextmanager
def nursing() -> Generator[Nursery]:
    """A nursery while the block runs."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    environment["PYTHONFAULTHANDLER"] = "1"  # a process that does not end says where it stands when it is aborted
    with subprocess.Popen(
        [sys.executable, "-m", "tests.hosting.nursery"],
        cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        nursery = Nursery(process)
        try:
            yield nursery
        finally:
            nursery.close()
            process.terminate()


def _main() -> None:
    for name in _LOADED:
        importlib.import_module(name)
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            pid, status = os.waitpid(order["wait"], os.WNOHANG)
            answer: dict[str, Any] = {"status": os.waitstatus_to_exitcode(status) if pid else None}
        elif "load" in order:
            answer = {"loaded": [importlib.import_module(name).__name__ for name in order["load"]]}
        else:
            pid = os.fork()
            if pid == 0:
                _carry(order)
            while os.getpgid(pid) != pid:  # whoever looks for its group is to find it
                os.sched_yield()
            answer = {"pid": pid}
        print(json.dumps(answer), flush=True)


def _carry(order: Mapping[str, Any]) -> None:
    """The child: a process of its own in everything but its imports. Does not return."""
    status = 99
    try:
        os.setsid()
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.environ.update(order["environment"])
        for path, value in order["constants"].items():
            module, _, name = path.rpartition(".")
            setattr(sys.modules[module], name, value)
        if order["limit"]:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond it fails instead
            resource.setrlimit(resource.RLIMIT_FSIZE, (order["limit"], order["limit"]))
        if order["crash"]:
            from tests.hosting.crashing.points import install  # noqa: PLC0415

            install(order["crash"])
        part = importlib.import_module(f"dspex.hosting.{'supervisor' if order['supervised'] else 'carrier'}")
        status = asyncio.run(part.main(order["run"], order["store"]))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    _main()
