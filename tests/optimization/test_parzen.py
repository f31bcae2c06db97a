"""Draws by Optuna's estimator from what was observed."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from dataclasses import replace

import pytest

from dspex.errors import ConfigurationError
from dspex.optimization.parameters import Category, Parameter, Real, Suggest, Value, Whole
from dspex.optimization.parzen import Observed, Sampling, draws

PARAMETERS: Mapping[str, Parameter] = {
    "heat": Real(0, 1), "size": Whole(1, 64, log=True), "kind": Category(("a", "b", "c")), "inner": Real(0, 1),
}  # fmt: skip


def defined(suggest: Suggest) -> dict[str, Value]:
    """`inner` is active where the kind is `a`."""
    values = {name: suggest(name, PARAMETERS[name]) for name in ("heat", "size", "kind")}
    return values | ({"inner": suggest("inner", PARAMETERS["inner"])} if values["kind"] == "a" else {})


def good(values: Mapping[str, Value]) -> float:
    """Best at a heat of 0.3, kind a, and there an inner of 0.8."""
    inner = 1 - abs(float(values["inner"]) - 0.8) if "inner" in values else 0.0
    return inner - abs(float(values["heat"]) - 0.3)


def observed(count: int) -> list[Observed]:
    return [Observed(values, good(values)) for values in draws(PARAMETERS, [], defined, Sampling(count, 7))]


def test_the_same_observations_and_seed_give_the_same_draws() -> None:
    seen = observed(30)
    found = [draws(PARAMETERS, seen, defined, Sampling(4, seed)) for seed in (1, 1, 2, 0)]
    assert found[0] == found[1]
    assert len({str(item) for item in found}) == 3


@pytest.mark.parametrize("joint", [True, False, None])
def test_draws_go_where_it_was_good_and_keep_the_conditions(joint: bool | None) -> None:
    seen = observed(60)
    found = draws(PARAMETERS, seen, defined, Sampling(20, 3, joint))
    assert all(("inner" in item) == (item["kind"] == "a") for item in found)
    mean = sum(item.score for item in seen) / len(seen)
    assert sum(map(good, found)) / len(found) > mean + 0.25
    assert sum(item["kind"] == "a" for item in found) > 12
    assert len({item["heat"] for item in found}) > 10, "draws of one round differ"


def test_what_breaks_a_constraint_counts_less_than_whatever_breaks_none() -> None:
    """The best heat breaks the constraint, that it stays above 0.6."""
    seen = [replace(item, broken=max(0.0, 0.6 - float(item.values["heat"]))) for item in observed(60)]
    for lower in ((), (1.0,)):
        told = [replace(item, lower=lower) for item in seen]
        heats = [float(item["heat"]) for item in draws(PARAMETERS, told, defined, Sampling(30, 3, None))]
        assert sum(heat >= 0.6 for heat in heats) > 15
    free = [float(item["heat"]) for item in draws(PARAMETERS, observed(60), defined, Sampling(30, 3, None))]
    assert sum(heat >= 0.6 for heat in free) < 10


def test_with_little_seen_the_draws_spread_over_the_whole() -> None:
    heats = [float(item["heat"]) for item in draws(PARAMETERS, observed(5), defined, Sampling(60, 0))]
    assert min(heats) < 0.1
    assert max(heats) > 0.9


def test_nothing_is_said_and_no_setting_of_optuna_is_left_changed(capfd: pytest.CaptureFixture[str]) -> None:
    before = logging.getLogger("optuna").level
    draws(PARAMETERS, observed(12), defined, Sampling(2, 1))
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("optuna").level == before


def test_without_optuna_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'dspex\[optimize\]'"):
        draws(PARAMETERS, [], defined, Sampling(1, 0))
