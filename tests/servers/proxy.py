"""Stands between clients and a PostgreSQL server, and does what a test says to them when a commit passes by."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import make_url

_SOCKET = ".s.PGSQL.5432"
_COMMIT = b"COMMIT;\0"

Incident = Callable[["Passage"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Passage:
    """A commit that a client has sent and the server has not seen yet."""

    message: bytes
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    answers: asyncio.StreamReader

    async def let_through(self) -> None:
        """Give it to the server, and wait for the answer, which the client never sees."""
        self.server.write(self.message)
        await self.answers.read(1)

    def hang_up(self) -> None:
        """Close both connections."""
        self.client.transport.abort()
        self.server.transport.abort()


@dataclass(slots=True)
class Proxy:
    """`url` leads through it. `incidents` happen one after the other, each to a commit; then all passes."""

    url: str
    _server: Path
    incidents: list[Incident] = field(default_factory=list[Incident])
    _open: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    async def serve(self, source: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        answers, server = await asyncio.open_unix_connection(str(self._server / _SOCKET))
        back = asyncio.ensure_future(_pass_on(answers, client))
        self._open.add(back)
        try:
            while data := await source.read(65536):
                if data.endswith(_COMMIT) and self.incidents:
                    back.cancel()
                    await asyncio.wait([back])
                    passage = Passage(data, client, server, answers)
                    await self.incidents.pop(0)(passage)
                    passage.hang_up()
                    return
                server.write(data)
        except OSError:
            return
        finally:
            back.cancel()
            self._open.discard(back)
            for end in (client, server):
                end.close()


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65536):
            sink.write(data)
    sink.close()


@asynccontextmanager
async def between(url: str, folder: Path) -> AsyncGenerator[Proxy]:
    """A proxy before the server of `url`, with its socket in `folder`, while the block runs."""
    parsed = make_url(url)
    proxy = Proxy(
        parsed.update_query_dict({"host": str(folder)}).render_as_string(hide_password=False),
        Path(str(parsed.query["host"])),
    )
    listening = await asyncio.start_unix_server(proxy.serve, str(folder / _SOCKET))
    try:
        yield proxy
    finally:
        listening.close()
