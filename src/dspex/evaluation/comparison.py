"""Two evaluations of the same examples, compared pair by pair: what differs, and which examples moved."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from dspex.errors import ConfigurationError
from dspex.evaluation.result import Evaluation, load_evaluation
from dspex.evaluation.statistics import Interval, paired
from dspex.kernel.ports import JSON


@dataclass(frozen=True, slots=True)
class Moved:
    """An example whose score changed."""

    example: str
    before: float
    after: float
    """Means over the samples that both evaluations scored."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Second minus first, over the examples that both scored."""

    first: str
    second: str
    """The programs, by name; with the start of their hash where the names are equal."""
    n: int
    """Examples in both."""
    score_first: float
    score_second: float
    """Means over those."""
    difference: float
    interval: Interval
    p_better: float
    """Probability that the second is better."""
    mcnemar_p: float | None
    """Two-sided exact McNemar test; None where scores are graded."""
    improved: tuple[Moved, ...]
    """By how much, the most first."""
    regressed: tuple[Moved, ...]
    ties: int
    unpaired: int
    """(example, sample) pairs that only one of them scored; they are left out."""

    def summary(self) -> str:
        """A few lines for people."""
        low, high, level = self.interval.low, self.interval.high, self.interval.level
        lines = [
            f"{self.second} against {self.first}, over {self.n:,} examples of both",
            f"score {self.score_first:.3f} -> {self.score_second:.3f}, difference {self.difference:+.3f} "
            f"({level:.0%} interval {low:+.3f} to {high:+.3f}, {self.interval.method})",
            f"probability of being better {self.p_better:.3f}"
            + ("" if self.mcnemar_p is None else f"; McNemar p {self.mcnemar_p:.3g}"),
            f"{len(self.improved):,} improved, {len(self.regressed):,} regressed, {self.ties:,} the same",
        ]
        if self.unpaired:
            lines.append(f"left out: {self.unpaired:,} scored by one of them only")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, JSON]:
        """Everything, as JSON."""
        data: dict[str, JSON] = asdict(self)
        return data


def compare(first: Evaluation | str | Path, second: Evaluation | str | Path, *, seed: int = 0) -> Comparison:
    """Compare two evaluations, or their files of rows, by example id and sample.

    Several samples of an example are averaged before examples are compared. Raises ConfigurationError where they were
    scored by different metrics or share no example, DataError for a file that holds no evaluation.
    """
    one, two = _opened(first), _opened(second)
    if one.metric != two.metric:
        raise ConfigurationError(
            f"the first was scored by {one.metric}, the second by {two.metric}; evaluate both with the same metric"
        )
    before, after = dict(_scores(one)), dict(_scores(two))
    shared = before.keys() & after.keys()
    if not shared:
        raise ConfigurationError(
            f"no example was scored in both evaluations ({len(before)} and {len(after)} scores); "
            "a comparison needs the same data"
        )
    examples = list(dict.fromkeys(example for example, sample in before if (example, sample) in shared))
    means = _means(shared, before), _means(shared, after)
    old, new = ([side[example] for example in examples] for side in means)
    found = paired(old, new, seed=seed)
    moved = [Moved(example, *scores) for example, *scores in zip(examples, old, new, strict=True)]
    names = _names(one, two)
    return Comparison(
        first=names[0],
        second=names[1],
        n=found.n,
        score_first=math.fsum(old) / found.n,
        score_second=math.fsum(new) / found.n,
        difference=found.difference,
        interval=found.interval,
        p_better=found.p_better,
        mcnemar_p=found.mcnemar_p,
        improved=tuple(sorted((item for item in moved if item.after > item.before), key=_change, reverse=True)),
        regressed=tuple(sorted((item for item in moved if item.after < item.before), key=_change)),
        ties=found.ties,
        unpaired=len(before) + len(after) - 2 * len(shared),
    )


def _opened(evaluation: Evaluation | str | Path) -> Evaluation:
    return evaluation if isinstance(evaluation, Evaluation) else load_evaluation(evaluation)


def _scores(evaluation: Evaluation) -> Iterator[tuple[tuple[str, int], float]]:
    for row in evaluation.rows():
        if row.score is not None:
            yield (row.example, row.sample), row.score


def _means(pairs: Iterable[tuple[str, int]], scores: dict[tuple[str, int], float]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for pair in pairs:
        found.setdefault(pair[0], []).append(scores[pair])
    return {example: math.fsum(items) / len(items) for example, items in found.items()}


def _names(one: Evaluation, two: Evaluation) -> tuple[str, str]:
    if one.program != two.program:
        return one.program, two.program
    return f"{one.program} ({one.program_hash[:8]})", f"{two.program} ({two.program_hash[:8]})"


def _change(moved: Moved) -> float:
    return moved.after - moved.before
