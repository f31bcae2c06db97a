"""Strategies by name: which proposers, under which schedule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dspex.errors import ConfigurationError, UnknownNameError
from dspex.optimization.deciding import Proposer, Strategy
from dspex.optimization.options import SearchOptions
from dspex.optimization.proposers.ascent import Ascent
from dspex.optimization.proposers.crossover import Crossover, Trimming
from dspex.optimization.proposers.demonstrations import BootstrapDemonstrations
from dspex.optimization.proposers.fixes import CheapFixes
from dspex.optimization.proposers.grounded import Grounded
from dspex.optimization.proposers.hypotheses import Hypotheses
from dspex.optimization.proposers.models import ModelChoice
from dspex.optimization.proposers.pareto import Merging, ParetoReflection
from dspex.optimization.proposers.playbook import Playbook
from dspex.optimization.proposers.reflection import Reflection
from dspex.optimization.proposers.rollouts import ContrastAdvice, RolloutDemonstrations
from dspex.optimization.proposers.sampling import Coordinates, LocalSteps, RandomDraws
from dspex.optimization.proposers.screening import Screening
from dspex.optimization.proposers.tpe import ParzenMoves
from dspex.optimization.schedules.table import schedule_named
from dspex.optimization.strategies.acquisition import Acquisition
from dspex.optimization.strategies.bootstrap import BootstrapSearch
from dspex.optimization.strategies.copro import Copro
from dspex.optimization.strategies.finding import factory_of, installed, made_by
from dspex.optimization.strategies.gepa import Gepa
from dspex.optimization.strategies.headroom import Headroom
from dspex.optimization.strategies.mipro import Mipro
from dspex.optimization.strategies.portfolio import Chooser, Portfolio
from dspex.optimization.strategies.simba import Simba
from dspex.optimization.surrogates.additive import AdditiveProcess

CLASSIC = "classic"
"""As a schedule: the strategy as it was published, with its own budget arithmetic and steps."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a strategy's name stands for."""

    proposers: Callable[[], tuple[Proposer, ...]]
    """Of its portfolio under a schedule."""
    schedule: str = "race"
    """Where none is asked for."""
    chooser: Callable[[], Chooser] | None = None
    """What picks new candidates; None: proposers share each round by their records."""
    headroom: bool = False
    """Whether it begins with the headroom test unless told otherwise."""
    classic: Callable[[SearchOptions], Strategy] | None = None
    """As it was published; None: it never was."""


def _random(options: SearchOptions) -> Strategy:
    """Random search (Bergstra and Bengio 2012): draws from the space, each on everything."""
    return Portfolio("random", (RandomDraws(),), options.width, schedule_named("full"))


STRATEGIES: Mapping[str, Recipe] = {
    "auto": Recipe(
        lambda: (
            CheapFixes(),
            BootstrapDemonstrations(),
            Reflection(),
            Crossover(),
            Trimming(),
            RandomDraws(),
            LocalSteps(),
        ),
        headroom=True,
    ),
    "beacon": Recipe(
        lambda: (
            CheapFixes(),
            BootstrapDemonstrations(),
            Reflection(),
            Crossover(),
            Trimming(),
            RandomDraws(),
            Coordinates(),
            ParzenMoves(),
        ),
        schedule="response",
        chooser=lambda: Acquisition(AdditiveProcess()),
        headroom=True,
    ),
    "bootstrap": Recipe(lambda: (BootstrapDemonstrations(),), classic=lambda _: BootstrapSearch()),
    "copro": Recipe(lambda: (Ascent(),), classic=lambda _: Copro()),
    "gepa": Recipe(lambda: (ParetoReflection(), Merging()), classic=lambda _: Gepa()),
    "mipro": Recipe(lambda: (BootstrapDemonstrations(), Grounded(), ParzenMoves()), classic=lambda _: Mipro()),
    "models": Recipe(lambda: (ModelChoice(),)),
    "playbook": Recipe(lambda: (Playbook(), Trimming())),
    "random": Recipe(lambda: (RandomDraws(),), classic=_random),
    "reflection": Recipe(lambda: (Reflection(),)),
    "simba": Recipe(lambda: (RolloutDemonstrations(), ContrastAdvice()), classic=lambda _: Simba()),
    "tpe": Recipe(lambda: (ParzenMoves(), Screening())),
    "vista": Recipe(lambda: (Hypotheses(), Trimming())),
}


def strategy_of(given: str | Strategy, options: SearchOptions, schedule: str | None = None) -> Strategy:
    """`given`, or the strategy of that name. Raises ConfigurationError for a schedule beside an object."""
    if isinstance(given, str):
        return strategy_named(given, options, schedule)
    if schedule is not None:
        raise ConfigurationError(
            f"schedule={schedule!r}: the strategy is an object, which decides its schedule itself; leave it out"
        )
    return given


def strategy_named(name: str, options: SearchOptions, schedule: str | None = None) -> Strategy:
    """The strategy of that name under a schedule, its own where none is named.

    `package.module:Name`, and names of the entry points in `dspex.strategies`, are users' own. Raises UnknownNameError
    for either name, ConfigurationError for what has no classic form or is no strategy.
    """
    if name not in STRATEGIES:
        strategy = _of_user(name, options, schedule)
        return Headroom(strategy) if options.headroom else strategy
    recipe = STRATEGIES[name]
    if schedule == CLASSIC:
        if recipe.classic is None:
            known = ", ".join(sorted(key for key, item in STRATEGIES.items() if item.classic)) or "none"
            raise ConfigurationError(f"strategy {name!r} has no classic schedule; those that have one: {known}")
        strategy = recipe.classic(options)
    else:
        asks = schedule_named(schedule or recipe.schedule)
        chooser = recipe.chooser() if recipe.chooser else None
        proposers = recipe.proposers()
        strategy = Portfolio(name, proposers, options.width, asks, chooser)
    wanted = recipe.headroom and schedule != CLASSIC if options.headroom is None else options.headroom
    return Headroom(strategy) if wanted else strategy


def _of_user(name: str, options: SearchOptions, schedule: str | None) -> Strategy:
    """A strategy named by import path or brought by a package; a proposer is a strategy of its own under a schedule."""
    factory = factory_of(name)
    if factory is None:
        raise UnknownNameError("strategy", name, [*STRATEGIES, *installed()])
    made = made_by(name, factory)
    if isinstance(made, Strategy):
        return strategy_of(made, options, schedule)
    asks = schedule_named(schedule or "race")
    return Portfolio(made.name, (made,), options.width, asks)
