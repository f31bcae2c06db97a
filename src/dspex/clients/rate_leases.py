"""Rates that several processes share: the port that leases parts of them, and the book that such leases are kept in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from dspex.clients.limiter import Rate, Unit

Amounts = Mapping[Unit, int]
FARTHEST = 86_400.0
"""Seconds. A lease that begins later than that was booked by a clock that was wrong."""
_LONGEST = 60.0
"""Seconds that are remembered at least: others may count by the minute."""
_GRAIN = 64
"""Into so many parts of a rate's time what is over is summed up."""


@dataclass(frozen=True, slots=True)
class Used:
    """What became of a lease: nothing more leaves by it. `ago` is when the last of it left, in seconds."""

    number: int
    amounts: Amounts
    ago: float


@dataclass(frozen=True, slots=True)
class Ask:
    """What a process wants to send: `least` for whoever has waited longest, `most` for all that it expects."""

    rates: Sequence[Rate]
    least: Amounts
    most: Amounts
    hold: float
    """Seconds for which it wants to keep what it does not send at once."""
    over: Sequence[Used] = ()
    """Its earlier leases that are over."""


@dataclass(frozen=True, slots=True)
class Lease:
    """So much may leave between `start` and `until`, which are seconds from the moment it was given."""

    number: int
    amounts: Amounts
    start: float
    until: float


class RateLeases(Protocol):
    """Leases parts of rates by name to all who share them.

    Contract: what all leases let out together keeps every rate at every moment, whichever process dies; whoever asks
    first gets the earlier time. Raises StorageError.
    """

    async def lease(self, name: str, ask: Ask) -> Lease: ...

    async def give_back(self, name: str, over: Sequence[Used]) -> None: ...


@dataclass(frozen=True, slots=True)
class Entry:
    """A part of the book. `number` 0: several that are over, summed up."""

    number: int
    start: float
    until: float
    requests: int
    tokens: int

    def amount(self, unit: Unit) -> int:
        return self.requests if unit == "requests" else self.tokens


@dataclass(slots=True)
class Book:
    """Every lease that a rate still has to count. Pure: `now` is the one clock of all who share it.

    A lease counts in full from its start until the rate's time after its end, for it may all have left at its end, and
    leases start in the order in which they are given. So no stretch of a rate's time, wherever it begins, sees more
    leave than the rate allows. A lease that is over counts for what left by it, until its last has passed; one whose
    process died stays as it is.
    """

    last: int = 0
    entries: list[Entry] = field(default_factory=list[Entry])

    def lease(self, ask: Ask, now: float) -> Lease:
        """Book a lease and return it, at the earliest time at which `ask.least` may go."""
        self.close(ask.over, now)
        self._forget(ask.rates, now)
        start = max([now, *(entry.start for entry in self.entries)])
        for rate in ask.rates:
            start = self._earliest(rate, ask.least[rate.unit], start)
        amounts: dict[Unit, int] = {"requests": ask.most["requests"], "tokens": ask.most["tokens"]}
        for rate in ask.rates:
            room = int(rate.most - self._counted(rate, start))
            amounts[rate.unit] = max(min(amounts[rate.unit], room), ask.least[rate.unit])
        self.last += 1
        self.entries.append(Entry(self.last, start, start + ask.hold, amounts["requests"], amounts["tokens"]))
        return Lease(self.last, amounts, start - now, start + ask.hold - now)

    def close(self, over: Sequence[Used], now: float) -> None:
        """Keep of these leases what left by them."""
        known = {used.number: used for used in over}
        kept: list[Entry] = []
        for entry in self.entries:
            used = known.get(entry.number)
            if used is None:
                kept.append(entry)
            elif used.amounts["requests"]:
                end = min(entry.until, now - used.ago)
                kept.append(Entry(0, min(entry.start, end), end, used.amounts["requests"], used.amounts["tokens"]))
        self.entries = kept

    def _earliest(self, rate: Rate, amount: int, start: float) -> float:
        counted = sorted(self.entries, key=lambda entry: entry.until)
        total = sum(entry.amount(rate.unit) for entry in counted)
        for entry in counted:
            if entry.until + rate.seconds > start and total + amount <= rate.most:
                break
            start = max(start, entry.until + rate.seconds)
            total -= entry.amount(rate.unit)
        return start

    def _counted(self, rate: Rate, start: float) -> int:
        return sum(entry.amount(rate.unit) for entry in self.entries if entry.until + rate.seconds > start)

    def _forget(self, rates: Sequence[Rate], now: float) -> None:
        """Drop what no rate counts any more, and sum up what is over."""
        longest = max(_LONGEST, *(rate.seconds for rate in rates))
        shortest = min(rate.seconds for rate in rates)
        kept: list[Entry] = []
        sums: dict[float, Entry] = {}
        for entry in self.entries:
            if entry.until + longest <= now or entry.start > now + FARTHEST:
                continue
            if entry.number:
                kept.append(entry)
                continue
            grain = (longest if entry.until + shortest <= now else shortest) / _GRAIN
            place = entry.until // grain * grain
            found = sums.get(place)
            sums[place] = entry if found is None else _together(found, entry)
        self.entries = [*sums.values(), *kept]


def _together(one: Entry, other: Entry) -> Entry:
    return replace(
        one,
        start=max(one.start, other.start),
        until=max(one.until, other.until),
        requests=one.requests + other.requests,
        tokens=one.tokens + other.tokens,
    )
