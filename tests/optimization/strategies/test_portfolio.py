"""The portfolio: those proposers that brought more are asked for more, unless they take turns."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from dspex.kernel.ports import JSON, Request
from dspex.kernel.variables import Text
from dspex.optimization.deciding import SearchView, Turn, VariableKind
from dspex.optimization.rows import Proposal
from dspex.optimization.strategies.portfolio import Portfolio
from tests.optimization.searching import searched
from tests.optimization.simulators import answered, guidance, program, share, text_in


@dataclass(frozen=True)
class Writer:
    """Writes what the model makes more of from number to number, or nothing of."""

    name: str

    needs: frozenset[VariableKind] = frozenset({"text"})

    async def propose(self, turn: Turn) -> list[Proposal]:
        first = len(turn.search.ledger.candidates)
        return [
            Proposal({"label.instructions": f"Go by {self.name} {first + place}"}, self.name)
            for place in range(turn.count)
        ]


def climbing(request: Request) -> str:
    words = guidance(request).split()
    number = int(words[words.index("helpful") + 1]) if "helpful" in words else 0
    text = text_in(request)
    return answered(text, share(text) < 0.3 + 0.006 * min(100, number))


def asked(*, bandit: bool) -> Counter[str]:
    strategy = Portfolio("both", (Writer("helpful"), Writer("idle")), width=6, bandit=bandit)
    result = searched(program(instructions=Text()), climbing, 1500, strategy=strategy)
    return Counter(item.operator for item in result.ledger.candidates.values())


def test_what_brings_more_is_asked_for_more_and_without_the_bandit_for_as_much_as_the_rest() -> None:
    by_record, in_turn = asked(bandit=True), asked(bandit=False)
    assert by_record["helpful"] > 1.5 * by_record["idle"]
    assert abs(in_turn["helpful"] - in_turn["idle"]) < 0.3 * in_turn.total()
    assert in_turn["helpful"] / in_turn.total() < by_record["helpful"] / by_record.total() - 0.1


@dataclass(frozen=True)
class Sparing(Writer):
    """Makes one proposal, however many it is asked for."""

    async def propose(self, turn: Turn) -> list[Proposal]:
        return (await super().propose(turn))[:1]


@dataclass(frozen=True)
class Slow(Writer):
    """Takes long to write (`Drafting`)."""

    turns: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """Of each, the round and for how many."""

    async def propose(self, turn: Turn) -> list[Proposal]:
        return await self.write(turn.search, await self.draft(turn))

    async def draft(self, turn: Turn) -> JSON:
        self.turns.append((turn.search.number, turn.count))
        return {"first": len(turn.search.ledger.candidates), "count": turn.count}

    async def write(self, search: SearchView, draft: JSON) -> list[Proposal]:
        numbers = range(draft["first"], draft["first"] + draft["count"])
        return [Proposal({"label.instructions": f"Go by {self.name} {number}"}, self.name) for number in numbers]


def test_who_takes_long_is_asked_once_a_round_also_for_what_others_did_not_bring() -> None:
    slow = Slow("helpful")
    strategy = Portfolio("both", (slow, Sparing("idle")), width=6, bandit=False)
    searched(program(instructions=Text()), climbing, 800, strategy=strategy)
    rounds = [number for number, _ in slow.turns]
    assert len(rounds) == len(set(rounds)) > 5
    assert max(count for _, count in slow.turns) > 3
