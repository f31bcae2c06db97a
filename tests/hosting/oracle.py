"""A model server in a process of its own that writes down every request it gets: what was sent is asked of it alone.

Answers are a function of the request: `hinted` of `tests.optimization.simulators`, or `versed` for models whose name
begins so; a model `wordy` bills for each of its answers another part of its limit. The key that a request carries says
who sent it, `tag:sender`: each tag has its own log, one line a request, flushed before the request is looked at.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from aiohttp import web

from dspex.kernel.ports import Request
from tests.optimization.simulators import hinted, share, versed

ROOT = Path(__file__).parents[2]
VERSED, WORDY = "versed", "wordy"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as the server saw it."""

    number: int
    """The same as in the answer's `model`, `colours#number`."""
    body: str
    """Hash of its bytes."""
    sender: str


@dataclass(slots=True)
class Behaviour:
    """How a tag's requests are treated from now on."""

    delay: float = 0.004
    """Seconds before an answer."""
    uneven: float = 0.0
    """Up to so many seconds more, by the request's content and by whoever sends it."""
    refuse: bool = False
    """Every request gets a 503."""
    kill: int = 0
    """A process to kill with signal 9 ..."""
    family: int = 0
    """... and one to kill with all that it has started, as a server ..."""
    after: int = 0
    """... once so many requests came from `sender` ..."""
    sender: str = ""
    later: float = 0.0
    """... and so many seconds passed."""


@dataclass(slots=True)
class _Server:
    folder: Path
    behaviours: defaultdict[str, Behaviour] = field(default_factory=lambda: defaultdict(Behaviour))
    seen: defaultdict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    numbers: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    answering: Counter[str] = field(default_factory=Counter[str])
    held: Counter[tuple[str, float]] = field(default_factory=Counter[tuple[str, float]])

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self.complete)
        app.router.add_post("/behave/{tag}", self.behave)
        return app

    async def behave(self, request: web.Request) -> web.Response:
        tag = request.match_info["tag"]
        changes: dict[str, Any] = await request.json()
        for name, value in changes.items():
            setattr(self.behaviours[tag], name, value)
        self._kill(self.behaviours[tag], tag)
        held = {str(delay): count for (its, delay), count in self.held.items() if its == tag}
        return web.json_response({"seen": self.numbers[tag], "answering": self.answering[tag], "held": held})

    async def complete(self, request: web.Request) -> web.Response:
        raw = await request.read()
        tag, _, sender = request.headers["Authorization"].removeprefix("Bearer ").partition(":")
        self.numbers[tag] += 1
        number = self.numbers[tag]
        self.seen[tag, sender] += 1
        line = json.dumps({"number": number, "body": sha256(raw).hexdigest(), "sender": sender})
        with (self.folder / f"{tag}.log").open("a") as log:
            log.write(line + "\n")
        behaviour = self.behaviours[tag]
        self._kill(behaviour, tag)
        delay = behaviour.delay
        if behaviour.uneven:
            delay += behaviour.uneven * Random(f"{sender}/{line}").random()
        self.held[tag, delay] += 1
        self.answering[tag] += 1
        try:
            await asyncio.sleep(delay)
        finally:
            self.held[tag, delay] -= 1
            self.answering[tag] -= 1
        if behaviour.refuse:
            return web.json_response({"error": {"message": "the server is down"}}, status=503)
        body = json.loads(raw)
        settings = {name: value for name, value in body.items() if name not in ("model", "messages")}
        model = versed if body["model"].startswith(VERSED) else hinted
        text = model(Request(body["model"], body["messages"], settings, 0))
        size = len(text) // 4
        if body["model"] == WORDY:
            size = int(body["max_tokens"] * share(sha256(raw).hexdigest()) ** 2)
        return web.json_response(
            {
                "model": f"{body['model']}#{number}",
                "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": len(raw) // 4, "completion_tokens": size},
            }
        )

    def _kill(self, behaviour: Behaviour, tag: str) -> None:
        doomed = behaviour.kill, behaviour.family
        if any(doomed) and self.seen[tag, behaviour.sender] >= behaviour.after:
            behaviour.kill = behaviour.family = 0
            asyncio.get_running_loop().call_later(behaviour.later, _killed, *doomed)


def _killed(single: int, family: int) -> None:
    children = Path(f"/proc/{family}/task/{family}/children").read_text().split() if family else []
    for pid in (single, family, *map(int, children)):
        if pid:
            with suppress(ProcessLookupError):  # a child may have ended by itself, at the end of its first process
                os.kill(pid, signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class Oracle:
    """The server, seen from a test."""

    address: str
    folder: Path

    @property
    def base_url(self) -> str:
        return f"{self.address}/v1"

    def behave(self, tag: str, **changes: Any) -> int:
        """Change what happens to a tag's requests; returns how many came so far."""
        return int(self._told(tag, changes)["seen"])

    def waiting(self, tag: str, delay: float) -> bool:
        """Whether all unanswered requests of a tag, at least one, came since its delay was set to `delay`."""
        told = self._told(tag, {})
        return bool(0 < told["answering"] == told["held"].get(str(delay), 0))

    def _told(self, tag: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        data = json.dumps(changes).encode()
        with urllib.request.urlopen(f"{self.address}/behave/{tag}", data=data, timeout=30) as response:
            told: dict[str, Any] = json.load(response)
        return told

    def asked(self, tag: str) -> list[Asked]:
        """Every request of a tag, in the order they came."""
        for _ in range(2):  # what a process sent before it died is read before these are answered
            self.behave(tag)
        path = self.folder / f"{tag}.log"
        return [Asked(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


@contextmanager
def serving(folder: Path) -> Generator[Oracle]:
    """A server in a process of its own while the block runs; its logs are in `folder`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    command = [sys.executable, "-m", "tests.hosting.oracle", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline().strip()
            assert line.startswith("http://"), f"the server did not start: {line!r}"
            yield Oracle(line, folder)
        finally:
            process.terminate()


async def _serve(folder: Path) -> None:
    runner = web.AppRunner(_Server(folder).application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    host, port = runner.addresses[0][:2]
    print(f"http://{host}:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
