"""Stopping a search from outside, between two evaluations: what is in flight ends and is recorded."""

from __future__ import annotations

from typing import Literal

from dspex.errors import DspexError

Wish = Literal["pause", "stop", "stop-now"]
_RANK: dict[Wish, int] = {"pause": 1, "stop": 2, "stop-now": 3}


class Interrupted(DspexError):  # noqa: N818 - not a fault
    """The search was asked to pause or to stop; everything found until then is in the ledger."""

    infrastructure = True


class Interruption:
    """A wish, looked at before each new evaluation. A stop outranks a pause."""

    def __init__(self) -> None:
        self.kind: Wish | None = None
        self.stopped = False

    def ask(self, kind: Wish) -> None:
        """From the search's own loop."""
        if self.stopped and kind != "stop-now":
            return  # it is ending, and confirms what it has
        if self.kind is None or _RANK[kind] > _RANK[self.kind]:
            self.kind = kind

    def confirm(self) -> bool:
        """Whether the search was asked to stop, so that its best may still be confirmed; that goes undisturbed."""
        if self.kind != "stop":
            return False
        self.kind, self.stopped = None, True
        return True

    def check(self) -> None:
        """Raises Interrupted when somebody has asked for it."""
        if self.kind is not None:
            raise Interrupted("paused on request" if self.kind == "pause" else "stopped on request")
