"""How an answer out of memory differs from one that was bought."""

from __future__ import annotations

from dspex.kernel.ports import Completion, Usage
from dspex.kernel.quick import quick

_completion, _usage = quick(Completion), quick(Usage)


def from_memory(completion: Completion, key: str) -> Completion:
    """The same answer, marked as one that nothing was sent for."""
    usage = saved(completion.usage)
    return _completion(
        completion.text, completion.finish_reason, usage, completion.model, completion.tool_calls, True, key
    )


def saved(usage: Usage) -> Usage:
    """That of an answer from memory, which was bought for `usage`, or was from memory itself."""
    known = usage.usd is not None and usage.saved_usd is not None
    return _usage(
        cached_calls=1,
        saved_tokens=usage.input_tokens + usage.output_tokens + usage.saved_tokens,
        saved_usd=(usage.usd or 0.0) + (usage.saved_usd or 0.0) if known else None,
    )


def keyed(completion: Completion, key: str) -> Completion:
    """The same answer with the identity of its call."""
    return _completion(
        completion.text, completion.finish_reason, completion.usage, completion.model, completion.tool_calls, False, key
    )
