"""The result of measuring a program: score with interval, failures apart from zeros, cost, and the rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from dspex.evaluation.assessment import Assessment
from dspex.evaluation.rows import RowFile, read_header, read_rows
from dspex.evaluation.statistics import Interval
from dspex.evaluation.tally import Tally
from dspex.kernel.ports import JSON, Usage


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What measuring one program on one data set with one metric gave."""

    program: str
    """Its name."""
    program_hash: str
    metric: str
    data: str
    """Name of the data."""
    score: float | None
    """Mean over what was scored; None where nothing was."""
    interval: Interval | None
    n: int
    """(example, sample) pairs that were tried."""
    scored: int
    failures: Mapping[str, int]
    """Pairs without a score, by kind: infrastructure, metric, data. They are in no mean."""
    zeros: Mapping[str, int]
    """Scores of 0, by kind: `parse`, `cut_off`, ..., or `wrong` for an answer that was read and did not hold."""
    details: Mapping[str, float]
    """Mean of each part of the score, where the metric has parts."""
    usage: Usage
    seconds: float
    """Of wall clock, of this run: a resumed one does not count what went before."""
    samples: int = 1
    notes: tuple[str, ...] = ()
    """What else there is to know, in words."""
    tally: Tally = field(default_factory=Tally, repr=False)
    _rows: RowFile | Path | None = field(default=None, repr=False)

    def rows(self) -> Iterator[Assessment]:
        """The rows in the order they finished, read one at a time; their history is there where it was asked for."""
        if isinstance(self._rows, RowFile):
            yield from self._rows.rows()
        elif self._rows is not None:
            yield from read_rows(self._rows)

    @property
    def path(self) -> Path | None:
        """The file of the rows, where one was asked for."""
        return self._rows.path if isinstance(self._rows, RowFile) else self._rows

    def summary(self) -> str:
        """A few lines for people."""
        return "\n".join(_lines(self))

    def to_dict(self) -> dict[str, JSON]:
        """Everything but the rows, as JSON."""
        return {
            "program": self.program,
            "program_hash": self.program_hash,
            "metric": self.metric,
            "data": self.data,
            "score": self.score,
            "interval": None if self.interval is None else asdict(self.interval),
            "n": self.n,
            "scored": self.scored,
            "failures": dict(self.failures),
            "zeros": dict(self.zeros),
            "details": dict(self.details),
            "usage": asdict(self.usage),
            "seconds": round(self.seconds, 3),
            "samples": self.samples,
            "notes": list(self.notes),
            "rows": None if self.path is None else str(self.path),
        }


def summed(
    header: Mapping[str, JSON], tally: Tally, seconds: float, level: float, rows: RowFile | Path, notes: tuple[str, ...]
) -> Evaluation:
    """An `Evaluation` from what was counted."""
    program, samples = header["program"], int(header["samples"])
    return Evaluation(
        program=program["name"],
        program_hash=program["hash"],
        metric=header["metric"],
        data=header["data"]["name"],
        score=tally.mean,
        interval=tally.interval(samples=samples, level=level),
        n=tally.seen,
        scored=len(tally.scores),
        failures=dict(tally.failures.most_common()),
        zeros=dict(tally.zeros.most_common()),
        details={name: total / count for name, (total, count) in tally.details.items()},
        usage=tally.usage,
        seconds=seconds,
        samples=samples,
        notes=notes,
        tally=tally,
        _rows=rows,
    )


def load_evaluation(path: str | Path, *, level: float = 0.95) -> Evaluation:
    """An evaluation from its file of rows, finished or not. `seconds` is the time its examples took, added up.

    Raises DataError for a file that is not one.
    """
    source, tally, seconds = Path(path), Tally(), 0.0
    header = read_header(source)
    for row in read_rows(source):
        tally.add(row)
        seconds += row.seconds
    return summed(header, tally, seconds, level, source, ())


def _lines(result: Evaluation) -> Iterator[str]:
    yield f"{result.program} on {result.data}, by {result.metric}"
    if result.score is None or result.interval is None:
        yield f"score: none, nothing of {result.n} was scored"
    else:
        low, high = result.interval.low, result.interval.high
        yield (
            f"score {result.score:.3f} ({result.interval.level:.0%} interval {low:.3f} to {high:.3f}, "
            f"{result.interval.method}) over {result.scored:,} of {result.n:,}"
        )
    for name, value in result.details.items():
        yield f"  {name} {value:.3f}"
    if result.failures:
        yield f"failed, not scored: {sum(result.failures.values()):,} ({_counts(result.failures)})"
    if result.zeros:
        yield f"scored 0: {sum(result.zeros.values()):,} ({_counts(result.zeros)})"
    use = result.usage
    price = "price unknown" if use.usd is None else f"${use.usd:.4f}"
    yield (
        f"{use.calls:,} calls ({use.retries:,} retries), {use.cached_calls:,} from memory; "
        f"{use.input_tokens:,} tokens in, {use.output_tokens:,} out; {price}; {result.seconds:.1f} s"
    )
    for note in result.notes:
        yield f"note: {note}"


def _counts(kinds: Mapping[str, int]) -> str:
    return ", ".join(f"{kind} {count:,}" for kind, count in kinds.items())
