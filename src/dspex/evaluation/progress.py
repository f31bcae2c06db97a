"""How far an evaluation is: snapshots for a callback, or a bar on stderr where somebody is watching."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol

_EVERY = 0.1  # seconds between two looks


@dataclass(frozen=True, slots=True)
class Progress:
    """A snapshot."""

    done: int
    total: int | None
    """None where the data does not say how long it is."""
    score: float | None
    """Mean so far."""
    failures: int
    seconds: float


OnProgress = Callable[[Progress], None]


class Display(Protocol):
    """Shows snapshots: `show` is called ten times a second at most, `close` once."""

    def show(self, progress: Progress, /) -> None: ...

    def close(self) -> None: ...


class Reporter:
    """Hands snapshots on, but not one for each example."""

    def __init__(self, display: Display | None, total: int | None) -> None:
        self._display, self._total = display, total
        self._began = monotonic()
        self._next = self._began
        self.active = display is not None

    def tell(self, done: int, score: float | None, failures: int, *, last: bool = False) -> None:
        """Show this if the last time is long enough ago, or nothing follows."""
        now = monotonic()
        if self._display is not None and (last or now >= self._next):
            self._next = now + _EVERY
            self._display.show(Progress(done, self._total, score, failures, now - self._began))

    def close(self) -> None:
        """Nothing follows."""
        if self._display is not None:
            self._display.close()


def display_for(progress: bool | OnProgress | None, label: str) -> Display | None:
    """A callback wrapped; a bar where asked for (True), or where stderr is a terminal (None); else nothing."""
    if callable(progress):
        return _Callback(progress)
    wanted = sys.stderr.isatty() and os.environ.get("TERM") != "dumb" if progress is None else progress
    return _Bar(label) if wanted else None


class _Callback:
    def __init__(self, function: OnProgress) -> None:
        self.show = function

    def close(self) -> None:
        """Nothing to put away."""


class _Bar:
    """One line on stderr, by rich."""

    def __init__(self, label: str) -> None:
        from rich.console import Console  # noqa: PLC0415 - heavy, and only for a terminal
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415
        from rich.progress import Progress as Bars  # noqa: PLC0415

        self._bars = Bars(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[told]}"),
            TimeRemainingColumn(), console=Console(stderr=True), auto_refresh=False,
        )  # fmt: skip
        self._task: Any = self._bars.add_task(label, total=None, told="")
        self._bars.start()

    def show(self, progress: Progress, /) -> None:
        score = "" if progress.score is None else f"score {progress.score:.3f}"
        failed = f", {progress.failures} failed" if progress.failures else ""
        self._bars.update(self._task, completed=progress.done, total=progress.total, told=score + failed, refresh=True)

    def close(self) -> None:
        self._bars.stop()
