"""What rows of evaluations show about one step: its inputs, what it gave, what was expected, what was remarked."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from dspex.kernel.ports import JSON
from dspex.optimization.deciding import SearchView
from dspex.optimization.rows import Candidate, Evaluation, Pair, Trace
from dspex.optimization.stages import Hole

MINIBATCH = 16
"""Training examples a parent is run on at a time to see it fail."""
ENOUGH, MOST = 4, 3
"""Failures that are enough, and minibatches after which a parent that hardly fails is asked no more."""


async def seen(search: SearchView, parents: Sequence[Candidate], size: int = MINIBATCH) -> dict[str, list[Evaluation]]:
    """Each parent's rows on training examples, worst first: those it was run on before, and on some new ones.

    It is run on half a minibatch where enough failures of it are known, else on as many as it takes to see it fail. All
    parents of a round get the same new examples.
    """
    order = search.minibatch(len(search.problem.train))
    who = sorted({item.id for item in parents})
    old = [(parent, example, 0) for parent in who for example in order if (example, 0) in search.ledger.scores(parent)]
    rows, known = await search.lab.evaluate(old), set(old)
    for start in range(0, min(len(order), MOST * size), size):
        asked = [pair for parent in who for pair in _fresh(parent, order[start : start + size], rows, first=not start)]
        rows += await search.lab.evaluate([pair for pair in asked if pair not in known])
    found: dict[str, list[Evaluation]] = {parent: [] for parent in who}
    for row in sorted(rows, key=lambda row: (row.score or 0.0, row.example)):
        if row.score is not None:
            found[row.candidate].append(row)
    return found


def _fresh(parent: str, batch: Sequence[str], rows: Sequence[Evaluation], *, first: bool) -> list[Pair]:
    """What a parent is asked of a minibatch: half of the first where it is known to fail, else all of it."""
    failures = sum(row.candidate == parent and row.score is not None and row.score < 1 for row in rows)
    if failures < ENOUGH:
        return [(parent, example, 0) for example in batch]
    return [(parent, example, 0) for example in batch[: len(batch) // 2]] if first else []


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
