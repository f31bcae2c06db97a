"""The process that evaluates for a run: `python -m dspex.hosting.worker SOURCE SINK LIFELINE RUNNER`.

Three pipes and a process. One evaluation at a time. It holds no key and sends nothing: the model of its runtime asks
the runner over the pipes. When the runner is gone, however it went, the worker and whatever it started end at once: a
guard beside it, which runs no code of the user's, sees to that with nothing that one system alone has.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import resource
import select
import signal
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

from dspex.adapters import ADAPTERS
from dspex.evaluation.assessment import assess
from dspex.evaluation.scoring import ReadyMetric, as_metric
from dspex.hosting.exchange import (
    HEAD,
    assessment_data,
    completion_of,
    error_data,
    error_of,
    framed,
    length_of,
    request_data,
    unframed,
)
from dspex.hosting.heedless import saying_aside
from dspex.hosting.imports import imported
from dspex.hosting.metrics import metric_of
from dspex.hosting.specification import MetricSpec, Reference
from dspex.kernel.execution import prepare
from dspex.kernel.ports import JSON, Capabilities, Completion, Request, Runtime
from dspex.kernel.program import Program
from dspex.kernel.signature import Example
from dspex.modules.registry import builtin_registry

_LOOK = 1.0
"""Seconds between a guard's looks at who is there. The lifeline tells it at once, unless a process that the runner has
forked still holds its other end."""
_KEPT = 64  # programs of candidates


class Pipe:
    """The worker's end of both pipes. Sending is safe from any thread; one thread reads."""

    def __init__(self, source: int, sink: int) -> None:
        self._source, self._sink = source, sink
        self._lock = threading.Lock()

    def send(self, kind: str, **data: JSON) -> None:
        left = memoryview(framed(kind, **data))
        with self._lock:
            while left:
                left = left[os.write(self._sink, left) :]

    def receive(self) -> dict[str, Any] | None:
        """The next frame; None once the other end is gone."""
        head = self._exactly(HEAD)
        body = None if head is None else self._exactly(length_of(head))
        return None if body is None else unframed(body)

    def _exactly(self, size: int) -> bytes | None:
        parts = bytearray()
        while len(parts) < size:
            part = os.read(self._source, size - len(parts))
            if not part:
                return None
            parts += part
        return bytes(parts)


class RunnersLM:
    """An `LM` whose every call is made, paid and kept by the runner."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._numbers = count()
        self._open: dict[int, Future[Any]] = {}
        self._capabilities: dict[str, Capabilities] = {}

    async def complete(self, request: Request) -> Completion:
        number, answer = self._asked("complete", request=request_data(request))
        try:
            return completion_of(await asyncio.wrap_future(answer))
        except asyncio.CancelledError:
            self._pipe.send("cancel", number=number)
            raise
        finally:
            del self._open[number]

    def capabilities(self, model: str) -> Capabilities:
        """As the runner's model has it; waits in place, once for each model."""
        if model not in self._capabilities:
            number, answer = self._asked("capabilities", model=model)
            try:
                self._capabilities[model] = Capabilities(*answer.result())
            finally:
                del self._open[number]
        return self._capabilities[model]

    async def aclose(self) -> None:
        """There is nothing to close."""

    def answered(self, frame: Mapping[str, Any]) -> None:
        """Hand an answer to whoever waits for it; from the thread that listens."""
        waiting = self._open.get(frame["number"])
        if waiting is None:
            return
        with suppress(InvalidStateError):  # given up meanwhile
            if "error" in frame:
                waiting.set_exception(error_of(frame["error"]))
            else:
                waiting.set_result(frame["found"])

    def _asked(self, kind: str, **data: JSON) -> tuple[int, Future[Any]]:
        number, answer = next(self._numbers), Future[Any]()
        self._open[number] = answer
        self._pipe.send(kind, number=number, **data)
        return number, answer


class Worker:
    """Sets itself up as the runner says, then evaluates what it is given, one after the other."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe, self._lm = pipe, RunnersLM(pipe)
        self._programs: dict[str, Program] = {}

    async def serve(self) -> None:
        """Until the process ends."""
        loop, tasks = asyncio.get_running_loop(), asyncio.Queue[dict[str, Any]]()

        def listen() -> None:
            while (frame := self._pipe.receive()) is not None:
                if frame["kind"] == "answer":
                    self._lm.answered(frame)
                else:
                    loop.call_soon_threadsafe(tasks.put_nowait, frame)
            _end()

        threading.Thread(target=listen, name="dspex-runner", daemon=True).start()
        setup = await tasks.get()
        try:
            runtime, metric = self._set_up(setup)
        except Exception as error:
            self._pipe.send("refused", error=error_data(error))
            return
        self._pipe.send("ready")
        while True:
            await self._assess(await tasks.get(), runtime, metric)

    def _set_up(self, setup: Mapping[str, Any]) -> tuple[Runtime, ReadyMetric]:
        """Import what the user has, and see that the program can run. Raises ConfigurationErrors."""
        sys.path[:] = setup["path"]
        for item in setup["imports"]:
            imported(Reference.model_validate(item))
        runtime = Runtime(self._lm, setup["model"], ADAPTERS, builtin_registry(), setup["adapter"])
        metric = as_metric(metric_of(MetricSpec.model_validate(setup["metric"])), runtime)
        prepare(Program.from_data(setup["program"], "the run's program"), runtime)
        if setup["memory_mb"] is not None:
            _limit_memory(setup["memory_mb"] * 2**20)
        return runtime, metric

    async def _assess(self, asked: Mapping[str, Any], runtime: Runtime, metric: ReadyMetric) -> None:
        try:
            program = self._program(asked["candidate"], asked["program"])
            example = Example(asked["example"], asked["values"])
            found = await assess(program, example, metric, runtime, asked["sample"])
            self._pipe.send("assessed", found=assessment_data(found))
        except Exception as error:
            self._pipe.send("raised", error=error_data(error))

    def _program(self, candidate: str, data: Mapping[str, JSON]) -> Program:
        found = self._programs.get(candidate)
        if found is None:
            if len(self._programs) >= _KEPT:
                del self._programs[next(iter(self._programs))]
            found = self._programs[candidate] = Program.from_data(data, f"candidate {candidate}")
        return found


def _limit_memory(more: int) -> None:
    """Allow `more` bytes beyond what the process has mapped by now; an allocation above that raises MemoryError."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _end() -> None:
    """End this process at once, and all that it started."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def _guarded(runner: int, lifeline: int, *ends: int) -> None:
    """See to it that neither this process nor what it starts outlives the runner, also where code here holds the
    interpreter's lock, or this process is killed with the runner: a guard in its group ends the group."""
    worker = os.getpid()
    guard = os.fork()
    if guard == 0:
        for end in ends:
            os.close(end)
        _guard(worker, runner, lifeline)
    os.close(lifeline)
    threading.Thread(target=_end_after, args=(guard,), name="dspex-guard", daemon=True).start()


def _guard(worker: int, runner: int, lifeline: int) -> NoReturn:
    """In a process of its own: wait until the runner is gone, who ends what a dead worker leaves, and end the group."""
    while _there(runner):
        if select.select([lifeline], [], [], _LOOK)[0]:
            break
    os.killpg(worker, signal.SIGKILL)  # of which this is one
    os._exit(1)


def _there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, PermissionError):  # nobody's, or another user's by now
        return False
    return True


def _end_after(guard: int) -> None:
    """On a thread: a worker without a guard is none."""
    with suppress(ChildProcessError):  # code of an evaluation has waited for whatever ends
        os.waitpid(guard, 0)
    _end()


def main(source: int, sink: int, lifeline: int, runner: int) -> None:
    """Serve the runner at the other end of the pipes."""
    _guarded(runner, lifeline, source, sink)
    for end in (source, sink):
        os.set_inheritable(end, False)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.enable()
    with saying_aside():
        asyncio.run(Worker(Pipe(source, sink)).serve())


if __name__ == "__main__":
    main(*map(int, sys.argv[1:5]))
