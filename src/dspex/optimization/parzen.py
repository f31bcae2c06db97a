"""Optuna's tree-structured Parzen estimator over flat parameters: what was seen goes in, the next draws come out.

Bergstra et al. 2011, multivariate as of Falkner et al. 2018, with groups for conditional parameters, for several
objectives as of Ozaki et al. 2022, with constraints. Nothing is kept: the study is made anew of what was seen, in
memory, whenever something is to be drawn.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

from dspex.errors import ConfigurationError
from dspex.optimization.parameters import Category, Parameter, Real, Suggest, Value, shortened

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Observed:
    """The values of the active parameters by name, and how good that was; more is better."""

    values: Mapping[str, Value]
    score: float
    lower: tuple[float, ...] = ()
    """Further objectives, which are the better the lower; the same number in every observation."""
    broken: float = 0.0
    """How far it breaks a constraint: whatever breaks none is better than whatever does."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to draw."""

    count: int
    seed: int
    joint: bool | None = True
    """Parameters together, as they were seen together; otherwise each for itself, which crosses what was good in
    different observations. None: in turn, the latter first."""
    startup: int = 10
    """With fewer observations than this the draws are random."""


def installed() -> bool:
    """Whether Optuna is there."""
    return all(find_spec(name) is not None for name in ("optuna", "numpy"))


def require_optuna(wanted_by: str) -> None:
    """Raises ConfigurationError where Optuna is absent."""
    if not installed():
        raise ConfigurationError(f"{wanted_by} needs Optuna, which is not installed: pip install 'dspex[optimize]'")


def draws(
    parameters: Mapping[str, Parameter],
    observed: Sequence[Observed],
    define: Callable[[Suggest], T],
    how: Sampling,
) -> list[T]:
    """What `define` makes of `how.count` draws, one after the other; it asks for those parameters that are active.

    A draw counts as a poor one for those that follow, so that they differ. The same arguments give the same draws.
    Raises ConfigurationError where Optuna is absent.
    """
    require_optuna("a tree-structured Parzen estimator")
    import optuna  # noqa: PLC0415 - heavy, and of an extra

    known = {name: _distribution(parameter) for name, parameter in parameters.items()}
    with quiet():
        sampler = partial(
            optuna.samplers.TPESampler, constant_liar=True, n_startup_trials=how.startup, **_constrained()
        )
        samplers = [
            sampler(seed=how.seed % 2**32, multivariate=joint, group=joint)
            for joint in ((False, True) if how.joint is None else (how.joint,))
        ]
        more = len(observed[0].lower) if observed else 0
        directions = [optuna.study.StudyDirection.MAXIMIZE] + [optuna.study.StudyDirection.MINIMIZE] * more
        study = optuna.create_study(directions=directions, sampler=samplers[0])
        for item in observed:
            active = {name: known[name] for name in item.values}
            reached = [item.score, *item.lower]
            study.add_trial(
                optuna.trial.create_trial(
                    params=dict(item.values), distributions=active, values=reached,
                    system_attrs={"constraints": [item.broken]},
                )
            )  # fmt: skip
        found: list[T] = []
        for index in range(how.count):
            study.sampler = samplers[index % len(samplers)]
            trial = study.ask()
            found.append(define(partial(_suggested, trial)))
        return found


def _constrained() -> dict[str, Any]:
    """Optuna 5 goes by the constraints of the trials; before, a sampler also had to be told that there are any."""
    from optuna.trial import FrozenTrial  # noqa: PLC0415 - heavy, and of an extra

    return {} if hasattr(FrozenTrial, "constraints") else {"constraints_func": _none_of_its_own}


def _none_of_its_own(trial: object) -> tuple[float, ...]:
    return ()


def _distribution(parameter: Parameter) -> BaseDistribution:
    from optuna.distributions import (  # noqa: PLC0415 - heavy, and of an extra
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if isinstance(parameter, Category):
        return CategoricalDistribution(parameter.values)
    if isinstance(parameter, Real):
        return FloatDistribution(parameter.low, parameter.high, log=parameter.log)
    return IntDistribution(parameter.low, parameter.high, log=parameter.log, step=parameter.step)


def _suggested(trial: Trial, name: str, parameter: Parameter) -> Value:
    if isinstance(parameter, Category):
        return str(trial.suggest_categorical(name, parameter.values))
    if isinstance(parameter, Real):
        return shortened(parameter, trial.suggest_float(name, parameter.low, parameter.high, log=parameter.log))
    return trial.suggest_int(name, parameter.low, parameter.high, log=parameter.log, step=parameter.step)


@contextmanager
def quiet() -> Generator[None]:
    """Optuna tells of each study, and warns that groups may change: neither is for whoever searches a program."""
    from optuna.exceptions import ExperimentalWarning  # noqa: PLC0415 - heavy, and of an extra

    logger = logging.getLogger("optuna")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            yield
    finally:
        logger.setLevel(before)
