"""What users' code raises on a thread comes to whoever waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from dspex.kernel.containing import contained


def raises(error: BaseException) -> Callable[[], int]:
    def code() -> int:
        raise error

    return code


def waited(code: Callable[[], int]) -> int:
    async def main() -> int:
        async with asyncio.timeout(60):
            return await asyncio.to_thread(contained, code)

    return asyncio.run(main())


def test_a_value_and_an_exception_are_handed_on() -> None:
    assert waited(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        waited(lambda: 1 // 0)
    with pytest.raises(SystemExit):
        contained(raises(SystemExit(3)))


def test_a_bare_next_does_not_let_who_waits_wait_for_ever() -> None:
    with pytest.raises(RuntimeError, match=r"^StopIteration$"):
        waited(lambda: next(iter(())))


@pytest.mark.parametrize("error", [KeyboardInterrupt("now"), asyncio.CancelledError("now"), GeneratorExit("now")])
def test_what_would_end_the_loop_is_an_exception(error: BaseException) -> None:
    with pytest.raises(RuntimeError, match=rf"^{type(error).__name__}: now$"):
        waited(raises(error))
