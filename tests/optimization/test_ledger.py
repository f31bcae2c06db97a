"""What a ledger promises: what is written first stays, and only what is folded is seen."""

from __future__ import annotations

import asyncio

import pytest

from dspex.kernel.ports import Usage
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.rows import Candidate, Death, Evaluation, Round

SEED = Candidate("s", {}, "seed", (), "", 0)


def row(example: str, score: float | None, round: int = 0) -> Evaluation:
    kind = "timeout" if score is None else None
    return Evaluation("s", example, 0, round, score, error_kind=kind, usage=Usage(calls=1))


def test_only_folded_rows_are_seen_and_in_the_order_of_their_pairs() -> None:
    async def scenario() -> None:
        ledger = MemoryLedger()
        await ledger.commit(Round(0, (("s", "a", 0), ("s", "b", 0), ("s", "c", 0)), (SEED,)))
        for example, score in (("c", 1.0), ("a", 0.0), ("b", 0.5)):
            await ledger.record(row(example, score))
        assert dict(ledger.scores("s")) == {}
        assert ledger.holds(("s", "a", 0))
        await ledger.fold(0)
        assert list(ledger.scores("s").items()) == [(("a", 0), 0.0), (("b", 0), 0.5), (("c", 0), 1.0)]

    asyncio.run(scenario())


def test_the_first_score_of_a_pair_stays() -> None:
    async def scenario() -> None:
        ledger = MemoryLedger()
        await ledger.commit(Round(0, (("s", "a", 0),), (SEED,)))
        await ledger.record(row("a", 1.0))
        await ledger.record(row("a", 0.0))
        await ledger.fold(0)
        assert ledger.scores("s")["a", 0] == 1.0
        assert (ledger.evaluated, ledger.usage.calls) == (2, 2)

    asyncio.run(scenario())


def test_a_failure_is_counted_and_leaves_the_pair_open() -> None:
    async def scenario() -> None:
        ledger = MemoryLedger()
        pair = ("s", "a", 0)
        await ledger.commit(Round(0, (pair,), (SEED,)))
        await ledger.record(row("a", None))
        assert (ledger.holds(pair), ledger.failures(pair), await ledger.read(pair)) == (False, 1, None)
        await ledger.record(row("a", 1.0))
        assert (ledger.holds(pair), ledger.failures(pair)) == (True, 1)

    asyncio.run(scenario())


def test_rows_of_a_proposer_are_seen_with_the_round_they_were_made_for() -> None:
    async def scenario() -> None:
        ledger = MemoryLedger()
        await ledger.commit(Round(0, (), (SEED,)))
        await ledger.fold(0)
        await ledger.record(row("t", 1.0, round=1))
        assert dict(ledger.scores("s")) == {}
        await ledger.commit(Round(1, ()))
        await ledger.fold(1)
        assert dict(ledger.scores("s")) == {("t", 0): 1.0}

    asyncio.run(scenario())


def test_rounds_are_committed_and_folded_in_order() -> None:
    async def scenario() -> None:
        ledger = MemoryLedger()
        with pytest.raises(ValueError, match="round 1 cannot follow 0 rounds"):
            await ledger.commit(Round(1, ()))
        await ledger.commit(Round(0, (), (SEED,)))
        await ledger.commit(Round(1, ()))
        with pytest.raises(ValueError, match="round 1 cannot be folded before round 0"):
            await ledger.fold(1)

    asyncio.run(scenario())


def test_a_confirmation_abandons_the_round_before_it() -> None:
    async def scenario() -> None:
        ledger = MemoryLedger()
        await ledger.commit(Round(0, (), (SEED,)))
        await ledger.fold(0)
        await ledger.commit(Round(1, (("s", "a", 0), ("s", "b", 0))))
        await ledger.record(row("a", 1.0, round=1))
        await ledger.commit(Round(2, (("s", "z", 0),), purpose="confirmation"))
        await ledger.record(row("z", 1.0, round=2))
        await ledger.fold(2)
        assert dict(ledger.scores("s")) == {("z", 0): 1.0}
        assert ledger.folded == 3

    asyncio.run(scenario())


def test_an_example_is_quarantined_for_a_candidate_at_once_and_for_all_by_the_fold_only() -> None:
    """Within a round it would depend on who was evaluated first what the others are asked."""

    async def scenario() -> None:
        ledger = MemoryLedger()
        pairs = tuple((candidate, "a", 0) for candidate in ("s", "t", "u"))
        await ledger.commit(Round(0, pairs, (SEED,)))
        for candidate, kills in (("s", 1), ("s", 2), ("t", 1), ("t", 2)):
            await ledger.record(Evaluation(candidate, "a", 0, 0, None, error_kind="crash"))
            await ledger.blame(Death(candidate, "a", kills, "crash"))
        assert [ledger.quarantined(pair) for pair in pairs] == [True, True, False]
        await ledger.fold(0)
        assert [ledger.quarantined(pair) for pair in pairs] == [True, True, True]
        assert [ledger.failures(pair) for pair in pairs] == [2, 2, 1], "nobody is to ask for it again"
        assert not ledger.quarantined(("u", "b", 0))

    asyncio.run(scenario())


def test_one_kill_quarantines_nothing() -> None:
    async def scenario() -> None:
        ledger = MemoryLedger()
        await ledger.commit(Round(0, (("s", "a", 0),), (SEED,)))
        await ledger.record(Evaluation("s", "a", 0, 0, None, error_kind="crash"))
        await ledger.blame(Death("s", "a", 1, "crash"))
        await ledger.fold(0)
        assert not ledger.quarantined(("s", "a", 0))

    asyncio.run(scenario())
