"""Limits on answers: without one, no call under a budget in tokens or dollars could be known to fit into it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dspex.clients.budget import Budget, bound
from dspex.clients.prices import Prices
from dspex.clients.stack import ModelStack
from dspex.errors import ConfigurationError
from dspex.kernel.execution import Prepared, Stage, prepare
from dspex.kernel.ports import JSON, Request, Runtime
from dspex.kernel.program import Program
from dspex.optimization.options import SearchOptions
from dspex.optimization.rollouts import as_taught

PROPOSAL_TOKENS = 8_000
"""The most tokens of a proposal where the budget needs a limit: several times what a text of instructions takes, since
models that think first count that, too. The same for every such budget: a larger one must not change the requests."""


def weighs_answers(budget: Budget) -> bool:
    """Whether it counts tokens or dollars, so that every request needs a limit on its answer."""
    return budget.tokens is not None or budget.usd is not None


def proposal_limit(budget: Budget) -> Mapping[str, JSON]:
    """The settings that a request to the proposer model needs for this budget."""
    return {"max_tokens": PROPOSAL_TOKENS} if weighs_answers(budget) else {}


def check_limits(prepared: Prepared, budget: Budget, runtime: Runtime, hint: str | None = None) -> None:
    """Raises ConfigurationError for a step whose calls the budget could not bound, before anything is paid.

    `hint` is how to give it a limit, where that is no option of a step.
    """
    if not weighs_answers(budget):
        return
    prices = _prices(runtime)
    for stage in _stages(prepared.stages):
        if not stage.spec.calls_model:
            continue
        limit = {name: value for name, value in stage.options.items() if name == "max_tokens"}
        try:
            bound(Request(str(stage.options.get("model") or runtime.model), (), limit), budget, prices)
        except ConfigurationError as error:
            how = "" if limit else f" ({hint or f'an option of step {stage.path!r}: max_tokens: 1000'})"
            raise ConfigurationError(f"step {stage.path!r}: {error}{how}") from error


def check_models(program: Program, options: SearchOptions, budget: Budget, runtime: Runtime) -> None:
    """Raises ConfigurationErrors for a model of the options that cannot be called, or whose calls the budget could not
    bound, before anything is paid."""
    if (proposer := options.proposer_model) is not None:
        runtime.lm.capabilities(proposer)
        settings = {**proposal_limit(budget), **options.proposer_settings}
        try:
            bound(Request(proposer, (), settings), budget, _prices(runtime))
        except ConfigurationError as error:
            raise ConfigurationError(f"the proposer model: {error}") from error
    if (teacher := options.teacher_model) is not None:
        runtime.lm.capabilities(teacher)
        try:
            check_limits(prepare(as_taught(program, runtime.modules, teacher), runtime), budget, runtime)
        except ConfigurationError as error:
            raise ConfigurationError(f"the teacher model: {error}") from error


def _prices(runtime: Runtime) -> Prices:
    return runtime.lm.policies.prices if isinstance(runtime.lm, ModelStack) else Prices()


def _stages(found: Iterable[Stage]) -> Iterable[Stage]:
    for stage in found:
        yield stage
        yield from _stages(stage.children.values())
