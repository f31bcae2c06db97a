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
        self._answered: Callable[[], None] | None = None

    @property
    def doubtful(self) -> bool:
        """Whether nothing has been answered since `doubt`."""
        return self._answered is not None

    def doubt(self, answered: Callable[[], None]) -> None:
        """It was an outage, and may still be: the next failure is one at once; the first answer calls `answered`."""
        self._failures, self._answered = 0, answered

    @property
    def failures(self) -> int:
        """How many calls in a row have failed."""
        return self._failures

    @property
    def pause(self) -> float:
        """Seconds to wait before the next call: where all fail, trying as fast as can be would help nobody."""
        return min(1.0, self.seconds / 30) if self._failures >= self.least else 0.0

    def ok(self) -> None:
        """A call was answered."""
        self._failures = 0
        if self._answered is not None:
            answered, self._answered = self._answered, None
            answered()

    def failed(self, error: BaseException) -> None:
        """A call failed with `error`. Raises OutageError (from it) when that makes it an outage."""
        cause = getattr(error, "cause", error)
        if isinstance(cause, AnswerError) or (isinstance(cause, LMError) and not cause.infrastructure):
            self.ok()
            return
        if not isinstance(cause, LMError):
            return
        if self.doubtful:
            raise OutageError(f"the model still does not answer: {error}") from error
        now = self._clock()
        if self._failures == 0:
            self._since = now
        self._failures += 1
        if self._failures >= self.least and now - self._since >= self.seconds:
            raise OutageError(
                f"{self._failures} calls in a row failed over {now - self._since:.0f} s, the last with: {error}. "
                "What was finished is kept; carry on when the model answers again"
            ) from error
