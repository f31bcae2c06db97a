"""How an answer out of memory differs from one that was bought."""

from __future__ import annotations

from dspex.kernel.ports import Completion, Usage

FROM_MEMORY = Usage(cached_calls=1)


def from_memory(completion: Completion, key: str) -> Completion:
    """The same answer, marked as one that nothing was sent for."""
    return Completion(
        completion.text, completion.finish_reason, FROM_MEMORY, completion.model, completion.tool_calls, True, key
    )


def keyed(completion: Completion, key: str) -> Completion:
    """The same answer with the identity of its call."""
    return Completion(
        completion.text, completion.finish_reason, completion.usage, completion.model, completion.tool_calls, False, key
    )
