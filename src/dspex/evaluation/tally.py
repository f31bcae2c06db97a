"""What an evaluation keeps in memory: numbers only, some 20 bytes an example."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b

from dspex.evaluation.assessment import Assessment
from dspex.evaluation.statistics import Interval, mean_interval
from dspex.kernel.ports import Usage


class Tally:
    """Counts and sums over assessments, in any order. Unscored ones are counted by kind and enter no mean."""

    __slots__ = ("calls", "details", "failures", "keys", "scores", "seen", "total", "unpriced", "zeros")

    def __init__(self) -> None:
        self.keys = array("Q")
        """`key_of` the example of each score, for pairing."""
        self.scores = array("d")
        self.seen = 0
        self.total = 0.0
        self.failures: Counter[str] = Counter()
        self.zeros: Counter[str] = Counter()
        self.details: dict[str, list[float]] = {}
        self.calls = [0, 0, 0, 0.0, 0, 0]
        self.unpriced = False

    def add(self, assessment: Assessment) -> None:
        """Count one more."""
        self.seen += 1
        self._use(assessment.usage)
        score = assessment.score
        if score is None:
            self.failures[assessment.error_kind or "exception"] += 1
            return
        self.keys.append(key_of(assessment.example))
        self.scores.append(score)
        self.total += score
        if score == 0:
            self.zeros[assessment.error_kind or "wrong"] += 1
        for name, value in assessment.details.items():
            entry = self.details.setdefault(name, [0.0, 0.0])
            entry[0] += value
            entry[1] += 1

    @property
    def usage(self) -> Usage:
        """The sum over all, unscored ones included. `usd` is None where any price is unknown."""
        calls, inputs, outputs, usd, cached, retries = self.calls
        return Usage(int(calls), int(inputs), int(outputs), None if self.unpriced else usd, int(cached), int(retries))

    @property
    def mean(self) -> float | None:
        """Of the scored ones."""
        return math.fsum(self.scores) / len(self.scores) if self.scores else None

    def interval(self, *, samples: int, level: float) -> Interval | None:
        """Of the mean. Several samples of one example are not independent, so their means are what counts."""
        if not self.scores:
            return None
        return mean_interval(self.scores if samples == 1 else by_example(self.keys, self.scores), level=level)

    def _use(self, usage: Usage) -> None:
        calls = self.calls
        calls[0] += usage.calls
        calls[1] += usage.input_tokens
        calls[2] += usage.output_tokens
        calls[4] += usage.cached_calls
        calls[5] += usage.retries
        if usage.usd is None:
            self.unpriced = True
        else:
            calls[3] += usage.usd


def key_of(example: str) -> int:
    """64 bits that stand for an id: a collision among a million has a chance of 3e-8."""
    return int.from_bytes(blake2b(example.encode("utf-8", "surrogatepass"), digest_size=8).digest())


def by_example(keys: Sequence[int], scores: Sequence[float]) -> list[float]:
    """The mean score of each example, in order of first appearance."""
    sums: dict[int, list[float]] = {}
    for key, score in zip(keys, scores, strict=True):
        sums.setdefault(key, []).append(score)
    return [math.fsum(found) / len(found) for found in sums.values()]
