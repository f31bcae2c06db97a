"""The book of leases: whatever is leased, used, given back or lost, every rate is kept at every moment."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from dspex.clients.limiter import Limits
from dspex.clients.rate_leases import Amounts, Ask, Book, Used

MINUTELY = Limits(requests_per_minute=10).rates


def ask(requests: int, *, least: int = 1, hold: float = 1.0, over: tuple[Used, ...] = ()) -> Ask:
    return Ask(MINUTELY, amounts(least), amounts(requests), hold, over)


def amounts(requests: int, tokens: int = 0) -> Amounts:
    return {"requests": requests, "tokens": tokens}


@dataclass(frozen=True, slots=True)
class Process:
    """One turn of a process: when it asks, for what, and what it does with it."""

    pause: float
    least: int
    most: int
    size: int
    """Tokens a request."""
    hold: float
    used: float
    """Share of the lease that leaves."""
    late: float
    """When it leaves, as a share of the lease's time."""
    dies: bool
    """Then nobody gives anything back."""


TURNS = st.lists(
    st.builds(
        Process,
        pause=st.floats(0, 3),
        least=st.integers(1, 4),
        most=st.integers(1, 12),
        size=st.integers(1, 90),
        hold=st.floats(0.01, 4),
        used=st.floats(0, 1),
        late=st.floats(0, 1),
        dies=st.booleans(),
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(TURNS)
def test_every_rate_holds_at_every_moment(turns: list[Process]) -> None:
    limits = Limits(requests_per_second=4, requests_per_minute=20, tokens_per_minute=400)
    book, now = Book(), 1000.0
    sent: list[tuple[float, int]] = []
    over: list[tuple[float, Used]] = []
    for turn in turns:
        now += turn.pause
        ripe = tuple(Used(used.number, used.amounts, now - at) for at, used in over if at <= now)
        over = [(at, used) for at, used in over if at > now]
        least = amounts(turn.least, turn.least * turn.size)
        most = amounts(max(turn.least, turn.most), max(turn.least, turn.most) * turn.size)
        lease = book.lease(Ask(limits.rates, least, most, turn.hold, ripe), now)
        assert lease.amounts["requests"] >= turn.least
        assert lease.amounts["tokens"] >= turn.least * turn.size
        gone = min(int(lease.amounts["requests"] * turn.used), lease.amounts["tokens"] // turn.size)
        at = now + lease.start + turn.late * (lease.until - lease.start)
        sent += [(at, turn.size)] * gone
        if not turn.dies:
            over.append((at, Used(lease.number, amounts(gone, gone * turn.size), 0.0)))
    for rate in limits.rates:
        for end, _ in sent:
            stretch = [size for at, size in sent if end - rate.seconds + 1e-6 < at <= end]
            assert (len(stretch) if rate.unit == "requests" else sum(stretch)) <= rate.most


def test_what_was_not_used_is_free_at_once_and_what_died_is_free_when_its_time_is_over() -> None:
    book = Book()
    first = book.lease(ask(10), 0.0)
    assert (first.amounts["requests"], first.start) == (10, 0.0)
    second = book.lease(ask(10, over=(Used(first.number, amounts(4), 0.0),)), 0.5)
    assert (second.amounts["requests"], second.start) == (6, 0.0)
    third = book.lease(ask(10), 1.0)  # the second process is never heard of again: its lease ended at 1.5
    assert (third.amounts["requests"], third.start) == (4, 59.5)
    assert book.lease(ask(10), 100.0).start == 0.0


def test_whoever_asks_first_goes_first() -> None:
    book = Book()
    book.lease(ask(9, hold=0.0), 0.0)
    assert book.lease(ask(5, least=5), 1.0).start == 59.0
    assert book.lease(ask(1), 2.0).start == 58.0  # though there is room for one


def test_the_book_stays_small_however_much_is_leased() -> None:
    book, last = Book(), None
    for turn in range(2000):
        over = () if last is None else (Used(last.number, last.amounts, 0.0),)
        last = book.lease(ask(1, over=over, hold=0.01), turn * 0.5)
    assert len(book.entries) < 80


def test_a_lease_of_a_clock_that_was_wrong_holds_nobody_up() -> None:
    book = Book()
    book.lease(ask(10), 1e9)
    assert book.lease(ask(10), 0.0).start == 0.0
