"""The checks that ship: what comes with DSPEx passes, and each kind of fault is found."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dspex.errors import ConfigurationError, UnknownNameError
from dspex.kernel.ports import Request
from dspex.kernel.variables import Float
from dspex.optimization.deciding import SearchView, Turn, VariableKind
from dspex.optimization.options import SearchOptions
from dspex.optimization.proposers.crossover import Crossover, Trimming
from dspex.optimization.proposers.demonstrations import BootstrapDemonstrations
from dspex.optimization.proposers.fixes import CheapFixes
from dspex.optimization.proposers.reflection import Reflection
from dspex.optimization.proposers.sampling import LocalSteps, RandomDraws
from dspex.optimization.rows import Proposal, Round
from dspex.optimization.schedules.table import SCHEDULES
from dspex.optimization.strategies import finding
from dspex.optimization.strategies.portfolio import Portfolio
from dspex.optimization.strategies.table import STRATEGIES, strategy_named
from dspex.testing.strategies import check_proposer, check_schedule, check_strategy
from tests.optimization.searching import searched
from tests.optimization.simulators import cool, program


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_every_strategy_conforms(name: str) -> None:
    check_strategy(lambda: strategy_named(name, SearchOptions()))


@pytest.mark.parametrize(
    "proposer", [BootstrapDemonstrations, CheapFixes, Crossover, LocalSteps, RandomDraws, Reflection, Trimming]
)
def test_proposers_conform(proposer: Callable[[], Any]) -> None:
    check_proposer(proposer)


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_every_schedule_conforms(name: str) -> None:
    check_schedule(SCHEDULES[name])


class Drawn(RandomDraws):
    """A sound proposer to spoil."""

    name = "drawn"


class Global(Drawn):
    async def propose(self, turn: Turn) -> list[Proposal]:
        return await super().propose(replace(turn, rng=random.Random()))


class Stateful(Drawn):
    def __init__(self) -> None:
        self.turns = 0

    async def propose(self, turn: Turn) -> list[Proposal]:
        self.turns += 1
        return (await super().propose(turn))[: self.turns]


class Aimless(Drawn):
    needs: frozenset[VariableKind] = frozenset()


class Orphan(Drawn):
    async def propose(self, turn: Turn) -> list[Proposal]:
        return [replace(item, parents=("nobody",)) for item in await super().propose(turn)]


@pytest.mark.parametrize(
    ("proposer", "message"),
    [
        (Global, "the same answers gave another search"),
        (Stateful, "carried on after round .*decide by ledger, memo"),
        (Aimless, "`needs` is empty"),
        (Orphan, "parent that the ledger does not know"),
    ],
)
def test_a_proposer_that_does_not_keep_the_rules_is_told_which(proposer: Callable[[], Any], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_proposer(proposer)


class Spoiling(Portfolio):
    """A portfolio whose rounds are changed."""

    def spoiled(self, decided: Round) -> Round:
        return decided

    async def next_round(self, search: SearchView) -> Round | str:
        decided = await super().next_round(search)
        return decided if isinstance(decided, str) else self.spoiled(decided)


class Forgetful(Spoiling):
    def spoiled(self, decided: Round) -> Round:
        return replace(decided, memo={**decided.memo, "seen": {1: "a key that JSON turns into a text"}})


class Opaque(Spoiling):
    def spoiled(self, decided: Round) -> Round:
        return replace(decided, memo={**decided.memo, "seen": {1, 2}})


class Careless(Spoiling):
    def spoiled(self, decided: Round) -> Round:
        hot = [replace(item, values={**item.values, "label.temperature": 9}) for item in decided.candidates]
        return replace(decided, candidates=tuple(hot))


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (Forgetful, "comes back from JSON as something else"),
        (Opaque, "is no JSON"),
        (Careless, "an invalid candidate was to be paid for: .*label.temperature"),
    ],
)
def test_a_strategy_that_does_not_keep_the_rules_is_told_which(strategy: type[Portfolio], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_strategy(lambda: strategy("spoilt", (Drawn(),)))


def test_a_proposer_named_by_import_path_is_a_strategy() -> None:
    named = f"{RandomDraws.__module__}:RandomDraws"
    by_path = searched(program(temperature=Float(0, 1, default=1)), cool, 400, strategy=named)
    by_name = searched(program(temperature=Float(0, 1, default=1)), cool, 400, strategy="random")
    assert by_path.improved
    assert (by_path.program, by_path.strategy) == (by_name.program, "random")


@pytest.mark.parametrize(
    ("named", "error", "message"),
    [
        ("nowhere.at_all:Thing", ConfigurationError, "nowhere.at_all cannot be imported: ModuleNotFoundError"),
        (f"{RandomDraws.__module__}:RandomDrawz", UnknownNameError, "did you mean 'RandomDraws'"),
        (f"{RandomDraws.__module__}:TYPED", ConfigurationError, "names a frozenset"),
        ("dspex.clients.budget:Budget", ConfigurationError, "is a Budget, neither a strategy .it lacks name"),
        (f"{Portfolio.__module__}:Portfolio", ConfigurationError, "made without arguments"),
    ],
)
def test_a_name_that_leads_to_no_strategy_is_refused(named: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        strategy_named(named, SearchOptions())


def test_strategies_of_an_installed_package_have_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = tmp_path / "mine-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n", encoding="utf-8")
    target = f"{RandomDraws.__module__}:RandomDraws"
    (about / "entry_points.txt").write_text(f"[{finding.GROUP}]\ndicing = {target}\n", encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert finding.installed() == ["dicing"]
    assert strategy_named("dicing", SearchOptions()).name == "random"
    with pytest.raises(UnknownNameError, match="did you mean 'dicing'"):
        strategy_named("dicin", SearchOptions())


def test_a_model_is_asked_nothing_beyond_the_budget() -> None:
    class Spendthrift(Drawn):
        async def propose(self, turn: Turn) -> list[Proposal]:
            lab: Any = turn.search.lab
            lm = lab.runtime.lm._lm  # what no proposer should reach for
            for number in range(100):
                await lm.complete(Request("scripted/conformance", ({"role": "user", "content": "more"},), {}, number))
            return await super().propose(turn)

    with pytest.raises(AssertionError, match="calls were sent on a budget of 240"):
        check_proposer(Spendthrift)
