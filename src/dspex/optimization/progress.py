"""Draws a running search as one line on stderr, or as one line a round where stderr is no terminal."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TextIO

from dspex.kernel.ports import Event
from dspex.optimization.counting import counted


class ProgressLine:
    """An observer of a search's events: `optimize(..., on_event=ProgressLine())`."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._width = 0

    def __call__(self, event: Event) -> None:
        with suppress(BrokenPipeError):  # a search does not end because nobody reads how far it is
            self._show(event)

    def _show(self, event: Event) -> None:
        data = event.data
        if event.kind == "round.finished":
            best = data["best_score"]
            score = "-" if best is None else f"{best:.3f}"
            text = (
                f"round {event.where}: best on val {score}, {counted(data['candidates'], 'candidate')}, "
                f"{counted(data['evaluations'], 'evaluation')}, {counted(data['calls'], 'call')}"
            )
            self._draw(text + (f", ${data['usd']:.4f}" if data["usd"] else ""))
        elif event.kind == "run.waiting":
            self._draw(f"the model is gone; it is asked again in {data['seconds']:g} s")
        elif event.kind == "run.finished":
            self._draw(event.where)
            if self._live:
                self._stream.write("\n")
        self._stream.flush()

    def _draw(self, text: str) -> None:
        if self._live:
            self._stream.write(f"\r{text.ljust(self._width)}")
            self._width = len(text)
        else:
            self._stream.write(f"{text}\n")
