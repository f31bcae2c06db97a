"""The harness's DSPy peer, asked more: a signature and a program in the import row, demonstrations, memory, losses.

Options besides its own: `demos=N` attaches N labelled demonstrations to the program.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:

    class DSPyPeer:
        """What is used of the harness's own peer."""

        dspy: Any
        program: Any
        opts: dict[str, str]

        def setup(self, **settings: Any) -> None: ...

        def evaluate(self, texts: Sequence[str], concurrency: int) -> dict[str, Any]: ...

        def _examples(self, texts: Sequence[str]) -> list[Any]: ...

    class policy:  # noqa: N801
        """What is used of the harness's task."""

        @staticmethod
        def make_texts(n: int, offset: int = 0) -> list[str]: ...

        @staticmethod
        def gold(text: str) -> tuple[str, int]: ...

else:
    from peers.base import policy
    from peers.dspy_peer import Peer as DSPyPeer

DEFINE = '''
from typing import Literal
import dspy
class Review(dspy.Signature):
    """Read the review and decide its label and its score."""
    text: str = dspy.InputField()
    label: Literal["positive", "negative", "neutral"] = dspy.OutputField()
    score: int = dspy.OutputField()
dspy.Predict(Review)
'''


class Peer(DSPyPeer):
    """DSPy, as the harness sets it up."""

    import_line = DEFINE

    def setup(self, **settings: Any) -> None:
        super().setup(**settings)
        count = int(self.opts.get("demos", 0))
        texts = policy.make_texts(count, 2_000_000)
        golds = [policy.gold(text) for text in texts]
        self.program.demos = [
            self.dspy.Example(text=text, label=label, score=score)
            for text, (label, score) in zip(texts, golds, strict=True)
        ]

    def evaluate(self, texts: Sequence[str], concurrency: int) -> dict[str, Any]:
        self._made = (texts, super()._examples(texts))
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        before = pages * os.sysconf("SC_PAGE_SIZE")
        found = super().evaluate(texts, concurrency)
        grown = getrusage(RUSAGE_SELF).ru_maxrss * 1024 - before
        unanswered = found["errors"] + found["lost"]
        return {**found, "unanswered": unanswered, "bytes_per_example": max(0, grown) / len(texts)}

    def _examples(self, texts: Sequence[str]) -> list[Any]:
        """Made before the memory is looked at."""
        made = getattr(self, "_made", None)
        return made[1] if made is not None and made[0] is texts else super()._examples(texts)
