"""Sets of demonstrations: the program's own verified traces, or labelled training examples where they say it all."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from dspex.kernel.canonical import canonical, digest
from dspex.kernel.ports import JSON
from dspex.kernel.variables import Demos
from dspex.optimization.ports import Candidate, Proposal, Search, Turn, VariableKind
from dspex.optimization.problem import outcome_order
from dspex.optimization.similarity import Pool, pool_of, representatives
from dspex.optimization.stages import Hole, holes, labelled, worked

MOST = 160
"""Demonstrations in a pool, at most: choosing among them takes time with the square."""
MINIBATCH = 24
"""Training examples a candidate is run on when traces are needed."""
GOOD, FAIR = 0.999, 0.75


class BootstrapDemonstrations:
    """Fills the demonstrations of each step with few examples that stand for many.

    Where the training examples have every field of the step, they are the pool; otherwise the pool is what the step
    took and gave in runs that scored (nearly) full marks. Sets are drawn so that they cover the pool in inputs and
    outputs, with more weight on what the parent gets wrong; a parent that has a set already may keep a part of it.
    """

    name = "bootstrap"
    needs: frozenset[VariableKind] = frozenset({"demos"})

    def __init__(self) -> None:
        self._pools: dict[str, Pool] = {}

    async def propose(self, turn: Turn) -> list[Proposal]:
        found: list[Proposal] = []
        for _ in range(turn.count):
            parent = _drawn(turn.parents, turn.rng)
            wanted = holes(turn.search.problem.program, parent.values, "demos")
            if not wanted:
                continue
            values, said = dict(parent.values), list[str]()
            empty = [hole for hole in wanted if not parent.values[hole.dimension.path]]
            for hole in empty or [turn.rng.choice(wanted)]:
                pool = await self._pool(turn.search, parent, hole, turn.rng)
                if pool.items:
                    shown = _chosen(turn, parent, hole, pool)
                    values[hole.dimension.path] = shown
                    said.append(f"{len(shown)} demonstrations for {hole.path}")
            if said:
                found.append(
                    Proposal(values, self.name, (parent.id,), f"{' and '.join(said)} that cover the training data")
                )
        return found

    async def _pool(self, search: Search, parent: Candidate, hole: Hole, rng: Random) -> Pool:
        outputs = [item.name for item in hole.step.signature.outputs]
        items = labelled(hole.step, outcome_order(search.problem.train, outputs, search.problem.seed)[:MOST])
        if not items:
            items = await _traced(search, parent, hole, rng)
        key = digest([hole.path, items])
        if key not in self._pools:
            self._pools[key] = pool_of(items, [item.name for item in hole.step.signature.inputs], outputs)
        return self._pools[key]


async def _traced(search: Search, parent: Candidate, hole: Hole, rng: Random) -> list[dict[str, JSON]]:
    """What the step took and gave in runs on training examples that came out right, of any candidate so far."""
    train = [item.id for item in search.problem.train]
    batch = rng.sample(train, min(MINIBATCH, len(train)))
    rows = await search.lab.evaluate([(parent.id, example, 0) for example in batch])
    known = set(train)
    for candidate in search.ledger.candidates:
        for (example, sample), score in search.ledger.scores(candidate).items():
            if example in known and score >= FAIR and (row := await search.ledger.read((candidate, example, sample))):
                rows.append(row)
    found: dict[str, dict[str, JSON]] = {}
    for threshold in (GOOD, FAIR):
        for row in rows:
            for trace in row.trace if row.score is not None and row.score >= threshold else ():
                if trace.step == hole.path and trace.outputs is not None:
                    shown = worked(hole.step, {**trace.inputs, **trace.outputs})
                    if shown is not None:
                        found.setdefault(canonical(trace.inputs), shown)
        if len(found) > 1:
            break
    return list(found.values())[:MOST]


def _chosen(turn: Turn, parent: Candidate, hole: Hole, pool: Pool) -> list[JSON]:
    """A set for the step, as large as the variable allows or smaller, the rest of the parent's set in it or not."""
    variable, rng = hole.dimension.variable, turn.rng
    most = variable.max if isinstance(variable, Demos) else 0
    size = most if rng.random() < 0.75 else rng.randint(1, max(1, most))
    present = {canonical(item) for item in parent.values[hole.dimension.path]}
    kept = [index for index, item in enumerate(pool.items) if canonical(item) in present]
    kept = rng.sample(kept, len(kept) * rng.choice((0, 2, 3)) // 4)[: max(0, size - 1)]
    weights = _weights(turn.search, parent, hole, pool)
    taken = representatives(pool, size, rng, weights, kept)
    rng.shuffle(taken)
    return [dict(pool.items[index]) for index in taken]


def _weights(search: Search, parent: Candidate, hole: Hole, pool: Pool) -> list[float]:
    """1 for each item, up to 4 where the parent is known to do badly on the training example it comes from."""
    scores = search.ledger.scores(parent.id)
    names = [item.name for item in hole.step.signature.inputs]
    known = {
        canonical([item.get(name) for name in names]): scores[item.id, 0]
        for item in search.problem.train
        if (item.id, 0) in scores
    }
    return [1 + 3 * (1 - known.get(canonical([item.get(name) for name in names]), 1.0)) for item in pool.items]


def _drawn(parents: Sequence[Candidate], rng: Random) -> Candidate:
    """A parent, the better ones more often."""
    return parents[min(int(rng.expovariate(0.7)), len(parents) - 1)]
