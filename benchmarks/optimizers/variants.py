"""What can be run of ours, by name: a variant is a function that gives the arguments of `dspex.optimize`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.optimizers.ablations import ABLATIONS

Variant = Callable[[], Mapping[str, Any]]


def _named(strategy: str, **more: Any) -> Variant:
    return lambda: {"strategy": strategy, **more}


STRATEGIES: Mapping[str, Variant] = {
    name: _named(name)
    for name in (
        "auto", "beacon", "gepa", "mipro", "simba", "vista", "copro", "playbook", "bootstrap", "models",
    )
}  # fmt: skip
"""As they come."""

CLASSICS: Mapping[str, Variant] = {
    f"{name}-classic": _named(name, schedule="classic") for name in ("gepa", "mipro", "simba")
}
"""As published."""

BASELINE: Mapping[str, Variant] = {
    "random": _named("random"), "random-halving": _named("random", schedule="halving"), "tpe": _named("tpe"),
}  # fmt: skip
"""What anyone would try first: random candidates in a race, or the better half kept; an estimator alone."""

VARIANTS: Mapping[str, Variant] = {**STRATEGIES, **BASELINE, **CLASSICS, **ABLATIONS}
