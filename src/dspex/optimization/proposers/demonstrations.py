"""Sets of demonstrations: the program's own verified traces, or labelled training examples where they say it all."""

from __future__ import annotations

from dspex.kernel.canonical import canonical
from dspex.kernel.ports import JSON
from dspex.kernel.variables import Demos
from dspex.optimization.deciding import Turn, VariableKind
from dspex.optimization.problem import outcome_order
from dspex.optimization.rows import Candidate, Proposal
from dspex.optimization.similarity import Pool, pool_of, representatives
from dspex.optimization.stages import Hole, Worked, holes, labelled, worked

MOST = 160
"""Demonstrations in a pool, at most: choosing among them takes time with the square."""
MINIBATCH = 24
"""Training examples a candidate is run on when traces are needed."""
GOOD, FAIR = 0.999, 0.75
FULL = 0.9
"""Share of sets that are as large as they may be: smaller ones are cheaper, and seldom better."""


class BootstrapDemonstrations:
    """Fills the demonstrations of each step with few examples that stand for many.

    Where the training examples have every field of the step, they are the pool; otherwise, and where a teacher's model
    is named, the pool is what the step took and gave in runs that scored (nearly) full marks, by the teacher's model
    first of all. Sets are drawn so that they cover the pool in inputs and
    outputs, with more weight on what the parent gets wrong; a parent that has a set already may keep a part of it.
    """

    name = "bootstrap"
    needs: frozenset[VariableKind] = frozenset({"demos"})

    async def propose(self, turn: Turn) -> list[Proposal]:
        found: list[Proposal] = []
        for _ in range(turn.count):
            parent = turn.parent()
            wanted = holes(turn.search.problem.program, parent.values, "demos")
            if not wanted:
                continue
            values, said = dict(parent.values), list[str]()
            empty = [hole for hole in wanted if not parent.values[hole.dimension.path]]
            for hole in empty or [turn.rng.choice(wanted)]:
                pool = await _pool(turn, parent, hole)
                if pool.items:
                    shown = _chosen(turn, parent, hole, pool)
                    values[hole.dimension.path] = shown
                    said.append(f"{len(shown)} demonstrations for {hole.path}")
            if said:
                why = f"{' and '.join(said)} that cover the training data"
                found.append(Proposal(values, self.name, (parent.id,), why))
        return found


async def _pool(turn: Turn, parent: Candidate, hole: Hole) -> Pool:
    """Of labelled examples, made once for a problem; of traces where there are none."""
    problem, taught = turn.search.problem, bool(turn.search.lab.taught)
    inputs = [item.name for item in hole.step.signature.inputs]
    outputs = [item.name for item in hole.step.signature.outputs]
    if taught and len(shown := await _traced(turn, parent, hole)) > 1:
        return pool_of(shown, inputs, outputs)
    key = ("demonstrations", hole.path)
    if key not in problem.memory:
        ordered = outcome_order(problem.train, outputs, problem.seed)
        problem.memory[key] = pool_of(labelled(hole.step, ordered)[:MOST], inputs, outputs)
    pool: Pool = problem.memory[key]
    return pool if pool.items or taught else pool_of(await _traced(turn, parent, hole), inputs, outputs)


async def _traced(turn: Turn, parent: Candidate, hole: Hole) -> list[Worked]:
    """What the step took and gave in runs on training examples that came out right, of any candidate so far."""
    search = turn.search
    rows = await search.lab.evaluate(
        [(parent.id, example, search.lab.taught) for example in search.minibatch(MINIBATCH)]
    )
    known = {item.id for item in search.problem.train}
    for candidate in search.ledger.candidates:
        for (example, sample), score in search.ledger.scores(candidate).items():
            if example in known and score >= FAIR and (row := await search.ledger.read((candidate, example, sample))):
                rows.append(row)
    found: dict[str, Worked] = {}
    for threshold in (GOOD, FAIR):
        for row in rows:
            for trace in row.trace if row.score is not None and row.score >= threshold else ():
                if trace.step == hole.path and trace.outputs is not None:
                    shown = worked(hole.step, {**trace.inputs, **trace.outputs})
                    if shown is not None:
                        found.setdefault(canonical(trace.inputs), Worked(row.example, shown))
        if len(found) > 1:
            break
    return list(found.values())[:MOST]


def _chosen(turn: Turn, parent: Candidate, hole: Hole, pool: Pool) -> list[JSON]:
    """A set for the step, as large as the variable allows or smaller, with a part of the parent's set in it or not.

    Examples weigh more, up to four times, where the parent is known to do badly on them.
    """
    variable, rng = hole.dimension.variable, turn.rng
    most = variable.max if isinstance(variable, Demos) else 0
    size = most if rng.random() < FULL else rng.randint(1, max(1, most))
    present = {canonical(item) for item in parent.values[hole.dimension.path]}
    kept = [index for index, text in enumerate(pool.texts) if text in present] if present else []
    kept = rng.sample(kept, len(kept) * rng.choice((0, 2, 3)) // 4)[: max(0, size - 1)]
    scores = turn.search.ledger.scores(parent.id)
    weights = [1 + 3 * (1 - scores.get((item.example, 0), 1.0)) for item in pool.items]
    taken = representatives(pool, size, rng, weights, kept)
    rng.shuffle(taken)
    return [dict(pool.items[index].values) for index in taken]
