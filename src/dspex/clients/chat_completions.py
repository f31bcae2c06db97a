"""OpenAI's chat completions, as OpenAI and every compatible server take them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticSerializationError, to_json

from dspex.clients.answers import read_answer, read_failure
from dspex.clients.providers import Provider, find_key, ignored_settings
from dspex.errors import AuthenticationError, LMError
from dspex.kernel.ports import Capabilities, Completion, Request

if TYPE_CHECKING:
    from dspex.clients.connection import Connection

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class ChatCompletions:
    """An `LM` for one provider. Sends each request once; retry, limits and memory are wrapped around it by the stack.

    Works on any number of event loops, one after the other or at once, with a session on each. `key` is for a key that
    is in no environment variable; it is kept out of every message and representation, and is never written anywhere.
    Raises AuthenticationError where the provider needs a key and `environ` has none.
    """

    def __init__(self, provider: Provider, *, key: str | None = None, environ: Mapping[str, str] | None = None) -> None:
        self.provider = provider
        self.__key = key or find_key(provider, environ)
        self._url = f"{provider.base_url}/chat/completions"
        self._models: dict[str, tuple[str, frozenset[str]]] = {}
        self._connections: dict[asyncio.AbstractEventLoop, Connection] = {}

    async def complete(self, request: Request) -> Completion:
        """One exchange. Raises the `LMError` that fits, its message naming provider and model."""
        connection = self._connections.get(asyncio.get_running_loop()) or await self._connected()
        try:
            reply = await connection.post(self._body(request))
            if reply.status != 200:
                raise read_failure(reply)
            return read_answer(reply, request, self.provider.reports_cost)
        except LMError as error:
            told = self._told(error, request)
        raise told

    def capabilities(self, model: str) -> Capabilities:
        return self.provider.capabilities

    async def aclose(self) -> None:
        """Close the sessions on all loops. The client can be used again, and opens new ones."""
        if self._connections:
            from dspex.clients.connection import disconnect  # noqa: PLC0415 - aiohttp is loaded by the first call

            while self._connections:
                loop, connection = self._connections.popitem()
                await disconnect(connection, loop)

    def __repr__(self) -> str:
        return f"ChatCompletions({self.provider.name!r}, {self.provider.base_url!r})"

    async def _connected(self) -> Connection:
        from dspex.clients.connection import connect  # noqa: PLC0415 - aiohttp is loaded by the first call

        for loop in [loop for loop in self._connections if loop.is_closed()]:
            self._connections.pop(loop).abandon()
        headers = {"Content-Type": "application/json", "Accept": "application/json", **self.provider.headers}
        if self.__key is not None:
            headers["Authorization"] = f"Bearer {self.__key}"
        opened = await connect(self._url, headers, self.provider.timeout)
        return self._connections.setdefault(asyncio.get_running_loop(), opened)

    def _body(self, request: Request) -> bytes:
        known = self._models.get(request.model)
        if known is None:
            name = request.model.partition("/")[2]
            known = self._models[request.model] = (name, ignored_settings(self.provider, name))
        name, ignored = known
        body: dict[str, Any] = {"model": name, "messages": request.messages}
        for key, value in request.settings.items():
            if key == "max_tokens":
                body[self.provider.max_tokens_name] = value
            elif key == "extra_body":
                body.update(value)
            elif key not in ignored:
                body[key] = value
        try:
            return to_json(body)
        except PydanticSerializationError:  # half a surrogate pair, or what is no JSON and raises here as well
            return _encode(body).encode("utf-8", "surrogatepass")

    def _told(self, error: LMError, request: Request) -> LMError:
        """The same error, saying who failed and what to do, without the key, whatever the server repeated of it."""
        said = f"{request.model}: {error}"
        if isinstance(error, AuthenticationError):
            variable = self.provider.key_env
            where = f"the key in {variable}" if variable else "key_env, since no key was sent"
            said += f"; check {where}, and that it may use this model"
        if self.__key:
            said = said.replace(self.__key, "[key]")
        return type(error)(said, retry_after=error.retry_after, billed=error.billed)
