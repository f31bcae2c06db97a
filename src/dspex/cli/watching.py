"""A run as it goes: a view that is drawn again on a terminal, and a line for each change elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from shutil import get_terminal_size
from typing import Protocol

from dspex.blocking import wait
from dspex.cli.output import cut, dollars, paint, shortened, width
from dspex.hosting.handle import Run
from dspex.hosting.status import RunFailure, RunStatus, Spent
from dspex.optimization.counting import counted
from dspex.storage.runs import RESTING

EVERY = 0.5
"""Seconds between two looks."""
_MEMORY = 20
"""Looks that the rate is measured over."""
_PATIENCE = 10.0
"""Seconds for which a run may be without a process before watching it ends: one may be starting."""


def when(at: float | None) -> str:
    """A moment, in local time."""
    return "-" if at is None else datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M:%S")


def score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def figures(status: RunStatus) -> list[str]:
    """Where a run is, in a few lines."""
    colour = {"failed": "red", "crashed": "red", "completed": "green"}.get(status.state, "bold")
    ended = status.state in ("completed", "stopped")
    lines = [
        f"{paint(status.id, 'bold')}  {paint(state_of(status), colour)}{f'  {status.reason}' if status.reason else ''}",
        f"  best       {score(status.best_score)}   seed program {score(status.seed_score)}"
        f"{'' if status.confirmed else '   on val, not confirmed'}",
    ]
    if status.hypothesis and not ended:
        lines.append(f"  leader     {shortened(status.hypothesis, width() - 13)}")
    lines += [
        f"  work       {counted(status.candidates, 'candidate')}, round {status.round or '-'}, "
        f"{counted(status.evaluations, 'evaluation')}",
        f"  spent      {_spent(status)}",
    ]
    if status.repeated_calls or status.unknown_calls or status.restarts:
        lines.append(
            f"  recovered  {counted(status.restarts, 'restart')}, {counted(status.repeated_calls, 'call')} sent again, "
            f"{counted(status.unknown_calls, 'call')} without a known answer"
        )
    about = [f"strategy {status.strategy}, seed {status.seed}"]
    about += [] if status.program is None else [f"program {status.program}"]
    about += [] if status.parent is None else [f"forked from {status.parent}"]
    return [*lines, f"  about      {', '.join(about)}, begun {when(status.started)}"]


class _Standing(Protocol):
    """What says whether the run is where its state says: a status, or what a list looks up."""

    @property
    def state(self) -> str: ...
    @property
    def stalled(self) -> bool: ...
    @property
    def orphaned(self) -> bool: ...


def state_of(status: _Standing) -> str:
    """The state, and whether its process does not move or is not there."""
    if status.stalled:
        return f"{status.state}, stalled"
    return f"{status.state}, but nothing carries it" if status.orphaned else status.state


def _spent(status: RunStatus) -> str:
    """What counts against the budget, which holds for a fork and what it carried over together."""
    budget, gone, over = status.budget, status.spent, status.carried
    calls = f"{gone.calls:,} calls" if budget.calls is None else f"{gone.calls:,} of {counted(budget.calls, 'call')}"
    parts = [calls]
    if budget.tokens is not None:
        parts.append(f"{gone.tokens:,} of {counted(budget.tokens, 'token')}")
    parts.append(dollars(gone.usd) + ("" if budget.usd is None else f" of ${budget.usd:g}"))
    parts.append(f"{status.seconds:.1f}{'' if budget.seconds is None else f' of {budget.seconds:g}'} s")
    carried = f" ({counted(over.calls, 'call')} of it carried over)" if over.calls else ""
    return ", ".join(parts) + carried


class Watch:
    """Looks at a run again and again until it rests."""

    def __init__(self, run: Run, *, to_stderr: bool = False) -> None:
        self._run = run
        self._stream = sys.stderr if to_stderr else sys.stdout
        self._live = self._stream.isatty()
        self._drawn = 0
        self._last = ""
        self._seen: deque[tuple[float, int, Spent]] = deque(maxlen=_MEMORY)

    def until_it_rests(self) -> RunStatus:
        """Its last status. An interrupt goes up; the run goes on."""
        return wait(self._watch())

    async def _watch(self) -> RunStatus:
        alone = 0.0
        while True:
            status = await self._run.status()
            self._seen.append((time.monotonic(), status.evaluations, status.spent))
            self._show(status, await self._run.failures(3))
            alone = alone + EVERY if status.orphaned else 0.0
            if (status.state in RESTING and not status.waiting) or alone > _PATIENCE:
                return status
            await self._run.database.hint(self._run.id, EVERY)

    def _show(self, status: RunStatus, failures: Sequence[RunFailure]) -> None:
        if self._live:
            lines = [*figures(status), f"  rate       {self._rate(status)}"]
            lines += [shortened(f"  failed     {item.example}: {item.error}", width()) for item in failures]
            size = get_terminal_size((100, 24))
            # A line that the terminal would break, or one above its top, could not be drawn over.
            lines = [cut(item, size.columns) for item in lines[: max(size.lines - 1, 1)]]
            up = f"\x1b[{self._drawn}F\x1b[J" if self._drawn else ""
            self._stream.write(up + "\n".join(lines) + "\n")
            self._drawn = len(lines)
        else:
            text = (
                f"{state_of(status)}  round {status.round or '-'}  best {score(status.best_score)} "
                f"(seed program {score(status.seed_score)})  {counted(status.candidates, 'candidate')}"
            )
            if text != self._last:
                more = f"  failed: {failures[0].error}" if failures else ""
                now = when(time.time()).partition(" ")[2]
                self._stream.write(f"{now}  {text}  {_spent(status)}  {self._rate(status)}{more}\n")
                self._last = text
        self._stream.flush()

    def _rate(self, status: RunStatus) -> str:
        """Evaluations a second over the last looks, and how long the budget lasts at that pace."""
        (began, evaluations, before), (ended, now, gone) = self._seen[0], self._seen[-1]
        if status.state != "running" or ended <= began:
            return "-"
        pace = f"{(now - evaluations) / (ended - began):.1f} evaluations a second"
        lasts: list[float] = []
        for unit in ("calls", "tokens", "usd"):
            limit, had, has = (getattr(item, unit) for item in (status.budget, before, gone))
            if None not in (limit, had, has) and has > had:
                lasts.append(max(0, limit - has) * (ended - began) / (has - had))
        if status.budget.seconds is not None:
            lasts.append(max(0.0, status.budget.seconds - status.seconds))
        return f"{pace}, the budget lasts about {min(lasts):.0f} s" if lasts else pace
