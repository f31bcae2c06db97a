"""What becomes of a result: a new version of the stored program, unless that changed while the run went on."""

from __future__ import annotations

from sqlalchemy import Connection

from dspex.evaluation.statistics import mean_interval
from dspex.kernel.ports import JSON
from dspex.optimization.result import OptimizationResult
from dspex.storage import programs, runs
from dspex.storage.runs import RunRow, RunState
from dspex.storage.statements import packed


def conclude(connection: Connection, run: RunRow, result: OptimizationResult, to: RunState) -> dict[str, JSON]:
    """End the run and keep its result, in the caller's transaction; returns what was written as the run's result.

    A confirmed program becomes the newest version of the program the run started from, and takes over the label it was
    named by, if both are as they were at the start; otherwise it stays with the run, and the result says so.
    """
    data = result.to_dict()
    data["promotion"] = _promoted(connection, run, result)
    runs.move(connection, run.id, to, result.stopped, result=packed(data))
    return data


def _promoted(connection: Connection, run: RunRow, result: OptimizationResult) -> dict[str, JSON]:
    if run.program is None:
        return {"promoted": False, "why": "the run did not start from a stored program"}
    if not result.improved:
        return {"promoted": False, "why": "no gain was shown"}
    name, _, label = run.program.partition("@")
    newest = programs.history(connection, name)
    start = newest[0].number if newest else None
    pointed = programs.labelled(connection, name, label) if label else start
    if pointed != run.base_version:
        now = "is not there any more" if pointed is None else f"is version {pointed} by now"
        why = f"{run.program} {now}; the run started from version {run.base_version}"
        return {"promoted": False, "why": why}
    made = programs.add(
        connection, result.program, name, note=f"found by run {run.id}", run=run.id, score=confirmed_score(result)
    )
    if label:
        programs.promote(connection, made, label, expected=run.base_version)
    return {"promoted": True, "program": name, "version": made.number, "label": label or None}


def confirmed_score(result: OptimizationResult) -> programs.Score | None:
    """The shipped program's mean on the confirm split with its interval; None where nothing was confirmed."""
    confirming = [item for item in result.ledger.rounds if item.purpose == "confirmation"]
    if not confirming or result.verdict is None:
        return None
    winner = confirming[-1].memo["winner"]
    found = result.ledger.scores(winner)
    scores = [found[e, s] for candidate, e, s in confirming[-1].pairs if candidate == winner and (e, s) in found]
    if not scores:
        return None
    interval = mean_interval(scores)
    return (sum(scores) / len(scores), interval.low, interval.high)
