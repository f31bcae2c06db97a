"""Talks to the model server about sessions. Standard library only: peers' environments use it too."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SessionClient:
    """One session of a server."""

    base: str
    """The session's address."""

    @classmethod
    def opened(cls, server: str, family: str, seed: int, budget: int) -> SessionClient:
        """A new session of the server at this address."""
        made = _sent(f"{server}/sessions", {"family": family, "seed": seed, "budget": budget})
        return cls(f"{server}/s/{made['id']}")

    @property
    def models(self) -> str:
        """The base of chat completions that count."""
        return f"{self.base}/v1"

    @property
    def oracle(self) -> str:
        """The base of those that do not count, and are remembered for `score`."""
        return f"{self.base}/oracle/v1"

    def counts(self) -> dict[str, Any]:
        """Calls, proposals, refused calls, dollars."""
        return _sent(self.base, None)

    def score(self) -> float:
        """The true score of the program that has just been run through the oracle."""
        return float(_sent(f"{self.base}/score", {})["score"])


def _sent(url: str, body: object) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        found: dict[str, Any] = json.load(reply)
    return found
