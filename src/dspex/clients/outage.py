"""When every call fails for a while it is an outage, and the work should stop with what it has."""

from __future__ import annotations

import time
from collections.abc import Callable

from dspex.errors import AnswerError, LMError, OutageError


class OutageWatch:
    """Told of every outcome, raises OutageError once nothing has succeeded for `seconds` and `failures` calls failed.

    Only model calls count: a wrong or refused answer shows that somebody answered, and a used up budget, a mistake in
    the configuration or an error in a user's function says nothing either way. For one event loop.
    """

    def __init__(
        self, *, seconds: float = 60.0, failures: int = 10, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.seconds, self.least = seconds, failures
        self._clock = clock
        self._failures = 0
        self._since = 0.0

    def ok(self) -> None:
        """A call was answered."""
        self._failures = 0

    def failed(self, error: BaseException) -> None:
        """A call failed with `error`. Raises OutageError (from it) when that makes it an outage."""
        cause = getattr(error, "cause", error)
        if isinstance(cause, AnswerError) or (isinstance(cause, LMError) and not cause.infrastructure):
            self.ok()
            return
        if not isinstance(cause, LMError):
            return
        now = self._clock()
        if self._failures == 0:
            self._since = now
        self._failures += 1
        if self._failures >= self.least and now - self._since >= self.seconds:
            raise OutageError(
                f"{self._failures} calls in a row failed over {now - self._since:.0f} s, the last with: {error}. "
                "What was finished is kept; carry on when the model answers again"
            ) from error
