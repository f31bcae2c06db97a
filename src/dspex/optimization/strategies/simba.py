"""SIMBA as it was published (in DSPy; it has no paper): self-reflective ascent over minibatches of training examples.

Each step runs programs of the pool on a minibatch at temperature 1, makes candidates from the examples that vary most,
and runs these on the same minibatch. In the end some of the steps' winners meet on all of train. Two faults of the
published form are left out: a strategy that declines proposes nothing and costs nothing, and each step of a program
drops and gains demonstrations of its own. What goes to confirmation is scored on val first, so that it can be compared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from random import Random
from typing import Literal

from dspex.errors import DataError, VariableError
from dspex.kernel.canonical import plain
from dspex.kernel.ports import JSON
from dspex.optimization.batches import whole_batch
from dspex.optimization.buckets import Batch, Bucket, Run, contrast_in, shown_by, softly, top
from dspex.optimization.deciding import Finalists, SearchView
from dspex.optimization.lessons import Lesson, with_advice, with_demonstration, without_some
from dspex.optimization.problem import MIN_VAL, Problem
from dspex.optimization.rows import ROLLOUT, Candidate, Evaluation, Pair, Proposal, Round
from dspex.optimization.stages import holes

SPENT = "the search's share of the budget does not pay for that"


def program_runs(steps: int, batch: int, candidates: int, train: int) -> int:
    """The most that it runs: steps (C B + (C + 1) B) for rollouts and candidates, and (C + 1) |train| in the end."""
    return steps * (candidates * batch + (candidates + 1) * batch) + (candidates + 1) * train


def entrants(winners: Sequence[str], candidates: int) -> list[str]:
    """The winners that meet in the end, evenly from the first to the last: number round(i M / C) for i in 0..C."""
    last = len(winners) - 1
    return list(dict.fromkeys(winners[round(index * last / candidates)] for index in range(candidates + 1)))


@dataclass(frozen=True, slots=True)
class Standing:
    """The memo. What is under way is what the last round was for."""

    stage: Literal["rollouts", "candidates", "final", "val"] = "rollouts"
    step: int = 0
    """Steps begun before this one."""
    pool: dict[str, float] = field(default_factory=dict[str, float])
    """Program to its mean on the minibatch it was made for; of the seed program 0, as published."""
    winners: list[str] = field(default_factory=list[str])
    """The seed program, and the best candidate of each step."""
    batch: list[str] = field(default_factory=list[str])
    asked: list[str] = field(default_factory=list[str])
    """Candidates, or entrants, under way."""

    @classmethod
    def read(cls, memo: JSON) -> Standing:
        """From what `written` gives."""
        return cls(**memo)

    def written(self) -> JSON:
        """As JSON."""
        return plain(asdict(self), "the memo of simba")


@dataclass(frozen=True)
class Simba:
    """`Strategy` after DSPy's. It ends after its steps, or as soon as the budget left must pay for the end."""

    name: str = "simba"
    batch: int = 32
    """Training examples a step; all of train where it has fewer."""
    candidates: int = 6
    steps: int = 8
    sampling: float = 0.2
    """Temperature of the softmax by which programs are drawn to be run."""
    mutating: float = 0.2
    """Temperature of the softmax by which programs are drawn to be changed."""

    def check(self, problem: Problem) -> None:
        values = problem.completed(problem.program.values)
        if not holes(problem.program, values, "text", "demos"):
            raise VariableError(
                f"strategy {self.name!r} adds advice and demonstrations, and program {problem.program.name!r} takes "
                "neither; make them variables, instructions=Text(), demos=Demos(4), or use strategy='auto'"
            )
        if not problem.train:
            raise DataError(f"strategy {self.name!r} learns from train, which is empty; give it some examples")

    async def next_round(self, search: SearchView) -> Round | str:
        seed = search.problem.seed_id
        if search.memo is None:
            return self._step(search, Standing(pool={seed: 0.0}, winners=[seed]))
        now = Standing.read(search.memo)
        if now.stage == "rollouts":
            made = await self._made(search, now)
            return self._tried(search, now, made) if made else self._step(search, replace(now, step=now.step + 1))
        if now.stage == "candidates":
            return self._step(search, replace(self._registered(search, now), step=now.step + 1))
        if now.stage == "final":
            return self._on_val(search, now)
        return f"{now.step} of {self.steps} steps are done, and their winners have met on train"

    def leader(self, search: SearchView) -> str:
        seed = search.problem.seed_id
        if search.memo is None:
            return seed
        now = Standing.read(search.memo)
        if now.stage in ("final", "val"):
            return _best(search, now.asked, _train(search.problem)) or seed
        pool = self._registered(search, now).pool
        return max(pool, key=lambda item: pool[item])

    def finalists(self, search: SearchView) -> Finalists:
        """The best entrant on train, where it is better than the seed program on val, too."""
        if search.memo is None or Standing.read(search.memo).stage != "val":
            return Finalists()
        best, seed = self.leader(search), search.problem.seed_id
        ours, theirs = search.ledger.scores(best), search.ledger.scores(seed)
        shared = [ours[key] - theirs[key] for key in search.problem.keys if key in ours and key in theirs]
        return Finalists((best,) if sum(shared) > 0 else (), 1)

    async def remarks(self, search: SearchView) -> Sequence[str]:
        """How far it came."""
        if search.memo is None:
            return ()
        now = Standing.read(search.memo)
        return [
            f"simba as published: {min(now.step, self.steps)} of {self.steps} steps, {len(now.pool) - 1} candidates"
        ]

    def _step(self, search: SearchView, now: Standing) -> Round | str:
        """The rollouts of the next step; the end, where that was the last one or the budget left must pay for it."""
        size = min(self.batch, len(search.problem.train))
        price = self.candidates * size + (self.candidates + 1) * (size + 1) + self._ending(search, now)
        if now.step >= self.steps or search.affordable < price:
            return self._end(search, now) if now.step else f"a step and the end take {price} evaluations: {SPENT}"
        train = [item.id for item in search.problem.train]
        batch = whole_batch(train, size, now.step, search.problem.seed)
        rng, among = search.rng("rollouts"), top(now.pool, self.candidates, search.problem.seed_id)
        pairs = [
            (softly(now.pool, among, self.sampling, rng), example, ROLLOUT + number)
            for number in range(self.candidates)
            for example in batch
        ]
        return Round(search.number, tuple(pairs), (), replace(now, stage="rollouts", batch=batch, asked=[]).written())

    async def _made(self, search: SearchView, now: Standing) -> list[Candidate]:
        """Candidates from the buckets, those that vary most first, until there are C + 1."""
        rows = [await search.ledger.read(pair) for pair in search.ledger.rounds[search.number - 1].pairs]
        known = {row.pair: row for row in rows if row is not None}
        batch = Batch.of(Run(row.pair, row.score) for row in known.values() if row.score is not None)
        found: dict[str, Candidate] = {}
        waiting = list(enumerate(batch.buckets))
        while waiting and len(found) <= self.candidates:
            taken = waiting[: self.candidates + 1 - len(found)]
            del waiting[: len(taken)]
            made = await asyncio.gather(
                *(self._from(search, now, (batch, bucket), known, index) for index, bucket in taken)
            )
            for proposal in made:
                candidate = None if proposal is None else search.candidate(proposal)
                if candidate is not None:
                    found.setdefault(candidate.id, candidate)
        return list(found.values())

    async def _from(
        self,
        search: SearchView,
        now: Standing,
        place: tuple[Batch, Bucket],
        known: Mapping[Pair, Evaluation],
        index: int,
    ) -> Proposal | None:
        """A program of the pool, changed by what a bucket teaches; None where it teaches nothing."""
        batch, bucket = place
        rng = search.rng(f"bucket/{index}")
        among = top(now.pool, self.candidates, search.problem.seed_id)
        source = search.ledger.candidates[softly(now.pool, among, self.mutating, rng)]
        values = without_some(search, source, rng)
        kind = self._kind(search, source, rng)
        if kind == "demonstration":
            run = shown_by(batch, bucket)
            changed = None if run is None else with_demonstration(search, values, known[run.pair])
            said = f"with a good run on example {bucket.best.pair[1]} as a demonstration"
        else:
            contrast = contrast_in(batch, bucket)
            if contrast is None:
                return None
            good, bad = (None if run is None else known[run.pair] for run in (contrast.good, contrast.bad))
            changed = await with_advice(search, values, Lesson(bucket.best.pair[1], good, bad), index)
            said = f"with advice from runs on example {bucket.best.pair[1]}"
        return None if changed is None else Proposal(changed, kind, (source.id,), said)

    @staticmethod
    def _kind(search: SearchView, source: Candidate, rng: Random) -> str:
        kinds = {"demonstration": "demos", "advice": "text"}
        return rng.choice([name for name, kind in kinds.items() if holes(search.problem.program, source.values, kind)])

    def _tried(self, search: SearchView, now: Standing, made: Sequence[Candidate]) -> Round | str:
        """The candidates on the minibatch, each at its own temperature."""
        asked = [item.id for item in made]
        pairs = tuple((item, example, 0) for item in asked for example in now.batch)
        memo = replace(now, stage="candidates", asked=asked).written()
        return Round(search.number, pairs, tuple(made), memo)

    def _registered(self, search: SearchView, now: Standing) -> Standing:
        """The standing with the candidates of this step in the pool, and the best of them among the winners."""
        if now.stage != "candidates":
            return now
        keys = [(example, 0) for example in now.batch]
        means = {item: mean for item in now.asked if (mean := _mean(search, item, keys)) is not None}
        best = max(means, key=lambda item: means[item], default=None)
        winners = now.winners if best is None else [*now.winners, best]
        return replace(now, pool={**now.pool, **means}, winners=winners, asked=[])

    def _end(self, search: SearchView, now: Standing) -> Round | str:
        """As many winners on all of train as the budget pays for."""
        if len(now.winners) < 2:
            return "no step has made a candidate"
        for count in range(self.candidates, 0, -1):
            asked = entrants(now.winners, count)
            pairs = [(item, *key) for item in asked for key in _train(search.problem)]
            wanted = [pair for pair in pairs if not search.ledger.holds(pair)]
            if len(wanted) + 2 * MIN_VAL <= search.affordable:
                return Round(search.number, tuple(wanted), (), replace(now, stage="final", asked=asked).written())
        return SPENT

    def _ending(self, search: SearchView, now: Standing) -> int:
        """What the end costs at most after one more step: the entrants on train, and two programs on val."""
        count = min(len(now.winners) + 1, self.candidates + 1)
        return count * len(search.problem.train) + 2 * len(search.problem.val)

    def _on_val(self, search: SearchView, now: Standing) -> Round | str:
        """The best entrant and the seed program on as much of val as the budget pays for."""
        problem = search.problem
        best = _best(search, now.asked, _train(problem))
        if best is None or best == problem.seed_id:
            return "no winner is better than the seed program on train"
        keys = problem.keys[: int(min(len(problem.keys), search.affordable // 2))]
        pairs = [(item, *key) for key in keys for item in (problem.seed_id, best)]
        wanted = tuple(pair for pair in pairs if not search.ledger.holds(pair))
        return Round(search.number, wanted, (), replace(now, stage="val").written())


def _train(problem: Problem) -> list[tuple[str, int]]:
    return [(item.id, 0) for item in problem.train]


def _mean(search: SearchView, candidate: str, keys: Sequence[tuple[str, int]]) -> float | None:
    scores = search.ledger.scores(candidate)
    found = [scores[key] for key in keys if key in scores]
    return sum(found) / len(found) if found else None


def _best(search: SearchView, among: Sequence[str], keys: Sequence[tuple[str, int]]) -> str | None:
    """The highest mean, the earlier among equals."""
    means = {item: mean for item in among if (mean := _mean(search, item, keys)) is not None}
    return max(means, key=lambda item: means[item], default=None)
