"""Users' code as it is called on a thread: whoever waits for it can catch what it raises."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def contained(call: Callable[[], T]) -> T:
    """What `call` returns.

    Raises what it raises, but RuntimeError for what does not come through a future: a StopIteration (of a bare `next`)
    is never handed on by one before Python 3.12, so that who waits for it waits for ever, and a KeyboardInterrupt or a
    CancelledError would be taken for one of the loop's own and end it. A SystemExit stays what it is.
    """
    try:
        return call()
    except (StopIteration, StopAsyncIteration) as error:
        escaped: BaseException = error
    except (Exception, SystemExit):
        raise
    except BaseException as error:
        escaped = error
    text = f"{type(escaped).__name__}{': ' if str(escaped) else ''}{escaped}"
    raise RuntimeError(text).with_traceback(escaped.__traceback__) from escaped
