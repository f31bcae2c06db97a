"""The live view: what a terminal can be drawn over."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from typing import cast

import pytest

from dspex.cli.output import cut
from dspex.cli.watching import Watch, figures
from dspex.clients.budget import Budget
from dspex.hosting.handle import Run
from dspex.hosting.status import RunFailure, RunStatus, Spent

STATUS = RunStatus(
    id="tickets-1", state="running", reason="", alive=True, stalled=False, orphaned=False, waiting=False,
    best_score=0.5, seed_score=0.25, confirmed=False, calls=10, cost=0.5,
    spent=Spent(9, 900, 0.5), carried=Spent(), repeated_calls=1, unknown_calls=0, evaluations=10,
    candidates=2, rounds=1, restarts=1, idle_share=None, seconds=2.0, fitting=0.0, budget=Budget(calls=100),
    strategy="auto", seed=0, program=None, parent=None, round="1", hypothesis="instructions rewritten", created=0.0,
    started=0.0, finished=None,
)  # fmt: skip


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("columns", "lines"), [(40, 24), (100, 4)])
def test_no_line_is_wider_and_no_view_higher_than_the_terminal(
    columns: int, lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cursor goes up by lines: one that was broken, or is out of sight, would be drawn again below itself."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LINES", str(lines))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    watch = Watch(cast("Run", None))
    watch._seen.append((0.0, 0, Spent()))  # pyright: ignore[reportPrivateUsage] - what a look leaves behind
    watch._show(STATUS, [RunFailure("c", "e", 1, "refused\n" * 50, 0.0)])  # pyright: ignore[reportPrivateUsage]
    drawn = terminal.getvalue().splitlines()
    assert drawn[0].startswith("\x1b[1mtickets-1\x1b[0m")
    assert max(len(line) for line in drawn[1:]) <= columns
    assert len(drawn) < lines


def test_a_line_is_cut_by_what_is_seen_of_it() -> None:
    assert cut("\x1b[1mabcdef\x1b[0m", 4) == "\x1b[1mabcd\x1b[0m"
    assert cut("\x1b[1mabcd\x1b[0m", 4) == "\x1b[1mabcd\x1b[0m"


def test_a_budget_in_tokens_is_shown_and_said_to_last_as_long_as_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", said := io.StringIO())
    watch = Watch(cast("Run", None))
    limited = replace(STATUS, budget=Budget(tokens=1000), spent=Spent(9, 900, None), carried=Spent(4, 400, None))
    watch._seen.extend([(0.0, 0, Spent(4, 400, None)), (10.0, 5, limited.spent)])  # pyright: ignore[reportPrivateUsage]
    watch._show(limited, [])  # pyright: ignore[reportPrivateUsage]
    assert "9 calls, 900 of 1,000 tokens, unknown price, 2.0 s (4 calls of it carried over)" in said.getvalue()
    assert "0.5 evaluations a second, the budget lasts about 2 s" in said.getvalue()
    assert "  spent      9 calls, 900 of 1,000 tokens" in "\n".join(figures(limited))
