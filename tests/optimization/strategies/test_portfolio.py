"""The portfolio: those proposers that brought more are asked for more, unless they take turns."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from dspex.kernel.ports import Request
from dspex.kernel.variables import Text
from dspex.optimization.deciding import Turn, VariableKind
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
