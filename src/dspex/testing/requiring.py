"""How a check says what does not hold."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

E = TypeVar("E", bound=BaseException)
T = TypeVar("T")


class ConformanceError(AssertionError):
    """Something does not keep the contract of its port; the message says which sentence of it."""


def require(condition: bool, sentence: str, seen: object = None) -> None:
    """Raises ConformanceError with the sentence of the contract, and what was seen instead."""
    if not condition:
        raise ConformanceError(sentence if seen is None else f"{sentence}; seen: {seen!r}")


async def soon(awaitable: Awaitable[T], seconds: float, sentence: str) -> T:
    """What comes of it within `seconds`; ConformanceError where that is too long."""
    try:
        return await asyncio.wait_for(awaitable, seconds)
    except TimeoutError:
        raise ConformanceError(f"{sentence}; it did not within {seconds:g} s") from None


async def raised(kind: type[E], awaitable: Awaitable[Any], sentence: str) -> E:
    """The error of that kind that comes out; where none does, ConformanceError."""
    try:
        found = await awaitable
    except kind as error:
        return error
    except Exception as error:
        raise ConformanceError(f"{sentence}; raised: {type(error).__name__}: {error}") from error
    raise ConformanceError(f"{sentence}; it returned {found!r}")
