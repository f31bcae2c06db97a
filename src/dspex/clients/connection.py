"""HTTP over aiohttp: one session for each event loop, closed when that loop ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.client_exceptions import ConnectionTimeoutError

from dspex.clients.answers import Reply
from dspex.errors import ConnectionFailedError, LMTimeoutError, RequestError, ServerError

CONNECT_SECONDS = 30.0


class Connection:
    """Posts JSON to one address on one event loop."""

    def __init__(self, url: str, headers: Mapping[str, str], timeout: float) -> None:
        self._url, self._timeout = url, timeout
        self._proxy = _proxy(url)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=min(timeout, CONNECT_SECONDS)),
        )
        self._lifetime = _lifetime(self._session)

    async def open(self) -> None:
        """Tie the session to the running loop: it is closed when the loop ends, or when nothing refers to this."""
        await anext(self._lifetime)

    async def post(self, body: bytes) -> Reply:
        """Send `body`; the whole reply, whatever its status. Raises the typed errors of a failed exchange."""
        try:
            # Not in a block of its own: to read to the end gives the connection back, and a read that fails closes it.
            response = await self._session.post(self._url, data=body, proxy=self._proxy, allow_redirects=False)
            return Reply(response.status, response.headers, await response.read())
        except ConnectionTimeoutError:
            raise LMTimeoutError(f"no connection to {self._url} within {CONNECT_SECONDS:g} s") from None
        except TimeoutError:
            raise LMTimeoutError(f"no whole answer from {self._url} within {self._timeout:g} s", billed=True) from None
        except aiohttp.ClientConnectorError as error:
            raise ConnectionFailedError(f"no connection to {self._url}: {error.strerror or error}") from None
        except aiohttp.ClientPayloadError:
            raise ServerError(f"cut-off body: {self._url} closed before the whole answer came", billed=True) from None
        except aiohttp.InvalidURL:
            raise RequestError(f"{self._url} is not an address that can be called") from None
        except (aiohttp.ClientError, OSError) as error:
            # What aiohttp raises can hold the headers, key included: only its kind is told.
            kind = type(error).__name__
            raise ConnectionFailedError(f"the connection to {self._url} broke ({kind})", billed=True) from None

    async def aclose(self) -> None:
        await self._lifetime.aclose()

    def abandon(self) -> None:
        """Let go of a session whose loop is closed already, where nothing can be awaited any more."""
        connector = self._session.connector
        self._session.detach()
        if connector is not None:
            with suppress(StopIteration):
                connector.close().__await__().__next__()


async def _lifetime(session: aiohttp.ClientSession) -> AsyncGenerator[None, None]:
    # Event loops close the generators that are still open when they end, and those that are collected: the one hook
    # by which a session can be closed in time on a loop that somebody else runs.
    try:
        yield
    finally:
        await session.close()


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for `url`, looked up once instead of at every request."""
    parts = urlsplit(url)
    found = getproxies().get(parts.scheme)
    return None if found is None or proxy_bypass(parts.hostname or "") else found


async def connect(url: str, headers: Mapping[str, str], timeout: float) -> Connection:
    """A connection for the running loop."""
    connection = Connection(url, headers, timeout)
    await connection.open()
    return connection


async def disconnect(connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
    """Close a connection that belongs to `loop`, which may be this one, another, or closed."""
    if loop is asyncio.get_running_loop():
        await connection.aclose()
    elif loop.is_closed():
        connection.abandon()
    else:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(connection.aclose(), loop))
