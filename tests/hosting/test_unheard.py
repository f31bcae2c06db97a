"""What a process that is gone had sent is told of at once, without waiting for another to take its run over."""

from __future__ import annotations

import os
import signal

from tests.hosting.durability import Bench, Prepared, Uninterrupted, ended_by_kill, until
from tests.hosting.processes import gone


def test_what_a_killed_process_had_in_flight_is_unknown_until_it_is_sent_again(
    bench: Bench, copy: Prepared, uninterrupted: Uninterrupted
) -> None:
    bench.oracle.behave(copy.tag, delay=3600.0)
    pid = bench.carry(copy, "first")
    until(lambda: bench.oracle.behave(copy.tag) == 8)
    assert copy.journal().unfinished == 8
    assert copy.status().unknown_calls == 0, "its process may hear of them yet"
    os.kill(pid, signal.SIGKILL)
    assert ended_by_kill(bench.nursery.wait(pid)), bench.said(copy.tag)
    assert gone(pid)
    status = copy.status()
    assert (status.state, status.alive) == ("running", False)
    assert (status.unknown_calls, status.repeated_calls) == (8, 0)
    bench.oracle.behave(copy.tag, delay=0.004)
    assert bench.carried_on(copy, uninterrupted) == 8
    status = copy.status()
    assert (status.unknown_calls, status.repeated_calls) == (0, 8)
