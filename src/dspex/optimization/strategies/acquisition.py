"""What BEACON tries next: top-two Thompson sampling over cheap proposals, against asking a model for new text.

Typed variables, crossovers and the like are proposed by the hundred for nothing; of these the surrogate's draws pick,
by gain times cost^-alpha, with alpha cooling from 1 to 0 as the budget drains (CArBO, arXiv 2003.10870; top-two
sampling, Russo 2016). Where the surrogate does not predict, the portfolio shares the round among its proposers as ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from dspex.errors import BudgetExceededError
from dspex.optimization.deciding import Proposer, SearchView, Turn
from dspex.optimization.objectives import PLAIN
from dspex.optimization.pricing import StagePrices, stage_prices
from dspex.optimization.rows import Candidate
from dspex.optimization.spending import LIMITS
from dspex.optimization.strategies.outlook import Outlook, Watch, gain_over, measured
from dspex.optimization.strategies.portfolio import Choice, Chosen
from dspex.optimization.strategies.sharing import PATIENCE
from dspex.optimization.surrogates.gate import LEAST
from dspex.optimization.surrogates.ports import Surrogate

MOVERS = frozenset({"coordinate", "crossover", "fix", "random", "step", "tpe", "trimming"})
"""Proposers that ask nobody: their proposals cost nothing until they are evaluated."""
POOL = 160
"""Proposals of these in a round."""
SLOW = 8
"""Of a proposer that takes milliseconds for each."""
SCREEN = 24
"""Evaluations that a candidate takes, on average, before it is known whether it is any good."""
EVERY = 20
"""Evaluations after which the gate is looked at again."""
WORTH = 0.005
"""The search ends where nothing promises this much on the score for a hundred evaluations."""
NEAR, SURE = 0.01, 0.9
"""It ends, too, where the incumbent is within `NEAR` of the best with this probability."""
EARLY = 12
"""Measured candidates before which it never ends so."""
_ENDLESS = 1e9
_DRAWS = "random"
AGAIN = 0.7
"""What a second new text of the same round promises, of what the first does."""


@dataclass(frozen=True)
class Acquisition:
    """`Chooser`: each of its parts can be left out, to see what it is worth."""

    surrogate: Surrogate | None
    """None: never predicts; what is left are the race and the stop rule."""
    item_response: bool = True
    """Without it, abilities are mean scores, whatever was asked."""
    cooling: bool = True
    """Without it, costs do not count."""
    bandit: bool = True
    """Without it, every second candidate is new text, whatever that brought."""
    stopping: bool = True
    """Without it, the search ends with the budget alone."""

    async def choose(self, choice: Choice) -> Chosen:
        search = choice.search
        fit = measured(search, choice.schedule.top, item_response=self.item_response)
        memo: dict[str, Any] = dict(
            choice.memo or {"gate": 0.0, "seen": 0, "budget": min(search.affordable, _ENDLESS), "asked": {}}
        )
        if choice.leader not in fit.abilities:
            return Chosen(memo)
        watch = Watch.of(search, fit, choice.schedule.top, choice.leader)
        pool = await _pooled(choice)
        seen = sum(len(search.ledger.scores(item)) for item in search.ledger.candidates)
        again = seen - memo["seen"] >= EVERY
        outlook = watch.outlook(pool, self.surrogate, None if again else memo["gate"], search.rng("outlook"))
        if again:
            memo |= {"seen": seen, "gate": outlook.weight}
        offer = Offer(choice, watch, outlook, pool, await stage_prices(search), self._alpha(search, memo))
        memo["asked"] = _asked(search, memo["asked"])
        if self.stopping and (reason := offer.futile()):
            return Chosen(memo, stop=reason)
        if len(watch.known) < LEAST and choice.room and (drawn := [item for item in pool if item.operator == _DRAWS]):
            return Chosen(memo, await _opened(choice, drawn))
        # Where more than the score counts, who is worth going on with is not the surrogate's to say.
        sure = outlook.weight and search.problem.objectives == PLAIN
        chances = outlook.chances(watch.known) if sure else None
        if not outlook.weight or not pool or not choice.room:
            return Chosen(memo, chances=chances)
        picked = await self._filled(offer, memo)
        return Chosen(memo, picked, affordable=offer.affordable(picked), chances=chances)

    def _alpha(self, search: SearchView, memo: Mapping[str, Any]) -> float:
        """How much costs count: the share of the budget that is left."""
        whole: float = memo["budget"]
        if not self.cooling or not 0 < whole < _ENDLESS:
            return 0.0
        return max(0.0, min(1.0, search.affordable / whole))

    async def _filled(self, offer: Offer, memo: dict[str, Any]) -> list[Candidate]:
        """Candidates for the round: picks of the pool, and new texts where these promise more for their price."""
        choice, rng = offer.choice, offer.choice.search.rng("acquisition")
        writers = [item for item in choice.proposers if item.name not in MOVERS]
        picks = offer.picks(choice.room, rng)
        wanted = dict.fromkeys((item.name for item in writers), 0)
        taken: list[Candidate] = []
        for slot in range(choice.room):
            best = offer.value(picks[len(taken)]) if len(taken) < len(picks) else -1.0
            name = self._writer(offer, wanted, memo["asked"], best, slot)
            if name:
                wanted[name] += 1
            elif len(taken) < len(picks):
                taken.append(picks[len(taken)])
        new = await _written(choice, [(item, wanted[item.name]) for item in writers if wanted[item.name]])
        memo["asked"] = {**memo["asked"], "last": wanted, "round": choice.search.number}
        rest = [item for item in picks if item not in taken]  # where a writer had nothing to say
        return [*new, *taken, *rest][: choice.room]

    def _writer(
        self, offer: Offer, wanted: Mapping[str, int], asked: Mapping[str, Any], best: float, slot: int
    ) -> str | None:
        """Who is to write a text for this place; None: the next of the pool is worth more."""
        if not wanted:
            return None
        least = min(wanted, key=lambda name: (wanted[name], asked.get(name, 0), name))
        if not self.bandit or offer.choice.stale > PATIENCE:
            return least if slot % 2 == 0 else None
        worth = {name: offer.worth(name, asked) * AGAIN**count for name, count in wanted.items()}
        name = max(worth, key=lambda item: (worth[item], item))
        return name if worth[name] > best else None


@dataclass(frozen=True)
class Offer:
    """A round's proposals with what they promise and what they cost."""

    choice: Choice
    watch: Watch
    outlook: Outlook
    pool: Sequence[Candidate]
    prices: StagePrices
    alpha: float

    def cost(self, candidate: Candidate) -> float:
        """What an evaluation of it costs, in evaluations of the seed program."""
        problem = self.choice.search.problem
        ours, base = self.prices.of(candidate.values), self.prices.whole(problem.completed(problem.program.values))
        limits = [name for name in LIMITS if getattr(problem.budget, name) is not None and base[name] > 0]
        return max((ours[name] / base[name] for name in limits), default=1.0) or 0.05

    def value(self, candidate: Candidate) -> float:
        """Expected gain for an evaluation of the seed program's price."""
        gain = self.outlook.expected(candidate.id, self.watch.incumbent)
        return gain / (SCREEN * max(0.05, self.cost(candidate)))

    def worth(self, writer: str, asked: Mapping[str, Any]) -> float:
        """The same of a new text, what it takes to write it included."""
        watch = self.watch
        parents = [item.id for item in self.choice.parents[:2]]
        mean, spread = watch.steps.expected(writer, parents)
        least = watch.level(watch.fit.ability(watch.incumbent)[0])
        price: float = asked.get("price", 1.0)
        return gain_over(watch.level, least, mean, spread) / (SCREEN + price)

    def picks(self, count: int, rng: Random) -> list[Candidate]:
        """By top-two Thompson sampling: the best of a draw, or, every second time, the best of another draw."""
        weights = {item.id: max(0.05, self.cost(item)) ** -self.alpha for item in self.pool}
        gains = {item.id: self.outlook.gains(item.id, self.watch.incumbent) for item in self.pool}
        left = {item.id: item for item in self.pool}
        found: list[Candidate] = []
        while left and len(found) < count:
            best = _best(left, gains, weights, self._draw(rng))
            if rng.random() < 0.5:
                for _ in range(10):
                    other = _best(left, gains, weights, self._draw(rng))
                    if other != best:
                        best = other
                        break
            found.append(left.pop(best))
        return found

    def _draw(self, rng: Random) -> int:
        """A row of the surrogate's: those of the proposers' records know nothing of the configurations."""
        return rng.randrange(self.outlook.modelled or len(self.outlook.rows))

    def affordable(self, picked: Sequence[Candidate]) -> float:
        """Evaluations that the budget pays for, were all at the price of those picked."""
        mean = sum(map(self.cost, picked)) / len(picked) if picked else 1.0
        return self.choice.search.affordable / max(1.0, mean)

    def futile(self) -> str | None:
        """Why going on is not worth its price, in words; None while it is."""
        choice, watch = self.choice, self.watch
        if choice.stale <= PATIENCE or len(watch.known) < EARLY:
            return None
        there = [item for item in watch.known if item != watch.incumbent]
        left = {item: choice.schedule.top - len(choice.search.ledger.scores(item)) for item in there}
        promised = [self.outlook.expected(item, watch.incumbent) / left[item] for item in there if left[item] > 0]
        promised += [self.value(item) for item in self.pool]
        promised += [self.worth(item.name, {}) for item in choice.proposers if item.name not in MOVERS]
        if 100 * max(promised, default=0.0) < WORTH:
            return f"nothing promises {WORTH:.1%} more for 100 evaluations"
        within = int(min(len(self.pool), choice.search.affordable / SCREEN))
        names = [*there, *(item.id for item in self.pool[:within])]
        gains = [self.outlook.gains(name, watch.incumbent) for name in names]
        best = [max(row) for row in zip(*gains, strict=True)]
        writing = any(item.name not in MOVERS for item in choice.proposers)
        if best and not writing and sum(gain <= NEAR for gain in best) > SURE * len(best):
            return f"the best candidate is within {NEAR:.0%} of the best there is, with probability above {SURE}"
        return None


def _best(
    left: Mapping[str, Candidate], gains: Mapping[str, Sequence[float]], weights: Mapping[str, float], row: int
) -> str:
    def worth(name: str) -> tuple[float, str]:
        gain = gains[name][row]
        # What is no gain is the worse the more it costs, too.
        return round(gain * weights[name] if gain > 0 else gain / weights[name], 6), name

    return max(left, key=worth)


async def _opened(choice: Choice, drawn: Sequence[Candidate]) -> list[Candidate]:
    """The beginning, while too little is known to predict anything: new texts, and draws of the whole space."""
    writers = [item for item in choice.proposers if item.name not in MOVERS]
    places = min(len(writers), choice.room // 2)
    rng = choice.search.rng("opening")
    new = await _written(choice, [(item, 1) for item in rng.sample(writers, places)])
    return [*new, *drawn][: choice.room]


async def _pooled(choice: Choice) -> list[Candidate]:
    """Proposals of those that ask nobody."""
    movers = [item for item in choice.proposers if item.name in MOVERS]
    found: dict[str, Candidate] = {}
    for proposer in movers if choice.room else ():
        rng = choice.search.rng(f"pool/{proposer.name}")
        count = SLOW if proposer.name == "tpe" else POOL // len(movers)
        turn = Turn(choice.search, choice.parents, count, rng)
        for proposal in await proposer.propose(turn):
            candidate = choice.search.candidate(proposal)
            if candidate is not None:
                found.setdefault(candidate.id, candidate)
    return list(found.values())


async def _written(choice: Choice, wanted: Sequence[tuple[Proposer, int]]) -> list[Candidate]:
    """New texts and demonstrations; none more once the budget is gone."""
    found: dict[str, Candidate] = {}
    for proposer, count in wanted:
        turn = Turn(choice.search, choice.parents, count, choice.search.rng(f"writing/{proposer.name}"))
        try:
            proposals = await proposer.propose(turn)
        except BudgetExceededError:
            break
        for proposal in proposals:
            candidate = choice.search.candidate(proposal)
            if candidate is not None:
                found.setdefault(candidate.id, candidate)
    return list(found.values())


def _asked(search: SearchView, asked: Mapping[str, Any]) -> dict[str, Any]:
    """How often each writer was asked, and the calls that a text took, with the last round's bill."""
    if "last" not in asked:
        return dict(asked)
    found = {name: count for name, count in asked.items() if name not in ("last", "round")}
    for name, count in asked["last"].items():
        found[name] = found.get(name, 0) + count
    round_before: int = asked["round"]
    texts: int = sum(asked["last"].values())
    if texts:
        calls = search.ledger.rounds[round_before].usage.calls
        found["price"] = round((found.get("price", 1.0) + calls / texts) / 2, 3)
    return found
