"""One worker as its runner holds it: started, given one evaluation at a time, answered when it asks, killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from dspex.clients.call_key import call_key
from dspex.errors import ConfigurationError, DspexError
from dspex.evaluation.assessment import Assessment
from dspex.hosting.exchange import (
    HEAD,
    assessment_of,
    completion_data,
    error_data,
    error_of,
    framed,
    length_of,
    request_of,
    unframed,
)
from dspex.kernel.ports import JSON, Completion, Runtime
from dspex.optimization.ports import Assignment

START_SECONDS = 120.0
"""What importing the user's code may take."""
_LINGERS = 1.0
"""Seconds between the end of a worker's pipe and its own; one that takes longer has closed its pipe."""
_USUAL = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR",
    "LD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "PYTHONHASHSEED", "PYTHONDONTWRITEBYTECODE",
)  # fmt: skip
"""The environment of a worker: no key is among it."""
Bought = dict[str, deque[Completion]]
"""Answers that an evaluation got, by call, in their order."""


class WorkerDiedError(Exception):
    """A worker ended without an answer. `outside`: of a SIGKILL that is not ours, perhaps of no fault of its own."""

    def __init__(self, kind: str, text: str, *, outside: bool = False) -> None:
        super().__init__(text)
        self.kind, self.outside = kind, outside


@dataclass(slots=True)
class _Sitting:
    """One evaluation in a worker."""

    runtime: Runtime
    outcome: asyncio.Future[dict[str, Any]]
    known: Bought = field(default_factory=Bought)
    """What an attempt before this one has got: it is not asked, nor counted, a second time."""
    bought: Bought = field(default_factory=Bought)
    calls: dict[int, asyncio.Task[None]] = field(default_factory=dict[int, asyncio.Task[None]])


class Stopwatch:
    """Rings after `seconds` of its own time; it can be held meanwhile."""

    def __init__(self, seconds: float, ring: Callable[[], None]) -> None:
        self._left, self._ring = seconds, ring
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def go(self) -> None:
        self._since = monotonic()
        self._timer = asyncio.get_running_loop().call_later(self._left, self._ring)

    def hold(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._left = max(0.0, self._left - (monotonic() - self._since))


class WorkerProcess:
    """A started worker. Used from one event loop; one `assess` at a time."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._loop = asyncio.get_running_loop()
        self._why: WorkerDiedError | None = None
        self._sitting: _Sitting | None = None
        self._lock, self._reaped = threading.Lock(), False
        self._exited: asyncio.Future[int] = self._loop.create_future()
        self._listening: asyncio.Task[None] | None = None
        from_worker, sink = os.pipe()
        source, to_worker = os.pipe()
        lifeline, held = os.pipe()  # nothing is ever written: it closes when this process is gone
        ends = (source, sink, lifeline)
        command = [sys.executable, "-u", "-m", "dspex.hosting.worker", *map(str, ends), str(os.getpid())]
        try:
            # A session of its own: what it starts can be ended with it, and Ctrl-C is the runner's to handle.
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, env=dict(environment), pass_fds=ends, start_new_session=True,
            )  # fmt: skip
        except BaseException:
            for end in (from_worker, to_worker, held):
                os.close(end)
            raise
        finally:
            for end in ends:
                os.close(end)
        self._ends = (os.fdopen(from_worker, "rb", 0), os.fdopen(to_worker, "wb", 0))
        self._held = os.fdopen(held, "wb", 0)
        threading.Thread(target=self._wait, name=f"dspex-worker-{self.process.pid}", daemon=True).start()

    async def set_up(self, runtime: Runtime, setup: Mapping[str, JSON]) -> None:
        """Let it import the user's code. Raises ConfigurationErrors, WorkerDiedError."""
        reader = asyncio.StreamReader()
        source, sink = self._ends
        self._source, _ = await self._loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), source)
        self._sink, _ = await self._loop.connect_write_pipe(asyncio.BaseProtocol, sink)
        self._listening = asyncio.ensure_future(self._listen(reader))
        late = WorkerDiedError("hang", f"importing the program's code and the metric took over {START_SECONDS:g} s")
        sitting = _Sitting(runtime, self._loop.create_future())
        self._send("setup", **setup)
        frame = await self._answered(sitting, Stopwatch(START_SECONDS, lambda: self.kill(late)))
        if frame["kind"] != "ready":
            raise error_of(frame["error"])

    async def assess(self, assignment: Assignment, seconds: float, bought: Bought) -> Assessment:
        """As the port's. `bought` is what an earlier attempt has got, and after this one what this one got.

        Raises WorkerDiedError where the worker ended, also after `seconds` of its own time.
        """
        slow = WorkerDiedError("hang", f"it took more than {seconds:g} s of its own, and its worker was killed")
        sitting = _Sitting(assignment.runtime, self._loop.create_future(), bought.copy())
        watch = Stopwatch(seconds, lambda: self.kill(slow))
        self._send(
            "assess", candidate=assignment.candidate, program=assignment.program.to_data(),
            example=assignment.example.id, values=dict(assignment.example.values), sample=assignment.sample,
        )  # fmt: skip
        try:
            frame = await self._answered(sitting, watch)
        finally:
            for key, answers in sitting.bought.items():
                bought[key] = answers + sitting.known.get(key, deque())
        if frame["kind"] == "raised":
            raise error_of(frame["error"])
        return assessment_of(frame["found"])

    @property
    def usable(self) -> bool:
        """Whether it can be given another evaluation."""
        return self._why is None and not self._exited.done() and self._sitting is None

    def kill(self, why: WorkerDiedError) -> None:
        """End it at once, with all it started; `why` is what its evaluation then fails of."""
        with self._lock:
            if not self._reaped:
                self._why = self._why or why
                self._end_group()

    async def aclose(self) -> None:
        """Kill it and wait until it is gone, with its calls."""
        self.kill(WorkerDiedError("crash", "it was closed"))
        await asyncio.shield(self._exited)
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])
            self._source.close()
            self._sink.close()
            await asyncio.sleep(0)  # the transports close their files in the loop's next turn
        for end in (*self._ends, self._held):
            end.close()

    async def _answered(self, sitting: _Sitting, watch: Stopwatch) -> dict[str, Any]:
        """Wait for what comes of a sitting. Raises WorkerDiedError, and errors that are fatal."""
        self._sitting, self._watch = sitting, watch
        watch.go()
        try:
            await asyncio.wait((sitting.outcome, self._exited), return_when=asyncio.FIRST_COMPLETED)
            if sitting.outcome.done():
                self._sitting = None
                return sitting.outcome.result()
            if sitting.calls:  # paid already, or about to be: the next attempt finds them answered
                await asyncio.wait(sitting.calls.values())
            raise self._died(self._exited.result())
        except asyncio.CancelledError:
            self.kill(WorkerDiedError("crash", "its evaluation was cancelled"))
            for call in (calls := list(sitting.calls.values())):
                call.cancel()
            await asyncio.gather(self._exited, *calls, return_exceptions=True)
            raise
        finally:
            watch.hold()

    def _died(self, status: int) -> WorkerDiedError:
        if status == -signal.SIGKILL:
            text = "its process was killed (SIGKILL), by somebody or because the machine had no memory left"
            return self._why or WorkerDiedError("crash", text, outside=True)
        if status < 0:
            return WorkerDiedError("crash", f"its process died of {_signal_name(-status)}")
        return WorkerDiedError("crash", f"its process ended with status {status} in the middle of it")

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                size = length_of(await reader.readexactly(HEAD))
                self._heard(unframed(await reader.readexactly(size)))
        except asyncio.IncompleteReadError:
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._exited), _LINGERS)
            self.kill(WorkerDiedError("crash", "it closed the pipe to its runner"))
        except (ValueError, KeyError, TypeError) as error:
            self.kill(WorkerDiedError("crash", f"it wrote to the pipe to its runner: {error}"))

    def _heard(self, frame: dict[str, Any]) -> None:
        sitting = self._sitting
        if sitting is None:
            return  # a call that its evaluation did not wait for
        kind, number = frame["kind"], frame.get("number")
        if kind == "complete" and isinstance(number, int):
            if not sitting.calls:
                self._watch.hold()
            task = asyncio.ensure_future(self._complete(sitting, number, frame["request"]))
            sitting.calls[number] = task
            task.add_done_callback(lambda _: self._called(sitting, number))
        elif kind == "cancel" and number in sitting.calls:
            sitting.calls[number].cancel()
        elif kind == "capabilities":
            self._tell_capabilities(sitting.runtime, frame)
        elif kind in ("ready", "refused", "assessed", "raised") and not sitting.outcome.done():
            sitting.outcome.set_result(frame)

    def _called(self, sitting: _Sitting, number: int) -> None:
        sitting.calls.pop(number, None)
        if not sitting.calls and sitting is self._sitting and not sitting.outcome.done():
            self._watch.go()

    async def _complete(self, sitting: _Sitting, number: int, data: Any) -> None:
        request = request_of(data)
        key = call_key(request)
        try:
            earlier = sitting.known.get(key)
            completion = earlier.popleft() if earlier else await sitting.runtime.lm.complete(request)
            sitting.bought.setdefault(key, deque()).append(completion)
            self._send("answer", number=number, found=completion_data(completion))
        except Exception as error:
            if isinstance(error, DspexError) and error.fatal:
                if not sitting.outcome.done():
                    sitting.outcome.set_exception(error)
                self.kill(WorkerDiedError("crash", "the search ended"))
            else:
                self._send("answer", number=number, error=error_data(error))

    def _tell_capabilities(self, runtime: Runtime, frame: Mapping[str, Any]) -> None:
        try:
            able = runtime.lm.capabilities(frame["model"])
        except DspexError as error:
            self._send("answer", number=frame["number"], error=error_data(error))
        else:
            found = [able.json_schema, able.json_object, able.tools]
            self._send("answer", number=frame["number"], found=found)

    def _send(self, kind: str, **data: JSON) -> None:
        if not self._sink.is_closing():
            self._sink.write(framed(kind, **data))

    def _wait(self) -> None:
        """On a thread: wait for the end of the worker, and end what it has left behind."""
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)
        else:
            self.process.wait()
        with self._lock:
            self._end_group()
            status = self.process.wait()
            self._reaped = True
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._over, status)

    def _end_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):  # all of it has ended; some systems call that the second
            os.killpg(self.process.pid, signal.SIGKILL)

    def _over(self, status: int) -> None:
        if not self._exited.done():
            self._exited.set_result(status)


def environment_of(wanted: tuple[str, ...]) -> dict[str, str]:
    """What a worker sees of this process's environment. Raises ConfigurationError for a name that is not set."""
    if missing := [name for name in wanted if name not in os.environ]:
        raise ConfigurationError(f"isolation: environment names {', '.join(missing)}, which is not set here")
    names = (*_USUAL, *wanted)
    return {name: os.environ[name] for name in names if name in os.environ}


def _signal_name(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"
