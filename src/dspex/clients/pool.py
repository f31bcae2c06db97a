"""The clients of a runtime, one for each provider, built when first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from dspex.clients.chat_completions import ChatCompletions
from dspex.clients.limiter import Limiter, Limits, limiter_for
from dspex.clients.providers import find_key, find_provider
from dspex.kernel.ports import JSON, LM


@dataclass(frozen=True, slots=True)
class Client:
    """A model's client, and the limiter that everything with the same address and key shares."""

    lm: LM
    limiter: Limiter | None = None
    shared_as: str = ""
    """What other processes know the limiter's rates as: a hash of the address and the key, which it does not tell."""


def client_for(
    provider: str, overrides: Mapping[str, JSON] | None = None, environ: Mapping[str, str] | None = None
) -> Client:
    """A client for `provider`: its row of the table with `overrides` (fields of `Provider`) over it.

    Raises UnknownNameError for the provider, ConfigurationError for an override, AuthenticationError without a key.
    """
    row = find_provider(provider, overrides, environ)
    limits = row.limits if row.limits != Limits() else None
    lm = ChatCompletions(row, environ=environ)
    shared_as = sha256(f"{row.base_url}\n{find_key(row, environ) or ''}".encode()).hexdigest()[:40]
    return Client(lm, limiter_for(row.identity, limits), shared_as)


class ClientPool:
    """Clients by provider.

    `live` are models that exist already (a `ScriptedLM`), by provider; `factories` make others when first used;
    everything else speaks chat completions, with `overrides` by provider. What the pool built, or was given, it closes.
    """

    def __init__(
        self,
        overrides: Mapping[str, Mapping[str, JSON]] | None = None,
        *,
        live: Mapping[str, LM] | None = None,
        factories: Mapping[str, Callable[[], LM]] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._overrides = overrides or {}
        self._factories = factories or {}
        self._environ = environ
        self._clients = {name: Client(lm) for name, lm in (live or {}).items()}

    def get(self, provider: str) -> Client:
        """The client of `provider`. Raises UnknownNameError, ConfigurationError, AuthenticationError."""
        found = self._clients.get(provider)
        if found is None:
            factory = self._factories.get(provider)
            if factory is not None:
                found = Client(factory())
            else:
                found = client_for(provider, self._overrides.get(provider), self._environ)
            self._clients[provider] = found
        return found

    async def aclose(self) -> None:
        """Close every client. They open anew when used again."""
        for client in self._clients.values():
            await client.lm.aclose()
