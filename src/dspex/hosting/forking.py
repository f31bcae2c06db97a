"""A new run from the rows of another: with more budget, or with another strategy or seed."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from sqlalchemy import Connection

from dspex.clients.budget import Budget
from dspex.errors import ConfigurationError
from dspex.hosting.building import changed, fingerprints, strategy_code
from dspex.hosting.specification import Carried, RunSpec
from dspex.kernel.ports import JSON, Usage
from dspex.optimization.limits import proposal_limit
from dspex.optimization.options import SearchOptions
from dspex.optimization.strategies.table import strategy_named
from dspex.storage import runs
from dspex.storage.budgets import standing
from dspex.storage.forks import carry_over

LIMITS = ("calls", "tokens", "usd")


def fork(
    connection: Connection, source: str, *, budget: Budget | None = None, seed: int | None = None,
    strategy: str | None = None,
) -> str:  # fmt: skip
    """Make the fork of `source`, queued, in the caller's transaction; returns its id.

    With the same strategy and seed it goes on where `source` was: rounds, candidates and evaluations are copied, and
    what they consumed counts against the budget of the fork, though nobody pays it again. With another strategy or
    seed, or where code that decides scores has changed, no row is copied: it starts at the beginning, and every call
    that any run of the store has made is answered from the store, free and uncounted. Where the store
    has a shared budget in tokens or dollars, its proposals have a limit. Raises ConfigurationError where the budget
    leaves no room.
    """
    row = runs.find(connection, source)
    spec = RunSpec.model_validate(row.spec)
    wanted = budget or Budget.model_validate(row.budget)
    code_changed = bool(changed(spec))
    if strategy is not None:
        strategy_named(strategy, SearchOptions(**spec.options), spec.schedule)
    continues = not code_changed and strategy in (None, spec.strategy) and seed in (None, spec.seed)
    id = f"{row.name[:24]}-{secrets.token_hex(3)}"
    values: dict[str, JSON] = {
        "seed": spec.seed if seed is None else seed,
        "strategy": strategy or spec.strategy,
        "budget": wanted,
        "carried": None,
        "fingerprints": fingerprints(spec.metric, spec.imports),
    }
    if strategy is not None and strategy != spec.strategy:
        values["imports"] = (*spec.imports, *strategy_code(strategy))
        values["live"] = tuple(text for text in spec.live if not text.startswith("the strategy "))
    if (shared := standing(connection)) is not None and (limit := proposal_limit(shared.budget)):
        given: Mapping[str, JSON] = spec.options.get("proposer_settings", {})
        values["options"] = {**spec.options, "proposer_settings": {**limit, **given}}
    made = spec.model_copy(update=values)
    head = {
        "id": id, "name": row.name, "program": row.program, "base_version": row.base_version, "parent": row.id,
        "budget": wanted.model_dump(exclude_none=True), "strategy": made.strategy, "seed": made.seed,
    }  # fmt: skip
    runs.create(connection, {**head, "spec": made.model_dump(mode="json")})
    carried = carry_over(connection, row.id, id) if continues else None
    if carried is not None:
        _check_room(row.id, wanted, carried)
        made = made.model_copy(update={"carried": Carried(**plain_usage(carried))})
        runs.respecified(connection, id, made.model_dump(mode="json"))
    runs.note(connection, id, "run.forked", {"from": row.id, "evaluations": continues, "code_changed": code_changed})
    return id


def plain_usage(usage: Usage) -> dict[str, JSON]:
    """A usage as JSON."""
    names = ("calls", "input_tokens", "output_tokens", "usd", "cached_calls", "retries")
    return {name: getattr(usage, name) for name in names}


def _check_room(source: str, budget: Budget, carried: Usage) -> None:
    used = {"calls": carried.calls, "tokens": carried.input_tokens + carried.output_tokens, "usd": carried.usd or 0.0}
    for name in LIMITS:
        limit = getattr(budget, name)
        if limit is not None and used[name] >= limit * 0.98:
            raise ConfigurationError(
                f"run {source} has used {used[name]:g} of {limit:g} {name}, which count in its fork too "
                f"(though nothing is paid again); give the fork a larger budget"
            )
