"""A run's journal of calls over the memory of the project, so that what `eval` has bought is not bought again."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from dspex.clients.remembered import from_memory
from dspex.kernel.ports import CallStore, Completion, Request


@dataclass(frozen=True, slots=True)
class JournalOverMemory:
    """`CallStore`: the journal decides what is sent, the memory answers what was bought elsewhere, and keeps the rest.

    `own` are the calls that the run itself had bought when it was taken over: they are the journal's, since some of
    them are not accounted for yet.
    """

    journal: CallStore
    memory: CallStore
    own: Set[str]

    async def get(self, key: str) -> Completion | None:
        return await self.journal.get(key) or await self.memory.get(key)

    async def begin(self, key: str, request: Request) -> Completion | None:
        if key not in self.own and (found := await self.memory.get(key)) is not None:
            return from_memory(found, key)
        return await self.journal.begin(key, request)

    async def put(self, key: str, request: Request, completion: Completion) -> None:
        await self.journal.put(key, request, completion)
        await self.memory.put(key, request, completion)

    async def abandon(self, key: str) -> None:
        await self.journal.abandon(key)

    async def aclose(self) -> None:
        """The journal's; the memory belongs to the runtime."""
        await self.journal.aclose()
