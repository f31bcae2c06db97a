"""Who pays for a call that several evaluations share: the first in the order of rounds and pairs, whoever was sooner.

What was asked first depends on what finished first, and with it which row says that it paid. What is decided on must
not: so once a row is folded, its usage is what it would be had all rows been evaluated in that order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from dspex.clients.remembered import saved
from dspex.kernel.ports import NO_USAGE, Usage
from dspex.optimization.rows import Evaluation, Trace


class Booking:
    """Keeps what each call cost, and which of them folded rows account for already."""

    def __init__(self) -> None:
        self.paid: dict[str, Usage] = {}
        """Calls by their identity in the call store, as whoever made them was charged."""
        self._booked: set[str] = set()

    def learn(self, trace: Iterable[Trace]) -> None:
        """Remember what the calls of an evaluation cost, where it was the one that made them."""
        for step in trace:
            if step.call and step.usage.calls:
                self.paid.setdefault(step.call, step.usage)

    def booked(self, row: Evaluation) -> Evaluation:
        """The row as it counts, being the next in order."""
        usage = self._due(row, self._booked)
        return row if usage is row.usage else replace(row, usage=usage)

    def due(self, rows: Iterable[Evaluation]) -> Usage:
        """What `rows` will have consumed together once they are booked, in whatever order."""
        booked = set(self._booked)
        return sum((self._due(row, booked) for row in rows), NO_USAGE)

    def _due(self, row: Evaluation, booked: set[str]) -> Usage:
        usage = row.usage
        for step in row.trace:
            if not step.call:
                continue
            price = self.paid.get(step.call, step.usage)
            due = saved(price) if step.call in booked else price
            booked.add(step.call)
            if due != step.usage:
                usage = less(usage, step.usage) + due
        return usage


def less(whole: Usage, part: Usage) -> Usage:
    """`whole` without `part`; never below nothing."""
    usd = None if whole.usd is None or part.usd is None else max(0.0, whole.usd - part.usd)
    return Usage(
        max(0, whole.calls - part.calls),
        max(0, whole.input_tokens - part.input_tokens),
        max(0, whole.output_tokens - part.output_tokens),
        usd,
        max(0, whole.cached_calls - part.cached_calls),
        max(0, whole.retries - part.retries),
        max(0, whole.saved_tokens - part.saved_tokens),
        None if whole.saved_usd is None or part.saved_usd is None else max(0.0, whole.saved_usd - part.saved_usd),
    )
