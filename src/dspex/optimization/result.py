"""What an optimization brought: the program, what changed, the gain with its interval, the cost, what was tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from dspex.evaluation.statistics import is_binary, paired, t_interval
from dspex.kernel.canonical import plain
from dspex.kernel.difference import Change, differences
from dspex.kernel.ports import JSON, Usage
from dspex.kernel.program import Program
from dspex.optimization.confirmation import Verdict
from dspex.optimization.deciding import SearchView
from dspex.optimization.fronts import Front, Point
from dspex.optimization.importance import Seen, importance_of
from dspex.optimization.ports import Ledger
from dspex.optimization.reports.table import reported
from dspex.optimization.rows import QUARANTINED, Death

_PRIOR = 12
_DETAILED = 24
"""Candidates of the table that have an interval."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A candidate, as the table of what was tried shows it."""

    id: str
    operator: str
    parents: tuple[str, ...]
    hypothesis: str
    round: int
    n: int
    """Val examples it was evaluated on."""
    score: float
    """Mean over these, in 0..1."""
    gain: float
    """Mean difference to the seed program on the same examples."""
    believed: float
    """The gain, less the fewer examples it was seen on: gain * n / (n + 12)."""
    interval: tuple[float, float] | None = None
    """95%, of the gain, by pairs; None for those far down."""


@dataclass(frozen=True)
class OptimizationResult:
    """The outcome of one search. `program` is the seed program where no gain was shown."""

    program: Program
    seed_program: Program
    strategy: str
    seed: int
    improved: bool
    """Whether `program` is another one than the seed program."""
    reason: str
    """Why it was shipped, or why the seed program was kept."""
    stopped: str
    """Why the search ended."""
    winner: Program | None
    """What was confirmed, shipped or not; None where nothing beat the seed program on val."""
    verdict: Verdict | None
    """Of the confirmation; None where there was none."""
    usage: Usage
    """Everything: evaluations, proposals, confirmation."""
    proposing: Usage
    """The part that models took to write proposals."""
    seconds: float
    fitting: float
    """Seconds of CPU, in this process, that went into fitting what the search believes."""
    rounds: int
    evaluations: int
    unevaluated: int
    """Pairs that infrastructure failed for good; they count for nothing."""
    unwanted: int
    """Evaluations begun before they were asked for that nobody asked for in the end; they are in `evaluations`."""
    idle_share: float
    """The part of all slots' time that nothing was evaluated in, in 0..1, since this process took the search on."""
    tried: tuple[Tried, ...]
    """Best first; the seed program is among them."""
    notes: tuple[str, ...]
    ledger: Ledger
    front: Front = Front(("score",))  # noqa: RUF009 - frozen
    """Those candidates that no other beats in every objective, on the same val examples; their scores are not
    confirmed."""
    run: str = ""
    """Id of the durable run; empty for a search in memory."""

    @property
    def changes(self) -> tuple[Change, ...]:
        """Path by path, from the seed program to `program`."""
        return differences(self.seed_program, self.program)

    @property
    def score(self) -> float | None:
        """Of `program` on the confirm split, in 0..1; None where nothing was confirmed."""
        if self.verdict is None:
            return None
        return self.verdict.score if self.improved else self.verdict.seed_score

    @property
    def hypervolume(self) -> float:
        """Of the front, in 0..1; see `Front.hypervolume`."""
        return self.front.hypervolume

    @property
    def knee(self) -> Point | None:
        """The point of the front that is nearest to the best of every objective."""
        return self.front.knee

    def pick(self, **weights: float) -> Program:
        """A program of the front by preference, as in `pick(score=3, cost=1)`; without weights that of the knee."""
        return self.front.pick(**weights)

    @property
    def quarantined(self) -> tuple[Death, ...]:
        """What killed the process it was evaluated in, twice, and was not tried again; by example."""
        found = [item for item in self.ledger.deaths.values() if item.kills >= QUARANTINED]
        return tuple(sorted(found, key=lambda item: (item.example, item.candidate)))

    def importance(self) -> list[tuple[str, float]] | str:
        """(path, share in 0..1) of every variable, the most important first; or in words why there is none.

        Needs the extra `optimize`.
        """
        known = self.ledger.candidates
        seen = [Seen(known[row.id].values, row.believed) for row in self.tried]
        return importance_of(self.seed_program.space, seen, self.seed)

    def report(self, form: str = "text") -> str:
        """All of it: `text` for a terminal, `markdown`, or `html` as one element. Raises UnknownNameError."""
        return reported(self.to_dict(), form, self.importance())

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return self.report("html")

    def to_dict(self) -> dict[str, JSON]:
        """All of it but the ledger, as JSON."""
        verdict = self.verdict
        data: dict[str, Any] = {
            "program": self.program.to_data(),
            "improved": self.improved,
            "reason": self.reason,
            "stopped": self.stopped,
            "strategy": self.strategy,
            "seed": self.seed,
            "confirmation": None if verdict is None else asdict(verdict),
            "changes": [asdict(item) for item in self.changes],
            "usage": asdict(self.usage),
            "proposing": asdict(self.proposing),
            "seconds": self.seconds,
            "fitting": self.fitting,
            "rounds": self.rounds,
            "evaluations": self.evaluations,
            "unevaluated": self.unevaluated,
            "quarantined": [asdict(item) for item in self.quarantined],
            "unwanted": self.unwanted,
            "idle_share": self.idle_share,
            "tried": [asdict(item) for item in self.tried],
            "notes": list(self.notes),
            "objectives": list(self.front.objectives),
            "front": self.front.written(),
            "hypervolume": self.hypervolume,
            "run": self.run,
        }
        found: Mapping[str, JSON] = plain(data, "result")
        return dict(found)


def tried(search: SearchView) -> tuple[Tried, ...]:
    """Every candidate with a score on val, best believed first."""
    val = search.problem.keys
    base = search.ledger.scores(search.problem.seed_id)
    found: list[Tried] = []
    for item in search.ledger.candidates.values():
        scores = search.ledger.scores(item.id)
        own = [scores[key] for key in val if key in scores]
        if not own:
            continue
        shared = [scores[key] - base[key] for key in val if key in scores and key in base]
        gain = sum(shared) / len(shared) if shared else 0.0
        found.append(
            Tried(
                item.id, item.operator, item.parents, item.hypothesis, item.round, len(own), sum(own) / len(own), gain,
                gain * len(shared) / (len(shared) + _PRIOR),
            )
        )  # fmt: skip
    found.sort(key=lambda row: (-row.believed, row.round))
    return (*(replace(row, interval=_spread(search, row.id)) for row in found[:_DETAILED]), *found[_DETAILED:])


def _spread(search: SearchView, candidate: str) -> tuple[float, float] | None:
    """The interval of the mean paired difference to the seed program; None where there is none."""
    ours, base = search.ledger.scores(candidate), search.ledger.scores(search.problem.seed_id)
    shared = [key for key in search.problem.keys if key in ours and key in base]
    first, second = [base[key] for key in shared], [ours[key] for key in shared]
    if candidate == search.problem.seed_id or len(shared) < 2:
        return None
    if is_binary(first) and is_binary(second):
        interval = paired(first, second).interval
    else:
        interval = t_interval([after - before for before, after in zip(first, second, strict=True)])
    return interval.low, interval.high
