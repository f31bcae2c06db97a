"""GEPA as it was published (arXiv 2507.19457): reflective mutation and merge of texts, Pareto selection, own budget.

Every step is a round: the seed program on all of val, a child on a minibatch, an accepted child on all of val. All it
knows is its memo and the ledger, so that it goes on exactly where it was stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import log2
from typing import Any, Literal

from dspex.errors import VariableError
from dspex.kernel.canonical import plain
from dspex.kernel.ports import JSON
from dspex.kernel.space import Configuration
from dspex.optimization.batches import filled_batch
from dspex.optimization.champions import champions, drawn, undominated
from dspex.optimization.deciding import Finalists, SearchView
from dspex.optimization.evidence import told, wordless
from dspex.optimization.lineage import Descent, Merge, merge_of, telling
from dspex.optimization.problem import Problem
from dspex.optimization.rewriting import Rewriting, rewritten, shown
from dspex.optimization.rows import Evaluation, Pair, Proposal, Round
from dspex.optimization.stages import Hole, holes

Preset = Literal["light", "medium", "heavy"]
TRIALS: Mapping[Preset, int] = {"light": 6, "medium": 12, "heavy": 18}
SUBSAMPLE = 5
"""Val examples that a merge is tried on before all of them."""
AIM = (
    "Work out what the task of this step is and what the feedback says that the instructions do not. Keep what is "
    "special to the task, and the strategies that carry over to other inputs."
)
SPENT = "the search's share of the budget is spent"


def metric_calls(components: int, val: int, preset: Preset) -> int:
    """Evaluations after which it ends: V + 5N + 35T + (floor((T + 1) / 5) + 1 + [T < 5]) V.

    N is 6, 12 or 18 by preset, T the larger of 4 P log2 N and 1.5 N, P the components, V the val examples.
    """
    wanted = TRIALS[preset]
    trials = int(max(4 * components * log2(wanted), 1.5 * wanted))
    return val + 5 * wanted + 35 * trials + ((trials + 1) // 5 + 1 + (trials < 5)) * val


@dataclass(frozen=True, slots=True)
class Trial:
    """A child under way."""

    id: str
    parents: tuple[str, ...]
    """One, or the two sides of a merge."""
    batch: tuple[str, ...]
    """The examples on which it is compared with them."""
    stage: Literal["batch", "accepted", "val"] = "batch"


@dataclass(frozen=True, slots=True)
class Standing:
    """The memo. Dictionaries are in the order in which candidates came to the pool."""

    iteration: int = 0
    calls: int = 0
    """Evaluations by its own count, with those that the ledger had already."""
    pool: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """Candidate to its parents."""
    turns: dict[str, int] = field(default_factory=dict[str, int])
    """Candidate to the number of the component that is next."""
    due: int = 0
    """Merges that accepted children have earned."""
    merged: int = 0
    fresh: bool = False
    """Whether the last iteration brought a child into the pool: then a merge may be tried."""
    tried: tuple[tuple[str, ...], ...] = ()
    """Merges made so far: which lineages met where, and which parts were taken."""
    trial: Trial | None = None

    @classmethod
    def read(cls, memo: JSON) -> Standing:
        """From what `written` gives."""
        data: dict[str, Any] = dict(memo)
        if (trial := data["trial"]) is not None:
            data["trial"] = Trial(trial["id"], tuple(trial["parents"]), tuple(trial["batch"]), trial["stage"])
        data["tried"] = tuple(tuple(item) for item in data["tried"])
        return cls(**data)

    def written(self) -> JSON:
        """As JSON."""
        return plain(asdict(self), "the memo of gepa")


@dataclass(frozen=True)
class Gepa:
    """`Strategy` after the paper. It ends with its own count of evaluations or with the budget, whichever is first."""

    name: str = "gepa"
    preset: Preset = "heavy"
    minibatch: int = 3
    merges: int = 5
    """At most so many merges are accepted."""

    def check(self, problem: Problem) -> None:
        if not _components(problem):
            raise VariableError(
                f"strategy {self.name!r} rewrites texts, and program {problem.program.name!r} has none that is active; "
                "make instructions a variable, instructions=Text(), or use strategy='auto'"
            )
        if not problem.train:
            raise VariableError(f"strategy {self.name!r} learns from train, which is empty; give it some examples")

    async def next_round(self, search: SearchView) -> Round | str:
        problem = search.problem
        if search.memo is None:
            first = Standing(calls=len(problem.val), pool={problem.seed_id: []}, turns={problem.seed_id: 0})
            return _round(search, first, [(problem.seed_id, *key) for key in problem.keys])
        now = self._folded(search, Standing.read(search.memo))
        if (trial := now.trial) is not None:
            now = replace(now, trial=replace(trial, stage="val"), calls=now.calls + len(problem.val))
            return _round(search, now, [(trial.id, *key) for key in problem.keys])
        limit = metric_calls(len(_components(problem)), len(problem.val), self.preset)
        while now.calls < limit:
            now = replace(now, iteration=now.iteration + 1)
            found = self._merge(search, now) if now.fresh and now.due else None
            now = replace(now, fresh=False)
            made = found if found is not None else await self._mutation(search, now)
            if not isinstance(made, Standing):
                return made
            now = made
        return f"its own count of {limit} evaluations is reached"

    def leader(self, search: SearchView) -> str:
        ranked = self._ranked(search)
        return ranked[0] if ranked else search.problem.seed_id

    def finalists(self, search: SearchView) -> Finalists:
        """The best mean on val, as published; what it is worth, the confirmation says."""
        ranked, seed = self._ranked(search), search.problem.seed_id
        ahead = ranked[: ranked.index(seed)] if seed in ranked else []
        return Finalists(tuple(ahead), max(0, len(ranked) - 1))

    async def remarks(self, search: SearchView) -> Sequence[str]:
        """How far it came by its own count, and what it goes by where the metric says nothing."""
        if search.memo is None:
            return ()
        limit = metric_calls(len(_components(search.problem)), len(search.problem.val), self.preset)
        found = [f"gepa as published ({self.preset}): {_calls(search.memo)} of {limit} evaluations by its own count"]
        if await wordless(search):
            found.append(
                "the metric gives no feedback in words, so gepa goes by the scores; see Score(value, feedback)"
            )
        return found

    def _ranked(self, search: SearchView) -> list[str]:
        """The pool by mean on val, the earlier first among equals."""
        if search.memo is None or "pool" not in search.memo:
            return []
        means = _means(search, self._folded(search, Standing.read(search.memo)).pool)
        return sorted(means, key=lambda item: -means[item])

    def _folded(self, search: SearchView, now: Standing) -> Standing:
        """The standing after the scores of the last round: the trial is out, goes on to val, or joins the pool."""
        trial = now.trial
        if trial is None:
            return now
        if trial.stage == "batch":
            ours, theirs = _sums(search, trial)
            good = ours >= max(theirs, default=0.0) if len(trial.parents) > 1 else ours > theirs[0]
            return replace(now, trial=replace(trial, stage="accepted") if good else None)
        if not any(key in search.ledger.scores(trial.id) for key in search.problem.keys):
            return replace(now, trial=None)  # infrastructure failed all of it
        return self._joined(now, trial)

    def _joined(self, now: Standing, trial: Trial) -> Standing:
        pool = {**now.pool, trial.id: list(trial.parents)}
        turns = {**now.turns, trial.id: max(now.turns[item] for item in trial.parents)}
        now = replace(now, pool=pool, turns=turns, trial=None)
        if len(trial.parents) > 1:
            return replace(now, due=now.due - 1, merged=now.merged + 1)
        return replace(now, fresh=True, due=now.due + (now.merged < self.merges))

    def _merge(self, search: SearchView, now: Standing) -> Round | str | None:
        """A merge on a few telling val examples; None where the lineages give none."""
        paths = [item.dimension.path for item in _components(search.problem)]
        values = {item: search.ledger.candidates[item].values for item in now.pool}
        descent = Descent(now.pool, values, _means(search, now.pool), paths)

        def known(merge: Merge) -> bool:
            there = search.problem.id_of(merge.values) in now.pool
            return there or merge.triplet in now.tried or (merge.first, merge.second, *merge.taken) in now.tried

        rng = search.rng(f"merge/{now.iteration}")
        found = merge_of(descent, list(_front(search, now.pool)), rng, known)
        if found is None:
            return None
        sides = (found.first, found.second)
        first, second = ({example: score for (example, _), score in _val(search, item).items()} for item in sides)
        batch = telling(first, second, SUBSAMPLE, rng)
        tried = (*now.tried, found.triplet, (*sides, *found.taken))
        return _trial(search, replace(now, tried=tried), Proposal(found.values, "merge", sides, _said(found)), batch)

    async def _mutation(self, search: SearchView, now: Standing) -> Round | str | Standing:
        """A parent from the front, run on the next minibatch, and a child with one component rewritten from what was
        seen; only the standing where the parent makes no mistake."""
        problem = search.problem
        parent = drawn(_front(search, now.pool), search.rng(f"parent/{now.iteration}"))
        train = [item.id for item in problem.train]
        batch = filled_batch(train, self.minibatch, now.iteration - 1, problem.seed)
        unseen = sum((item, 0) not in search.ledger.scores(parent) for item in dict.fromkeys(batch))
        if unseen > search.affordable:
            return SPENT
        rows = await search.lab.evaluate([(parent, item, 0) for item in dict.fromkeys(batch)])
        search = replace(search, affordable=search.affordable - unseen - 1)
        now = replace(now, calls=now.calls + len(batch))
        if all(row.score is not None and row.score >= 1 for row in rows):
            return now
        components = _components(problem)
        hole = components[now.turns[parent] % len(components)]
        now = replace(now, turns={**now.turns, parent: now.turns[parent] + 1})
        values = search.ledger.candidates[parent].values
        text = await rewritten(search, _asked(search, hole, values, rows, now.iteration))
        child = {**values, hole.dimension.path: text}
        if not text or problem.space.problems(child) or problem.id_of(child) in now.pool:
            return _round(search, now, ())  # what was asked is kept with the round
        said = f"{hole.path} rewritten from {len(rows)} examples with feedback"
        return _trial(search, now, Proposal(child, "reflection", (parent,), said), batch)


def _calls(memo: JSON) -> int:
    return int(memo.get("calls", 0))


def _components(problem: Problem) -> list[Hole]:
    """The texts of the seed program, in pipeline order: what a candidate is made of."""
    return holes(problem.program, problem.completed(problem.program.values), "text")


def _asked(search: SearchView, hole: Hole, values: Configuration, rows: Sequence[Evaluation], number: int) -> Rewriting:
    records = told(search, hole, rows, search.rng(f"records/{number}"), labels=False)
    parts = tuple(shown("Inputs, answers under the current instructions, and feedback", records))
    return Rewriting(hole, values, parts, AIM, number, temperature=1.0)


def _round(search: SearchView, now: Standing, pairs: Sequence[Pair], *fresh: Proposal) -> Round | str:
    """A round of what nobody has bought yet; or the end, where the budget does not pay for it."""
    wanted = tuple(pair for pair in dict.fromkeys(pairs) if not search.ledger.holds(pair))
    if len(wanted) > search.affordable:
        return SPENT
    made = [search.candidate(item) for item in fresh]
    return Round(search.number, wanted, tuple(item for item in made if item is not None), now.written())


def _trial(search: SearchView, now: Standing, child: Proposal, batch: Sequence[str]) -> Round | str:
    found = search.problem.id_of(child.values)
    trial = Trial(found, child.parents, tuple(batch))
    now = replace(now, calls=now.calls + len(batch), trial=trial)
    return _round(search, now, [(found, item, 0) for item in batch], child)


def _sums(search: SearchView, trial: Trial) -> tuple[float, list[float]]:
    """What the child and each parent score on the batch, as far as all of them were evaluated; an example that fills
    the batch up counts twice."""
    known = [search.ledger.scores(item) for item in (trial.id, *trial.parents)]
    shared = [(item, 0) for item in trial.batch if all((item, 0) in scores for scores in known)]
    ours, *theirs = [sum(scores[key] for key in shared) for scores in known]
    return (ours, theirs) if shared else (-1.0, theirs)


def _val(search: SearchView, candidate: str) -> dict[tuple[str, int], float]:
    scores = search.ledger.scores(candidate)
    return {key: scores[key] for key in search.problem.keys if key in scores}


def _means(search: SearchView, pool: Mapping[str, Sequence[str]]) -> dict[str, float]:
    found = {item: _val(search, item) for item in pool}
    return {item: sum(scores.values()) / len(scores) for item, scores in found.items() if scores}


def _front(search: SearchView, pool: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """The programs that are best on some val example, with on how many."""
    means = _means(search, pool)
    given = champions({item: _val(search, item) for item in means}, search.problem.keys)
    return undominated(given, sorted(means, key=lambda item: means[item]))


def _said(merge: Merge) -> str:
    return f"what two lineages changed since {merge.ancestor[:6]}, together"
