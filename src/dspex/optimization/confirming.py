"""How the confirmation is carried out: seed program and winner on each example, in order, within what the budget left.

Each evaluation has an allowance, and no more is begun at once than allowances fit into what is left: so whatever
finishes first, the same are evaluated, and nothing is overspent. What needs more, and what comes last, is evaluated
one by one, each with all that is left. All of it is a function of what evaluations took, in the order of the pairs: a
process that carries the search on finds that in the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from dspex.kernel.ports import NO_USAGE, Usage
from dspex.optimization.allowance import Amounts, allotted, ample
from dspex.optimization.booking import less
from dspex.optimization.laboratory import Laboratory
from dspex.optimization.ports import Ledger
from dspex.optimization.problem import MIN_VAL, Problem
from dspex.optimization.rows import Pair, Round
from dspex.optimization.spending import LIMITS, Purse, amount_of, price_of
from dspex.optimization.strategies.full import SPENT

Couple = tuple[Pair, ...]
"""The seed program and the winner on one example."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Shares of the budget."""

    reserve: float
    """What the search left for the confirmation ..."""
    leeway: float
    """... and how much of that one of its rounds may have reserved, and spent, before it was abandoned."""


@dataclass(frozen=True)
class Confirming:
    """One search's confirmation."""

    problem: Problem
    ledger: Ledger
    lab: Laboratory
    purse: Purse

    async def begin(self, winner: str, contenders: int, stopped: str, kept: Kept, *, on_request: bool) -> int:
        """Commit it for as many examples as the budget pays for, and return how many; too few are not committed."""
        cut = self._abandoned or on_request or self._refusing(stopped)
        gone = await self._gone(kept, on_request=on_request) if cut else self.ledger.settled
        size = await self._affordable(winner, gone if cut else self.ledger.asked + self.lab.asked)
        if size < MIN_VAL:
            return size
        spent = [gone.calls, gone.input_tokens + gone.output_tokens, gone.usd or 0.0]
        memo = {"winner": winner, "contenders": contenders, "stopped": stopped, "spent": spent}
        pairs = [(who, item.id, 0) for item in self.problem.confirm[:size] for who in (self.problem.seed_id, winner)]
        usage, calls = (NO_USAGE, ()) if cut else self.lab.decided()
        await self.ledger.commit(Round(len(self.ledger.rounds), tuple(pairs), (), memo, "confirmation", usage, calls))
        return size

    async def perform(self) -> None:
        """Evaluate the pairs of the committed confirmation, as far as the budget goes."""
        round = self.ledger.rounds[-1]
        self.lab.round = round.number
        gone = self._gone_before(round)
        couples = [round.pairs[place : place + 2] for place in range(0, len(round.pairs), 2)]
        each = await self._each([self.problem.seed_id, round.memo["winner"]])
        waiting, late = couples, set[Pair]()
        while waiting and (wave := self._fitting(waiting, each, self._left(round, gone))):
            waiting = waiting[len(wave) :]
            late.update(await self._evaluate([pair for couple in wave for pair in couple], each))
        last = [couple for couple in couples if couple in waiting or not late.isdisjoint(couple)]
        for pair in (pair for couple in last for pair in couple):
            if await self._evaluate([pair], self._left(round, gone)):
                return

    def notes(self) -> Iterator[str]:
        """What the budget did not pay for, told from the rows: another process may have begun it, or ended it."""
        pairs, whole = self.ledger.rounds[-1].pairs, len(self.problem.confirm)
        if (size := len(pairs) // 2) < whole:
            yield f"the budget left paid for {size} of {whole} confirm examples"
        if not all(self._is_over(pair) for pair in pairs):
            yield "the budget ended within the confirmation; it counts the pairs that were evaluated"

    async def _evaluate(self, pairs: Sequence[Pair], each: Amounts) -> list[Pair]:
        """Returns those for which that was not enough."""
        return await self.lab.perform_within(partial(allotted, each, self.purse.prices), pairs)

    def _fitting(self, couples: Sequence[Couple], each: Amounts, left: Amounts) -> Sequence[Couple]:
        """The first of the couples, as many as surely fit into what is left."""
        needed = 0
        for place, couple in enumerate(couples):
            needed += sum(not (self.ledger.holds(pair) or self.ledger.quarantined(pair)) for pair in couple)
            if any(needed * each[name] > amount for name, amount in left.items()):
                return couples[:place]
        return couples

    def _left(self, round: Round, gone: Usage) -> Amounts:
        return self.purse.left(gone + self.ledger.due(round.number))

    async def _each(self, candidates: Sequence[str]) -> Amounts:
        """The allowance of an evaluation of any of these, by what is limited."""
        return await self._ample(candidates, [pair for who in candidates for pair in self._on_val(who)])

    async def _ample(self, candidates: Iterable[str], known: Iterable[Pair]) -> Amounts:
        rows = [await self.ledger.read(pair) for pair in known]
        usages = [row.usage for row in rows if row is not None]
        programs = [self.problem.program_by_id(who, self.ledger.candidates[who].values) for who in candidates]
        found = ample(usages, programs, self.lab.runtime, self.purse.prices)
        return {name: found[name] for name in self.purse.left(NO_USAGE)}

    async def _affordable(self, winner: str, gone: Usage) -> int:
        """How many examples the budget pays for once `gone` is spent, at the price of both programs on val."""
        seed = await price_of(self.ledger, self._on_val(self.problem.seed_id))
        other = await price_of(self.ledger, self._on_val(winner)) or seed
        price = {name: seed.get(name, 0.0) + other.get(name, 0.0) for name in LIMITS}
        return int(min(self.purse.affordable(price, gone), len(self.problem.confirm)))

    def _on_val(self, who: str) -> list[Pair]:
        """Where a candidate is scored on val; what an abandoned round has brought is left out, since that is chance."""
        scores = self.ledger.scores(who)
        return [(who, *key) for key in self.problem.keys if key in scores]

    def _gone_before(self, round: Round) -> Usage:
        """What had been spent when it began."""
        if "spent" not in round.memo:  # it was begun by an earlier version
            return less(self.purse.asked, self.ledger.due(round.number))
        calls, tokens, usd = round.memo["spent"]
        return Usage(calls, tokens, usd=usd)

    def _refusing(self, stopped: str) -> bool:
        """Whether the budget may have refused a request for a proposal: which one hangs on what was answered first."""
        limits = self.purse.budget
        asked = self.lab.asked.calls > 0 and (limits.tokens is not None or limits.usd is not None)
        return self.lab.refused or (stopped == SPENT and asked)

    @property
    def _abandoned(self) -> bool:
        return self.ledger.folded < len(self.ledger.rounds)

    async def _gone(self, kept: Kept, *, on_request: bool) -> Usage:
        """What counts as spent where the search was cut short: at least what is.

        Where the budget cut it short, what was bought by then hangs on what finished first. So all that the search may
        have bought counts, unless a round came about as a whole, and it is certain that it always does.
        """
        least = self.purse.reserved(kept.reserve)
        if on_request:
            return _larger(least, self.purse.asked) if self._abandoned else self.purse.asked
        if not self._abandoned:
            return least
        most = replace(self.purse.reserved(kept.reserve - kept.leeway), calls=least.calls)
        round = self.ledger.rounds[self.ledger.folded]
        if self.lab.asked.calls or not all(self._is_over(pair) for pair in round.pairs):
            return most  # what was written beside it may have been refused, too
        took = replace(self.ledger.settled + self.ledger.due(round.number), calls=least.calls)
        another = await self._ample({pair[0] for pair in round.pairs}, round.pairs)
        fits = all(
            amount_of(took, name) + another.get(name, 0.0) <= amount_of(most, name) for name in ("tokens", "usd")
        )
        return took if fits else most

    def _is_over(self, pair: Pair) -> bool:
        return self.ledger.holds(pair) or self.ledger.failures(pair) > 0


def _larger(one: Usage, other: Usage) -> Usage:
    """Limit by limit, whichever is more."""
    calls, tokens, usd = (max(amount_of(one, name), amount_of(other, name)) for name in LIMITS)
    return Usage(int(calls), int(tokens), usd=usd)
