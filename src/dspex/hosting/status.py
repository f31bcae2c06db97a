"""A run at one moment, read from its rows."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from dspex.clients.budget import Budget
from dspex.hosting.liveness import alive, orphaned, stalled
from dspex.hosting.timing import unheard_of
from dspex.hosting.waiting import attended
from dspex.kernel.ports import JSON, NO_USAGE, Usage
from dspex.storage import runs
from dspex.storage.calls import spent_by
from dspex.storage.database import Location
from dspex.storage.runs import RunRow, RunState


@dataclass(frozen=True, slots=True)
class Spent:
    """What counts against a budget."""

    calls: int = 0
    tokens: int = 0
    """Of prompts and answers together."""
    usd: float | None = 0.0
    """None: a price is unknown."""


@dataclass(frozen=True, slots=True)
class RunStatus:
    """A run at one moment."""

    id: str
    state: RunState
    reason: str
    alive: bool
    """Whether a process carries it now."""
    stalled: bool
    """Whether that process is there and does not move."""
    orphaned: bool
    """Whether it says that it runs, and neither a process nor a supervisor is there: resume it."""
    waiting: bool
    """Whether it is paused for an outage, and a process asks the model again and will go on by itself."""
    best_score: float | None
    """Of the program that `best` gives: mean over the val examples it was asked, or on the confirm split."""
    seed_score: float | None
    confirmed: bool
    """Whether both scores are of the confirm split."""
    calls: int
    """Sent, repeated ones included."""
    cost: float | None
    """Dollars for its own calls that were answered; None: a price is unknown."""
    spent: Spent
    """Of the budget: its own calls that were answered, each once, and what it carried over."""
    carried: Spent
    """The part of `spent` that the rows copied by a fork had consumed."""
    repeated_calls: int
    unknown_calls: int
    """Sent by a process that is gone, without an answer, and not sent again yet."""
    evaluations: int
    candidates: int
    rounds: int
    restarts: int
    idle_share: float | None
    """The part of its slots' time that nothing ran in, since a process last took it on; None: not known yet."""
    seconds: float
    fitting: float
    """Of these, in the last process, what went into fitting what the search believes."""
    budget: Budget
    strategy: str
    seed: int
    program: str | None
    parent: str | None
    """The run it was forked from."""
    round: str | None
    hypothesis: str | None
    """Why the leading candidate was made."""
    created: float
    started: float | None
    finished: float | None


@dataclass(frozen=True, slots=True)
class RunEvent:
    """Something that happened in a run."""

    sequence: int
    kind: str
    data: dict[str, JSON]
    created: float


@dataclass(frozen=True, slots=True)
class RunFailure:
    """An attempt that infrastructure failed: it says nothing of the candidate."""

    candidate: str
    example: str
    round: int
    error: str
    created: float


def status_of(connection: Connection, location: Location, id: str, now: float) -> RunStatus:
    """Where a run is; needs no process of the run's."""
    row, found, paid = runs.find(connection, id), runs.counts(connection, id), spent_by(connection, id)
    best, seed, carried_now = *scores_of(row), alive(location, row, now)
    over = row.spec.get("carried")
    carried = NO_USAGE if over is None else Usage(**over)
    spent = paid + carried + unheard_of(row.progress)
    return RunStatus(
        id=row.id, state=row.state, reason=row.reason, alive=carried_now,
        stalled=stalled(location, row, now), orphaned=orphaned(location, row, now),
        waiting=attended(location, row), best_score=best, seed_score=seed, confirmed=confirmed(row),
        calls=found["calls"], cost=paid.usd, spent=_spent(spent), carried=_spent(carried),
        repeated_calls=found["repeated_calls"],
        # Nobody will hear of what a process had under way that is not there any more.
        unknown_calls=found["unknown_calls"] + (0 if carried_now else found["open_calls"]),
        evaluations=found["evaluations"], candidates=int(row.progress.get("candidates") or 0), rounds=found["rounds"],
        restarts=row.restarts, idle_share=row.progress.get("idle_share"),
        seconds=float(row.progress.get("seconds") or 0.0),
        fitting=float(row.progress.get("fitting") or 0.0), budget=Budget.model_validate(row.budget),
        strategy=row.strategy, seed=row.seed, program=row.program, parent=row.parent,
        round=row.progress.get("round"), hypothesis=row.progress.get("hypothesis"),
        created=row.created, started=row.started, finished=row.finished,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Standing:
    """Of a run in a list: whether it is where its state says."""

    state: RunState
    stalled: bool
    orphaned: bool


def standing(location: Location, row: RunRow, now: float) -> Standing:
    """Cheap: only of a run that says it runs is looked whether a process carries it."""
    return Standing(row.state, stalled(location, row, now), orphaned(location, row, now))


def _spent(usage: Usage) -> Spent:
    return Spent(usage.calls, usage.input_tokens + usage.output_tokens, usage.usd)


def scores_of(row: RunRow) -> tuple[float | None, float | None]:
    """The scores of the program that the run gives, and of the seed program.

    On the confirm split once two programs met there, on val before. An end without that keeps the seed program,
    whatever led the search on val: a leader's score would then be of a program that nobody gets.
    """
    if row.result is None:
        return row.progress.get("best_score"), row.progress.get("seed_score")
    confirmation = row.result["confirmation"]
    if confirmation is None:
        kept = next((item["score"] for item in row.result["tried"] if item["operator"] == "seed"), None)
        return kept, kept
    return confirmation["score" if row.result["improved"] else "seed_score"], confirmation["seed_score"]


def confirmed(row: RunRow) -> bool:
    """Whether these scores are of the confirm split."""
    return row.result is not None and row.result["confirmation"] is not None
