"""Which evaluations are in the air, on disk beside a run's locks: after a death it says which of them may be to blame.

Nothing is synced: the kernel keeps what a process wrote, however that process ends. Only a machine that goes down loses
it, and then no evaluation was the cause.
"""

from __future__ import annotations

import heapq
import json
import os
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from mmap import mmap
from pathlib import Path

from dspex.evaluation.assessment import Assessment
from dspex.hosting.gate import Gate
from dspex.hosting.liveness import local_folder
from dspex.kernel.ports import Event
from dspex.optimization.ports import Assignment, Executor, Ledger
from dspex.optimization.rows import QUARANTINED, Death, Evaluation, Pair
from dspex.storage.database import Location, StorageError

SLOT = 1024
"""Bytes of one entry; the first holds whose record it is."""
ROOM = 64
"""Entries that the file grows by."""
_OUTSIDE = frozenset(
    {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGXCPU, signal.SIGPIPE}
)
"""Signals that others send. SIGKILL is also how the kernel ends what takes too much memory."""


def flight_of(location: Location, run: str) -> Path:
    """The flight record of a run, on this machine."""
    return local_folder(location) / f"{run}.flight"


@dataclass(frozen=True, slots=True)
class Crash:
    """What a process that is gone has left behind."""

    flying: tuple[Pair, ...]
    """What it was evaluating when it died; nothing where it ended in order."""
    pid: int
    status: int | None
    """How it ended, as `subprocess` has it; None: nobody saw it."""

    @property
    def own(self) -> bool:
        """Whether it died by itself: of a fault, or because code of an evaluation left."""
        return self.status is not None and -self.status not in _OUTSIDE

    @property
    def how(self) -> str:
        if self.status is None:
            return "died unseen"
        return f"died of signal {-self.status}" if self.status < 0 else f"ended with status {self.status}"


class FlightRecord:
    """The record of one process. A new one takes the place of the file; an old process goes on in the file it had.

    It is written as memory that the kernel shares with the file: two notes an evaluation are then no calls of the
    system.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        made = path.with_name(f"{path.name}.{os.getpid()}")
        self._path = path
        self._file = os.open(made, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._memory = self._grown(0)
        self._write(0, {"pid": os.getpid(), "status": None})
        made.replace(path)
        self._free: list[int] = []
        self._slots = count(1)

    def took_off(self, pair: Pair) -> int:
        """Note an evaluation; returns its slot. Raises StorageError where the disk does not take it."""
        slot = heapq.heappop(self._free) if self._free else next(self._slots)
        try:
            if (slot + 1) * SLOT > len(self._memory):
                self._memory = self._grown(len(self._memory))
        except OSError as error:
            raise StorageError(f"{self._path}: {error.strerror}; free some space and carry on") from error
        self._write(slot, pair)
        return slot

    def landed(self, slot: int) -> None:
        self._memory[slot * SLOT] = 0
        heapq.heappush(self._free, slot)

    def close(self) -> None:
        self._memory.close()
        os.close(self._file)

    def _grown(self, size: int) -> mmap:
        """The file as memory, with room for more. The room is written first: a full disk says so here, while memory
        that finds none for itself ends the process."""
        left = memoryview(bytes(ROOM * SLOT))
        while left:
            written = os.pwrite(self._file, left, size + ROOM * SLOT - len(left))
            left = left[written:]
        return mmap(self._file, size + ROOM * SLOT)

    def _write(self, slot: int, entry: Pair | Mapping[str, int | None]) -> None:
        text = json.dumps(entry).encode("ascii")
        # An id that does not fit is left out: its evaluation is then never suspected, and all else stays as it is.
        data, start = (text if len(text) < SLOT else b"").ljust(SLOT, b"\0"), slot * SLOT
        # The first byte makes an entry of it: a process that dies before has not begun the evaluation.
        self._memory[start + 1 : start + SLOT] = data[1:]
        self._memory[start] = data[0]


def left_behind(path: Path) -> Crash | None:
    """What the last process noted and did not get to the end of; None where there is no record."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return _read(data)
    except (ValueError, KeyError, IndexError):
        return None  # it was being written when everything ended


def _read(data: bytes) -> Crash:
    slots = [data[at : at + SLOT].rstrip(b"\0") for at in range(0, len(data), SLOT)]
    head = json.loads(slots[0])
    flying = tuple((c, e, s) for c, e, s in (json.loads(text) for text in slots[1:] if _whole(text)))
    return Crash(flying, head["pid"], head["status"])


def saw_end(path: Path, pid: int, status: int) -> int:
    """Note how a process ended, for the one after it; returns how many evaluations were in the air.

    0 also where the record is another's: that process has not got as far as to evaluate.
    """
    found = left_behind(path)
    if found is None or found.pid != pid or not found.flying:
        return 0
    with path.open("r+b") as file:
        file.write(json.dumps({"pid": pid, "status": status}).encode("ascii").ljust(SLOT, b"\0"))
    return len(found.flying)


def blamed(crash: Crash, deaths: Mapping[tuple[str, str], Death]) -> list[Death]:
    """What is held of everything that was in the air when a process died.

    The first time makes a suspect of it. A suspect that was alone in the air when a process died by itself is to
    blame. Where somebody else may have killed that process, it counts half: it takes a second time.
    """
    found: list[Death] = []
    alone = len(crash.flying) == 1
    for key in sorted({pair[:2] for pair in crash.flying}):
        known = deaths.get(key)
        before = 0 if known is None else known.kills
        kills = before
        if alone and crash.own:
            kills = 1 if known is None else QUARANTINED
        elif alone and known is not None:
            kills = before + 1
        company = "alone" if alone else f"with {len(crash.flying) - 1} others"
        reason = f"crash: the run's process {crash.how} while this was evaluated, {company}"
        found.append(Death(*key, kills, reason))
    return found


def _whole(text: bytes) -> bool:
    return text.startswith(b"[") and text.endswith(b"]")


class NotedExecutor:
    """`Executor` that notes what it hands on to another, and lets suspects fly alone, the least suspect first.

    It owns the other and the record, and closes both.
    """

    def __init__(self, inner: Executor, record: FlightRecord, deaths: Iterable[Death]) -> None:
        self._inner, self._record = inner, record
        self._suspects = {(item.candidate, item.example): item.kills for item in deaths if item.kills < QUARANTINED}
        self._gate = Gate()
        self._open = True

    async def assess(self, assignment: Assignment) -> Assessment:
        pair = assignment.pair
        await self._gate.enter(self._suspects.get(pair[:2]))
        try:
            slot = self._record.took_off(pair)
            try:
                return await self._inner.assess(assignment)
            finally:
                self._record.landed(slot)
        finally:
            self._gate.leave()

    async def aclose(self) -> None:
        if self._open:
            self._open = False
            await self._inner.aclose()
            self._record.close()


async def noting(path: Path, ledger: Ledger, inner: Executor) -> NotedExecutor:
    """`inner` with a flight record, once the ledger has been told what the process before this one has died of."""
    crash = left_behind(path)
    # The old record goes first: should this process die now, evidence is lost, but none is counted twice.
    record = FlightRecord(path)
    try:
        for pair, death in _told(crash, ledger):
            await ledger.blame(death)
            if death.kills >= QUARANTINED:
                await ledger.record(Evaluation(*pair, ledger.folded, None, error=death.reason, error_kind="crash"))
                await ledger.log(Event("run.quarantined", death.example, {"candidate": death.candidate}))
        return NotedExecutor(inner, record, ledger.deaths.values())
    except BaseException:
        record.close()
        raise


def _told(crash: Crash | None, ledger: Ledger) -> list[tuple[Pair, Death]]:
    if crash is None:
        return []
    pairs = {pair[:2]: pair for pair in crash.flying}
    return [(pairs[death.candidate, death.example], death) for death in blamed(crash, ledger.deaths)]
