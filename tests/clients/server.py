"""A chat completions server on loopback that answers, or fails, as a test tells it to; it runs in its own thread."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Thread
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Received:
    """One request as it came over the wire."""

    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: dict[str, Any]


@dataclass(frozen=True)
class Raw:
    """Bytes to send, after which the connection is closed; None: say nothing until the client gives up."""

    data: bytes | None


@dataclass(frozen=True)
class Reply:
    """A whole HTTP response."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


Behaviour = Raw | Reply


def answer(text: str | None, finish_reason: str | None = "stop", **message: Any) -> Reply:
    """What a server sends for a finished answer."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish_reason}
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    return data({"id": "x", "object": "chat.completion", "model": "served", "choices": [choice], "usage": usage})


def failure(status: int, message: str = "", code: str | None = None, **headers: str) -> Reply:
    """An error in OpenAI's form. `retry_after="2"` becomes a header."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return data({"error": {"message": message, "type": "error", "code": code}}, status, named)


def data(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, json.dumps(document).encode(), {"Content-Type": "application/json", **(headers or {})})


class ChatServer:
    """`with ChatServer([...]) as server`: answers request number n with behaviour n, the last one ever after.

    A function of (number, body) may stand for the list.
    """

    def __init__(self, script: Sequence[Behaviour] | Callable[[int, dict[str, Any]], Behaviour]) -> None:
        self.received: list[Received] = []
        self.connections = 0
        self._script = script
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="chat server")
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        self.url = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def _stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._exchange(reader, writer):
                    pass
        finally:
            self._tasks.discard(task)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        number = len(self.received)
        self.received.append(Received(head[0].split(" ")[1], headers, body))
        behaviour = self._script(number, body) if callable(self._script) else self._script[: number + 1][-1]
        if isinstance(behaviour, Raw):
            if behaviour.data is None:
                await reader.read()
            else:
                writer.write(behaviour.data)
                await writer.drain()
            return False
        lines = {"Content-Length": str(len(behaviour.body)), **behaviour.headers}
        top = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        writer.write(f"HTTP/1.1 {behaviour.status} Said\r\n{top}\r\n".encode() + behaviour.body)
        await writer.drain()
        return True
