"""How long a search computes for itself: fits of what it believes, told apart from waiting for models."""

from __future__ import annotations

import time


class Stopwatch:
    """Adds up the seconds of CPU that its thread takes in every `with` block. Blocks inside another count once.

    A machine that is busy with other things does not make them longer.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._depth = 0
        self._began = 0.0

    def __enter__(self) -> Stopwatch:
        if not self._depth:
            self._began = time.thread_time()
        self._depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            self.seconds += time.thread_time() - self._began
