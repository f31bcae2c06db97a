"""What can be run of ours, by name: a variant is a function that gives the arguments of `dspex.optimize`.

To add an ablation, add a line: a name, and what it passes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dspex.optimization.ports import SearchOptions

Variant = Callable[[], Mapping[str, Any]]


def _named(strategy: str, **more: Any) -> Variant:
    return lambda: {"strategy": strategy, **more}


STRATEGIES: Mapping[str, Variant] = {
    name: _named(name) for name in ("auto", "beacon", "gepa", "mipro", "simba", "playbook", "bootstrap", "random")
}
"""As they come."""

ABLATIONS: Mapping[str, Variant] = {
    "auto-full": _named("auto", schedule="full"),
    "auto-halving": _named("auto", schedule="halving"),
    "auto-response": _named("auto", schedule="response"),
    "auto-no-headroom": _named("auto", options=SearchOptions(headroom=False)),
    "auto-no-reserve": _named("auto", options=SearchOptions(reserve=0.0)),
}
"""A strategy, then what is changed: another schedule, a part left out. What comes before the dash is compared with."""

CLASSICS: Mapping[str, Variant] = {
    f"{name}-classic": _named(name, schedule="classic") for name in ("gepa", "mipro", "simba")
}
"""As published."""

VARIANTS: Mapping[str, Variant] = {**STRATEGIES, **ABLATIONS, **CLASSICS}
