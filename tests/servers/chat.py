"""An OpenAI-compatible server in a process of its own, with faults by seed; it answers as the embedded model does.

    python -m tests.servers.chat --p429 0.05 --p500 0.02 --cut 0.01

The first line it prints is its address. `GET /stats` tells what it was asked and what it answered, `GET /log` when each
request came and how many tokens its answer was billed with.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from aiohttp import web

from dspex.clients.embedded.responding import respond

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Faults:
    """Shares of attempts that fail, drawn from the whole request, how often it came, and the seed."""

    p429: float = 0.0
    p500: float = 0.0
    cut: float = 0.0
    """Bodies that stop in the middle: the connection breaks, or the JSON is half."""
    seed: int = 0
    delay: float = 0.0
    """Seconds before an answer."""
    key: str = ""
    """Where given, another key is refused with 401."""
    refuse_after: int = 0
    """Where given, every request after so many is answered with 503: an outage."""
    hold_after: int = 0
    """Where given, every request after so many waits for `release`."""


@dataclass(slots=True)
class Arrival:
    """A request, and what its answer was billed with; nothing where it was refused."""

    at: float
    """Seconds by the server's clock, which never goes back."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    max_tokens: int | None = None
    """Its limit on the answer."""


@dataclass(slots=True)
class Server:
    faults: Faults
    attempts: Counter[str] = field(default_factory=Counter[str])
    statuses: Counter[str] = field(default_factory=Counter[str])
    answered: Counter[str] = field(default_factory=Counter[str])
    """Whole answers sent, by request, of those that are asked for one draw alone."""
    log: list[Arrival] = field(default_factory=list[Arrival])
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self.complete)
        app.router.add_get("/stats", self.stats)
        app.router.add_get("/log", self.told)
        app.router.add_post("/release", self.release)
        return app

    async def stats(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "requests": sum(self.attempts.values()),
                "statuses": self.statuses,
                "distinct": len(self.attempts),
                "answered_twice": sum(count > 1 for count in self.answered.values()),
            }
        )

    async def told(self, request: web.Request) -> web.Response:
        return web.json_response([asdict(item) for item in self.log])

    async def release(self, request: web.Request) -> web.Response:
        self.released.set()
        return web.Response()

    async def complete(self, request: web.Request) -> web.StreamResponse:
        arrival = Arrival(time.monotonic())
        self.log.append(arrival)
        raw = await request.read()
        if self.faults.key and request.headers.get("Authorization") != f"Bearer {self.faults.key}":
            return self._refuse(401, "Incorrect API key provided")
        body: dict[str, Any] = json.loads(raw)
        arrival.max_tokens = body.get("max_tokens")
        identity = sha256(raw).hexdigest()
        self.attempts[identity] += 1
        if self.faults.hold_after and sum(self.attempts.values()) > self.faults.hold_after:
            await self.released.wait()
        if self.faults.delay:
            await asyncio.sleep(self.faults.delay)
        if self.faults.refuse_after and sum(self.attempts.values()) > self.faults.refuse_after:
            return self._refuse(503, "the server is down")
        rng = Random(f"{self.faults.seed}/{identity}/{self.attempts[identity]}")
        draw = rng.random()
        if draw < self.faults.p429:
            return self._refuse(429, "rate limit reached", {"Retry-After": "0"})
        if draw < self.faults.p429 + self.faults.p500:
            return self._refuse(500, "the server had an error")
        found = _answer(body, self.attempts[identity])
        arrival.prompt_tokens, arrival.completion_tokens = (
            found["usage"][name] for name in ("prompt_tokens", "completion_tokens")
        )
        answer = json.dumps(found).encode()
        if draw < self.faults.p429 + self.faults.p500 + self.faults.cut:
            return await self._cut(request, answer, rng)
        self.statuses["200"] += 1
        if not body.get("temperature"):  # with one, the same question may be asked for another draw
            self.answered[identity] += 1
        return web.Response(body=answer, content_type="application/json")

    def _refuse(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
        self.statuses[str(status)] += 1
        return web.json_response({"error": {"message": message, "type": "error"}}, status=status, headers=headers)

    async def _cut(self, request: web.Request, answer: bytes, rng: Random) -> web.StreamResponse:
        """Half the body: either the connection breaks under it, or it claims to be whole."""
        self.statuses["cut"] += 1
        half = answer[: len(answer) // 2]
        if rng.random() < 0.5:
            return web.Response(body=half, content_type="application/json")
        response = web.StreamResponse(headers={"Content-Length": str(len(answer)), "Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(half)
        if request.transport is not None:
            request.transport.close()
        return response


def _answer(body: Mapping[str, Any], attempt: int) -> dict[str, Any]:
    text = respond(body["messages"], {key: body[key] for key in ("temperature", "response_format") if key in body})
    asked = sum(len(str(message["content"])) for message in body["messages"])
    return {
        "id": f"chatcmpl-{attempt}",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": asked // 4,
            "completion_tokens": len(text) // 4,
            "total_tokens": asked // 4 + len(text) // 4,
        },
    }


@dataclass(frozen=True, slots=True)
class Address:
    """A running server, seen from a test."""

    url: str
    """The base URL of the API."""

    def stats(self) -> dict[str, Any]:
        with urllib.request.urlopen(self.url.removesuffix("/v1") + "/stats", timeout=30) as response:
            found: dict[str, Any] = json.load(response)
        return found

    def release(self) -> None:
        """Let go of what is held; nothing is held any more."""
        urllib.request.urlopen(self.url.removesuffix("/v1") + "/release", data=b"", timeout=30).close()

    def log(self) -> list[Arrival]:
        """Every request, in the order they came."""
        with urllib.request.urlopen(self.url.removesuffix("/v1") + "/log", timeout=30) as response:
            return [Arrival(**item) for item in json.load(response)]


@contextmanager
def serving(**faults: Any) -> Generator[Address]:
    """A server in a process of its own while the block runs; the arguments are those of `Faults`."""
    options = [part for key, value in faults.items() for part in (f"--{key.replace('_', '-')}", str(value))]
    command = [sys.executable, "-m", "tests.servers.chat", *options]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline().strip()
            assert line.startswith("http://"), f"the server did not start: {line!r}"
            yield Address(line)
        finally:
            process.terminate()


async def _serve(faults: Faults) -> None:
    runner = web.AppRunner(Server(faults).application(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()
    host, port = runner.addresses[0][:2]
    print(f"http://{host}:{port}/v1", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    defaults: dict[str, float | str] = asdict(Faults())
    for name, default in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    asyncio.run(_serve(Faults(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
