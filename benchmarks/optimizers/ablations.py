"""Strategies with a part taken out, or one more put in: what a part is worth is the difference.

To add one, add a line to `ABLATIONS`: a name that begins with the strategy it is compared with, and what is passed to
`dspex.optimize`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist, fmean, pvariance
from typing import Any

from dspex.optimization.deciding import Proposer, ScheduleOf, SearchView
from dspex.optimization.options import SearchOptions
from dspex.optimization.proposers.models import ModelChoice
from dspex.optimization.proposers.reflection import Reflection
from dspex.optimization.proposers.sampling import TYPED, LocalSteps
from dspex.optimization.proposers.screening import Screening
from dspex.optimization.proposers.tpe import ParzenMoves
from dspex.optimization.schedules.comparing import Key, ranked
from dspex.optimization.schedules.racing import Race
from dspex.optimization.schedules.response import response
from dspex.optimization.strategies.acquisition import Acquisition
from dspex.optimization.strategies.headroom import Headroom
from dspex.optimization.strategies.portfolio import Portfolio
from dspex.optimization.strategies.table import strategy_named
from dspex.optimization.surrogates.additive import AdditiveProcess

Variant = Callable[[], Mapping[str, Any]]


@dataclass(frozen=True)
class Unpaired:
    """`Comparison` that buys the same evaluations and compares the two means as if they were of different examples."""

    def keys(self, search: SearchView, incumbent: str, challenger: str, size: int) -> Sequence[Key]:
        return search.problem.keys[:size]

    def chance(self, search: SearchView, challenger: str, other: str, size: int) -> float:
        ours, theirs = ([*search.ledger.scores(item).values()] for item in (challenger, other))
        if not ours or not theirs:
            return 0.5
        # One right and one wrong answer are added to each, so that no spread is 0.
        spread = sum(pvariance([*scores, 0.0, 1.0]) / len(scores) for scores in (ours, theirs))
        return NormalDist().cdf((fmean(ours) - fmean(theirs)) / math.sqrt(spread))

    def ranking(self, search: SearchView, top: int) -> list[str]:
        return ranked(search, top)


def unpaired(width: int, top: int) -> Race:
    """The race without pairing."""
    return Race(width, top, "unpaired", Unpaired())


def _changed(strategy: str, **more: Any) -> Variant:
    return lambda: {"strategy": strategy, **more}


def _portfolio(strategy: str) -> tuple[Portfolio, bool]:
    """A strategy's portfolio as it comes, and whether the headroom test goes before it."""
    found = strategy_named(strategy, SearchOptions())
    inner = found.inner if isinstance(found, Headroom) else found
    assert isinstance(inner, Portfolio)
    return inner, inner is not found


def _parts(strategy: str, **parts: Any) -> Variant:
    """The strategy with other parts of its portfolio."""

    def make() -> Mapping[str, Any]:
        portfolio, tested = _portfolio(strategy)
        changed = replace(portfolio, **parts)
        return {"strategy": Headroom(changed) if tested else changed}

    return make


def _without(strategy: str, *names: str) -> Variant:
    def make() -> Mapping[str, Any]:
        kept = tuple(item for item in _portfolio(strategy)[0].proposers if item.name not in names)
        return _parts(strategy, proposers=kept)()

    return make


def _with(strategy: str, *added: Callable[[], Proposer]) -> Variant:
    def make() -> Mapping[str, Any]:
        proposers = (*_portfolio(strategy)[0].proposers, *(item() for item in added))
        return _parts(strategy, proposers=proposers)()

    return make


def _beacon(*, schedule: ScheduleOf = response, surrogate: bool = True, **parts: bool) -> Variant:
    def make() -> Mapping[str, Any]:
        chooser = Acquisition(AdditiveProcess() if surrogate else None, **parts)
        return _parts("beacon", schedule=schedule, chooser=chooser)()

    return make


def _with_one_pass() -> Mapping[str, Any]:
    proposers = _portfolio("auto")[0].proposers
    once = tuple(Reflection(passes=1) if isinstance(item, Reflection) else item for item in proposers)
    return _parts("auto", proposers=once)()


UNCONFIRMED = "unconfirmed"
"""Beside what is passed on: nothing is confirmed, and what counts is the candidate that led at the end."""

ABLATIONS: Mapping[str, Variant] = {
    "auto-full": _changed("auto", schedule="full"),
    "auto-halving": _changed("auto", schedule="halving"),
    "auto-response": _changed("auto", schedule="response"),
    "auto-unpaired": _parts("auto", schedule=unpaired),
    "auto-no-bandit": _parts("auto", bandit=False),
    "auto-no-headroom": _changed("auto", options=SearchOptions(headroom=False)),
    "auto-no-reserve": _changed("auto", options=SearchOptions(reserve=0.0), **{UNCONFIRMED: True}),
    "auto-one-pass": _with_one_pass,
    "auto-with-surrogate": _parts("auto", chooser=Acquisition(AdditiveProcess(), stopping=False)),
    "auto-with-screening": _with("auto", Screening),
    "auto-with-tpe": _with("auto", lambda: ParzenMoves(needs=TYPED)),
    "auto-with-models": _with("auto", ModelChoice),
    "tpe-no-screening": _without("tpe", "screening"),
    "tpe-with-steps": _with("tpe", LocalSteps),
    "beacon-no-surrogate": _beacon(surrogate=False),
    "beacon-no-item-response": _beacon(schedule=Race, item_response=False),
    "beacon-no-bandit": _beacon(bandit=False),
    "beacon-no-cooling": _beacon(cooling=False),
    "beacon-no-stopping": _beacon(stopping=False),
}
"""What comes before the first dash is what it is compared with."""

WORDS: Mapping[str, str] = {
    "auto-full": "no race: every candidate on every example",
    "auto-halving": "no race: the better half is kept",
    "auto-response": "item response says which examples are asked",
    "auto-unpaired": "no pairing: means are compared as if of different examples",
    "auto-no-bandit": "no bandit: every proposer gets as much",
    "auto-no-headroom": "no headroom test",
    "auto-no-reserve": "no reserve: nothing is confirmed, the leader is returned",
    "auto-one-pass": "texts are written in one pass instead of four",
    "auto-with-surrogate": "BEACON's surrogate and acquisition",
    "auto-with-screening": "a factorial design of the typed variables",
    "auto-with-tpe": "Optuna's estimator for the typed variables",
    "auto-with-models": "models step by step",
    "tpe-no-screening": "no factorial design",
    "tpe-with-steps": "local steps",
    "beacon-no-surrogate": "no surrogate",
    "beacon-no-item-response": "no item response: means, and the plain race",
    "beacon-no-bandit": "no bandit: every second candidate is new text",
    "beacon-no-cooling": "costs do not count",
    "beacon-no-stopping": "only the budget ends it",
}
"""What each is, for the page."""
