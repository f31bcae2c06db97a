"""SIMBA's proposers under a schedule: what differing runs of the same training example teach, as a demonstration or as
advice."""

from __future__ import annotations

import asyncio

from dspex.optimization.buckets import Batch, Bucket, Run, contrast_in, shown_by
from dspex.optimization.lessons import Lesson, with_advice, with_demonstration, without_some
from dspex.optimization.ports import ROLLOUT, Candidate, Evaluation, Proposal, SearchView, Turn, VariableKind

MINIBATCH = 12
"""Training examples that are run again each round."""
ROLLOUTS = 2
"""Further runs of each of them, beside those that the ledger has."""
SPREAD = 0.25
"""How steeply buckets that vary more are preferred."""


class RolloutDemonstrations:
    """A good run of an example that other runs get wrong, as one more demonstration of each step that takes any."""

    name = "demonstration"
    needs: frozenset[VariableKind] = frozenset({"demos"})

    async def propose(self, turn: Turn) -> list[Proposal]:
        search, found = turn.search, list[Proposal]()
        batch = await _runs(turn)
        for bucket in _chosen(turn, [item for item in batch.buckets if shown_by(batch, item) is not None]):
            parent = turn.parent()
            row = await search.ledger.read(bucket.best.pair)
            values = None if row is None else with_demonstration(search, without_some(search, parent, turn.rng), row)
            if values is not None:
                said = f"with a good run on example {bucket.best.pair[1]} as a demonstration"
                found.append(Proposal(values, self.name, (parent.id,), said))
        return found


class ContrastAdvice:
    """Advice for each step from the best and the worst run of an example, appended to its instructions."""

    name = "advice"
    needs: frozenset[VariableKind] = frozenset({"text"})
    without_feedback = "the scores of better and worse runs"

    async def propose(self, turn: Turn) -> list[Proposal]:
        batch = await _runs(turn)
        buckets = _chosen(turn, [item for item in batch.buckets if contrast_in(batch, item) is not None])
        tasks = [(turn.parent(), bucket) for bucket in buckets]
        made = await asyncio.gather(*(self._advised(turn.search, parent, batch, bucket) for parent, bucket in tasks))
        return [item for item in made if item is not None]

    async def _advised(self, search: SearchView, parent: Candidate, batch: Batch, bucket: Bucket) -> Proposal | None:
        contrast = contrast_in(batch, bucket)
        if contrast is None:
            return None
        good, bad = await _row(search, contrast.good), await _row(search, contrast.bad)
        example = bucket.best.pair[1]
        values = await with_advice(search, parent.values, Lesson(example, good, bad), search.number)
        if values is None:
            return None
        return Proposal(values, self.name, (parent.id,), f"with advice from runs on example {example}")


async def _runs(turn: Turn) -> Batch:
    """All runs of training examples that the ledger has, with new ones on this round's minibatch at temperature 1."""
    search = turn.search
    rng = search.rng("rollouts")
    drawn = [rng.choice(turn.parents) for _ in range(ROLLOUTS)]
    examples = search.minibatch(MINIBATCH)
    fresh = await search.lab.evaluate(
        [(parent.id, item, ROLLOUT + number) for number, parent in enumerate(drawn) for item in examples]
    )
    train = {item.id for item in search.problem.train}
    runs = {row.pair: row.score for row in fresh if row.score is not None}
    for candidate in search.ledger.candidates:
        for (example, sample), score in search.ledger.scores(candidate).items():
            if example in train:
                runs.setdefault((candidate, example, sample), score)
    return Batch.of(Run(pair, score) for pair, score in sorted(runs.items()))


def _chosen(turn: Turn, buckets: list[Bucket]) -> list[Bucket]:
    """As many buckets as are asked for, those that vary more with more chance."""
    left, found = list(buckets), list[Bucket]()
    while left and len(found) < turn.count:
        found.append(left.pop(min(int(turn.rng.expovariate(SPREAD)), len(left) - 1)))
    return found


async def _row(search: SearchView, run: Run | None) -> Evaluation | None:
    return None if run is None else await search.ledger.read(run.pair)
