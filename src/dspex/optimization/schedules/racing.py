"""The paired race: challengers meet the incumbent on growing prefixes of the same examples.

After each rung a challenger is dropped where the probability that it is better is below 0.05, goes on above 0.2, and
waits in between, to be continued only when nothing better is at hand. Above 0.95 it replaces the incumbent, on any
rung: a large gain shows on few examples, and an incumbent that took over by luck is soon replaced itself. One that took
over before the top is asked the rest before the search ends, so that its confirmation is decided on all of val.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from dspex.kernel.ports import JSON
from dspex.optimization.deciding import Draft, Finalists, Glimpse, SearchView
from dspex.optimization.rows import Pair
from dspex.optimization.schedules.comparing import (
    Key,
    ahead,
    chance_of,
    missing,
    ranked,
    shown_better,
    unasked_of_flawless,
)

DROP, PROMOTE, REPLACE = 0.05, 0.2, 0.95
LADDER = (8, 16, 32, 64)


def rungs_up_to(top: int) -> tuple[int, ...]:
    """How many examples each rung compares: doubling, the last leap at most fourfold."""
    steps = [size for size in LADDER if size < top]
    while steps and steps[-1] >= LADDER[-1] and steps[-1] * 4 <= top:
        steps.append(steps[-1] * 2)
    return (*steps, top)


@dataclass(frozen=True, slots=True)
class Lane:
    """A challenger, the rung it has been evaluated on, and how likely it was then to beat the incumbent."""

    candidate: str
    rung: int
    chance: float = 0.5

    def written(self) -> JSON:
        """As JSON."""
        return {"candidate": self.candidate, "rung": self.rung, "chance": self.chance}


@dataclass(frozen=True, slots=True)
class Standing:
    """The race's memo: who leads, who runs, who waits, who has been at the top."""

    incumbent: str
    running: tuple[Lane, ...] = ()
    ready: tuple[Lane, ...] = ()
    """Promoted, not yet sent on: the next plan takes them first."""
    waiting: tuple[Lane, ...] = ()
    topped: tuple[str, ...] = ()

    @classmethod
    def read(cls, memo: JSON, seed: str) -> Standing:
        """From the JSON that `written` gives; the seed leads where there is none yet."""
        if not memo:
            return cls(seed)
        lanes = {key: tuple(Lane(**item) for item in memo[key]) for key in ("running", "ready", "waiting")}
        return cls(memo["incumbent"], lanes["running"], lanes["ready"], lanes["waiting"], tuple(memo["topped"]))

    def written(self) -> JSON:
        """As JSON."""
        return {
            "incumbent": self.incumbent,
            "running": [lane.written() for lane in self.running],
            "ready": [lane.written() for lane in self.ready],
            "waiting": [lane.written() for lane in self.waiting],
            "topped": list(self.topped),
        }


class Comparison(Protocol):
    """Which examples a challenger meets the incumbent on, and what follows from them. Pure."""

    def keys(self, search: SearchView, incumbent: str, challenger: str, size: int) -> Sequence[Key]:
        """The examples, `size` of them, that both have been asked after a rung."""
        ...

    def chance(self, search: SearchView, challenger: str, other: str, size: int) -> float:
        """The probability that `challenger` is better, after a rung of `size`."""
        ...

    def ranking(self, search: SearchView, top: int) -> list[str]:
        """Candidates with a score, most promising first; the seed program is among them."""
        ...


class Paired:
    """`Comparison` on the first examples of val, in the order that is the same for all."""

    def keys(self, search: SearchView, incumbent: str, challenger: str, size: int) -> Sequence[Key]:
        return search.problem.keys[:size]

    def chance(self, search: SearchView, challenger: str, other: str, size: int) -> float:
        return chance_of(search, challenger, other, search.problem.keys[:size])

    def ranking(self, search: SearchView, top: int) -> list[str]:
        return ranked(search, top)


PAIRED = Paired()


@dataclass(frozen=True)
class Race:
    """`Schedule` by paired comparison. `width`: new candidates a round. `top`: examples at the last rung."""

    width: int
    top: int
    name: str = "race"
    comparison: Comparison = PAIRED
    promote: float = PROMOTE
    """P(better) above which a challenger goes on to the next rung at once."""

    @property
    def rungs(self) -> tuple[int, ...]:
        """How many examples each rung compares."""
        return rungs_up_to(self.top)

    def fold(self, search: SearchView, memo: JSON) -> JSON:
        standing = Standing.read(memo, search.problem.seed_id)
        rungs = self.rungs
        ready, waiting, topped = list(standing.ready), list(standing.waiting), list(standing.topped)
        champions: list[str] = []
        for lane in standing.running:
            if not search.ledger.scores(lane.candidate):
                continue  # the model refuses its every request
            chance = self._chance(search, lane.candidate, standing.incumbent, rungs[lane.rung])
            worth = max(chance, search.outcomes.undominated(lane.candidate, (standing.incumbent, *topped)))
            judged = replace(lane, chance=worth)
            if worth < DROP:
                continue
            if chance > REPLACE:
                champions.append(lane.candidate)
            if lane.rung == len(rungs) - 1:
                topped.append(lane.candidate)
            elif worth > self.promote:
                ready.append(judged)
            else:
                waiting.append(judged)
        incumbent = max(
            champions, key=lambda item: ahead(search, item, standing.incumbent, self.top), default=standing.incumbent
        )
        ready = [lane for lane in ready if lane.candidate != incumbent]
        found = Standing(incumbent, (), tuple(ready), tuple(waiting), tuple(topped))
        return (self._judged_again(search, found) if champions else found).written()

    def judged(self, before: JSON, after: JSON) -> Mapping[str, float]:
        first = [lane for lane in Standing.read(before, "").running if not lane.rung]
        standing = Standing.read(after, "")
        chances = {lane.candidate: lane.chance for lane in (*standing.ready, *standing.waiting)}
        chances[standing.incumbent] = 1.0
        return {lane.candidate: chances.get(lane.candidate, 0.0) for lane in first}

    def revised(self, memo: JSON, chances: Mapping[str, float]) -> JSON:
        standing = Standing.read(memo, "")
        ready: list[Lane] = []
        waiting: list[Lane] = []
        for lane, queue in [(item, ready) for item in standing.ready] + [(item, waiting) for item in standing.waiting]:
            chance = chances.get(lane.candidate)
            if chance is None:
                queue.append(lane)
            elif chance >= DROP:
                (ready if chance > self.promote else waiting).append(replace(lane, chance=chance))
        return replace(standing, ready=tuple(ready), waiting=tuple(waiting)).written()

    def room(self, search: SearchView, memo: JSON) -> int:
        """All of the width, until the budget is needed by those that are under way."""
        standing = Standing.read(memo, search.problem.seed_id)
        if unasked_of_flawless(search, standing.incumbent, self.top):
            return 0
        rungs = self.rungs
        owed = sum(rungs[lane.rung + 1] - rungs[lane.rung] for lane in self._going_on(standing.ready)[0])
        owed += len(self._owed(search, standing.incumbent))
        return self.width if search.affordable >= owed + 2 * self.width * rungs[0] else 0

    def plan(self, search: SearchView, memo: JSON, fresh: Sequence[str]) -> Draft:
        return self.part(search, memo, fresh, 0)

    def part(self, search: SearchView, memo: JSON, fresh: Sequence[str], later: int) -> Draft:
        standing = Standing.read(memo, search.problem.seed_id)
        if alone := unasked_of_flawless(search, standing.incumbent, self.top)[: int(min(search.affordable, self.top))]:
            return Draft(tuple(alone), memo)
        promoted, queued = self._going_on(standing.ready)
        lanes = [replace(lane, rung=lane.rung + 1) for lane in promoted] + [Lane(item, 0) for item in fresh]
        waiting = sorted(standing.waiting, key=lambda lane: (-lane.chance, lane.candidate))
        while waiting and len(lanes) + later < self.width:
            lane = waiting.pop(0)
            lanes.append(replace(lane, rung=lane.rung + 1))
        last = self._owed(search, standing.incumbent)
        room = search.affordable - len(last) - later * self.rungs[0]
        pairs, taken = self._fitting(search, standing.incumbent, lanes, room)
        left = queued + [replace(lane, rung=lane.rung - 1) for lane in lanes if lane.rung and lane not in taken]
        if not taken and not later:
            pairs.update(dict.fromkeys(last[: int(min(search.affordable, len(last)))]))
        state = Standing(standing.incumbent, tuple(taken), tuple(left), tuple(waiting), standing.topped)
        return Draft(tuple(pairs), state.written(), tuple(lane.candidate for lane in taken if not lane.rung))

    def join(self, search: SearchView, memo: JSON, fresh: Sequence[str]) -> Draft:
        standing = Standing.read(memo, search.problem.seed_id)
        room = search.affordable - len(self._owed(search, standing.incumbent))
        pairs, taken = self._fitting(search, standing.incumbent, [Lane(item, 0) for item in fresh], room)
        joined = replace(standing, running=(*standing.running, *taken))
        return Draft(tuple(pairs), joined.written(), tuple(lane.candidate for lane in taken))

    def foreseen(self, search: SearchView, memo: JSON, glimpse: Glimpse) -> Sequence[Pair]:
        """The next rung of those who are ahead so far, as many as will have a place there."""
        standing, rungs = Standing.read(memo, search.problem.seed_id), self.rungs
        places = {rung: max(1, self.width >> (rung + 1)) for rung in range(len(rungs) - 1)}
        leads = [(self._lead(search, standing.incumbent, lane, glimpse), lane) for lane in standing.running]
        found: dict[Pair, None] = {}
        for lead, lane in sorted(leads, key=lambda item: -item[0]):
            if lead >= 0 and places.get(lane.rung, 0):
                places[lane.rung] -= 1
                above = replace(lane, rung=lane.rung + 1)
                found.update(dict.fromkeys(self._pairs(search, standing.incumbent, above)))
        return list(found)

    def _lead(self, search: SearchView, incumbent: str, lane: Lane, glimpse: Glimpse) -> float:
        """How far ahead of the incumbent it is in the mean, on what both have by now; below 0 where they share none."""
        keys = self.comparison.keys(search, incumbent, lane.candidate, self.rungs[lane.rung])
        both = [(glimpse((lane.candidate, *key)), glimpse((incumbent, *key))) for key in keys]
        gains = [ours - theirs for ours, theirs in both if ours is not None and theirs is not None]
        return sum(gains) / len(gains) if gains else -1.0

    def _going_on(self, ready: Sequence[Lane]) -> tuple[list[Lane], list[Lane]]:
        """Of the promoted the likeliest, half as many on each higher rung; the others queue for a later round."""
        going: list[Lane] = []
        queued: list[Lane] = []
        for rung in range(len(self.rungs) - 2, -1, -1):
            here = sorted(
                (lane for lane in ready if lane.rung == rung), key=lambda lane: (-lane.chance, lane.candidate)
            )
            places = max(1, self.width >> (rung + 1))
            going += here[:places]
            queued += here[places:]
        return going, queued

    def ranking(self, search: SearchView) -> list[str]:
        return self.comparison.ranking(search, self.top)

    def leader(self, search: SearchView, memo: JSON) -> str:
        return Standing.read(memo, search.problem.seed_id).incumbent

    def finalists(self, search: SearchView, memo: JSON) -> Finalists:
        standing = Standing.read(memo, search.problem.seed_id)
        led = () if standing.incumbent == search.problem.seed_id else (standing.incumbent,)
        return shown_better(search, tuple(dict.fromkeys((*standing.topped, *led))), self.top)

    def _owed(self, search: SearchView, incumbent: str) -> list[Pair]:
        """What an incumbent that took over early has not been asked yet, and the seed program beside it."""
        if incumbent == search.problem.seed_id:
            return []
        return missing(search, (search.problem.seed_id, incumbent), search.problem.keys[: self.top])

    def _judged_again(self, search: SearchView, standing: Standing) -> Standing:
        """Against the new incumbent, on what each lane has: some that were promoted wait or are out."""
        ready: list[Lane] = []
        waiting: list[Lane] = []
        for lane in (*standing.ready, *standing.waiting):
            chance = self._chance(search, lane.candidate, standing.incumbent, self.rungs[lane.rung])
            others = (standing.incumbent, *standing.topped)
            worth = max(chance, search.outcomes.undominated(lane.candidate, others))
            if worth >= DROP:
                (ready if worth > self.promote else waiting).append(replace(lane, chance=worth))
        return replace(standing, ready=tuple(ready), waiting=tuple(waiting))

    def _chance(self, search: SearchView, challenger: str, incumbent: str, size: int) -> float:
        """P(better); where constraints decide, 1 or 0."""
        decided = search.outcomes.decides(challenger, incumbent)
        return self.comparison.chance(search, challenger, incumbent, size) if decided is None else decided

    def _fitting(
        self, search: SearchView, incumbent: str, lanes: Sequence[Lane], room: float
    ) -> tuple[dict[Pair, None], list[Lane]]:
        """The lanes that `room` evaluations are enough for, in their order, and the pairs that they ask for."""
        pairs: dict[Pair, None] = {}
        taken: list[Lane] = []
        for lane in lanes:
            wanted = [pair for pair in self._pairs(search, incumbent, lane) if pair not in pairs]
            if len(pairs) + len(wanted) <= room:
                pairs.update(dict.fromkeys(wanted))
                taken.append(lane)
        return pairs, taken

    def _pairs(self, search: SearchView, incumbent: str, lane: Lane) -> list[Pair]:
        keys = self.comparison.keys(search, incumbent, lane.candidate, self.rungs[lane.rung])
        return missing(search, (incumbent, lane.candidate), keys)
