"""SIMBA's proposers under a schedule: what differing runs of the same training example teach, as a demonstration or as
advice."""

from __future__ import annotations

import asyncio

from dspex.optimization.buckets import Batch, Bucket, Run, contrast_in, shown_by
from dspex.optimization.deciding import SearchView, Turn, VariableKind
from dspex.optimization.lessons import Lesson, with_advice, with_demonstration, without_some
from dspex.optimization.rows import ROLLOUT, Candidate, Evaluation, Proposal

MINIBATCH = 12
"""Training examples that are run again each round."""
ROLLOUTS = 2
"""Further runs of each of them, beside those that the ledger has."""
SPREAD = 0.25
"""How steeply buckets that vary more are preferred."""
TOGETHER = 3
"""Examples that one candidate learns from: what a single one teaches is too little to be seen in a race."""


class RolloutDemonstrations:
    """A good run of an example that other runs get wrong, as one more demonstration of each step that takes any."""

    name = "demonstration"
    needs: frozenset[VariableKind] = frozenset({"demos"})

    async def propose(self, turn: Turn) -> list[Proposal]:
        search, found = turn.search, list[Proposal]()
        batch = await _runs(turn)
        fitting = [item for item in batch.buckets if shown_by(batch, item) is not None]
        for _ in range(turn.count):
            parent = turn.parent()
            values, shown = without_some(search, parent, turn.rng), list[str]()
            for bucket in _chosen(turn, fitting):
                row = await search.ledger.read(bucket.best.pair)
                changed = None if row is None else with_demonstration(search, values, row)
                if changed is not None:
                    values = changed
                    shown.append(bucket.best.pair[1])
            if shown:
                said = f"with good runs as demonstrations: {', '.join(shown)}"
                found.append(Proposal(values, self.name, (parent.id,), said))
        return found


class ContrastAdvice:
    """Advice for each step from the best and the worst run of an example, appended to its instructions."""

    name = "advice"
    needs: frozenset[VariableKind] = frozenset({"text"})
    without_feedback = "the scores of better and worse runs"

    async def propose(self, turn: Turn) -> list[Proposal]:
        batch = await _runs(turn)
        fitting = [item for item in batch.buckets if contrast_in(batch, item) is not None]
        tasks = [(turn.parent(), _chosen(turn, fitting)) for _ in range(turn.count)]
        made = await asyncio.gather(*(self._advised(turn.search, parent, batch, buckets) for parent, buckets in tasks))
        return [item for item in made if item is not None]

    async def _advised(
        self, search: SearchView, parent: Candidate, batch: Batch, buckets: list[Bucket]
    ) -> Proposal | None:
        """One after the other, so that what one example has taught is not advised again."""
        values, used = dict(parent.values), list[str]()
        for bucket in buckets:
            contrast = contrast_in(batch, bucket)
            if contrast is None:
                continue
            good, bad = await _row(search, contrast.good), await _row(search, contrast.bad)
            example = bucket.best.pair[1]
            changed = await with_advice(search, values, Lesson(example, good, bad), search.number)
            if changed is not None:
                values = changed
                used.append(example)
        said = f"with advice from runs on examples {', '.join(used)}"
        return Proposal(values, self.name, (parent.id,), said) if used else None


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
    """A few of the buckets, those that vary more with more chance."""
    left, found = list(buckets), list[Bucket]()
    while left and len(found) < TOGETHER:
        found.append(left.pop(min(int(turn.rng.expovariate(SPREAD)), len(left) - 1)))
    return found


async def _row(search: SearchView, run: Run | None) -> Evaluation | None:
    return None if run is None else await search.ledger.read(run.pair)
