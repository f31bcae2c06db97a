"""What rows of evaluations show about one step: its inputs, what it gave, what was expected, what was remarked."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from dspex.kernel.ports import JSON
from dspex.optimization.ports import Candidate, Evaluation, SearchView, Trace
from dspex.optimization.stages import Hole

MINIBATCH = 16
"""Training examples a parent is run on at a time to see it fail."""
ENOUGH, MOST = 4, 3
"""Failures that are enough, and minibatches after which a parent that hardly fails is asked no more."""


async def seen(search: SearchView, parents: Sequence[Candidate], size: int = MINIBATCH) -> dict[str, list[Evaluation]]:
    """Each parent's rows on as many training examples as it takes to see it fail a few times, worst first.

    The examples come in an order that is the same all through the run, so that what a parent was run on before, in
    this round or an earlier one, is not bought again.
    """
    order = [item.id for item in search.problem.train]
    Random(f"{search.problem.seed}/evidence").shuffle(order)
    found: dict[str, list[Evaluation]] = {parent: [] for parent in sorted({item.id for item in parents})}
    for start in range(0, min(len(order), MOST * size), size):
        few = [who for who, rows in found.items() if sum((row.score or 0.0) < 1 for row in rows) < ENOUGH]
        rows = await search.lab.evaluate([(who, example, 0) for who in few for example in order[start : start + size]])
        for row in rows:
            if row.score is not None:
                found[row.candidate].append(row)
    return {who: sorted(rows, key=lambda row: (row.score or 0.0, row.example)) for who, rows in found.items()}


def call_of(row: Evaluation, step: str, rng: Random | None = None) -> Trace | None:
    """One call of a step in a row: one whose answer could not be read where there is any, else by lot or the last."""
    calls = [item for item in row.trace if item.step == step]
    unread = [item for item in calls if item.outputs is None]
    if unread or not calls:
        return unread[0] if unread else None
    return calls[-1] if rng is None else rng.choice(calls)


def remark(row: Evaluation) -> str:
    """What is said of an answer; without feedback, its score."""
    return row.feedback or row.error or f"score {row.score:.2f}"


def told(
    search: SearchView, hole: Hole, rows: Sequence[Evaluation], rng: Random | None = None, *, labels: bool = True
) -> list[dict[str, JSON]]:
    """Rows as a model reads them: what the step was given, what it answered, what it should have answered where the
    data says so and `labels` are to be shown, and the feedback. An answer that could not be read says so there."""
    names = [item.name for item in hole.step.signature.outputs]
    found: list[dict[str, JSON]] = []
    for row in rows:
        call = call_of(row, hole.path, rng)
        if call is None:
            continue
        example = search.problem.examples[row.example]
        shown: dict[str, JSON] = {"inputs": dict(call.inputs), "answered": dict(call.outputs or {})}
        shown["expected"] = {name: example[name] for name in names if labels and name in example.values}
        unread = "" if call.outputs is not None or row.error else f"; a first answer could not be read: {call.error}"
        shown["feedback"] = f"{remark(row)}{unread}"
        found.append({key: value for key, value in shown.items() if value})
    return found


async def wordless(search: SearchView) -> bool:
    """Whether the metric has given no feedback on any of the seed program's first answers that were not right."""
    rows = [await search.ledger.read((search.problem.seed_id, *key)) for key in search.problem.keys[:32]]
    wrong = [row for row in rows if row is not None and (row.score or 0.0) < 1 and row.error is None]
    return bool(wrong) and not any(row.feedback for row in wrong)
