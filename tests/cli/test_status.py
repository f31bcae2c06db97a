"""What the command says of a run: show, list and report tell the same."""

from __future__ import annotations

from pathlib import Path

import dspex as library
from dspex.clients.budget import Budget
from dspex.evaluation.metrics import ExactMatch
from dspex.kernel.variables import Text
from dspex.optimization.options import SearchOptions
from tests.cli.conftest import Dspex
from tests.optimization.simulators import hinted, program, runtime, splits


def test_after_an_end_without_a_confirmation_the_score_is_that_of_the_program_that_is_kept(
    dspex: Dspex, tmp_path: Path
) -> None:
    train, val, confirm = splits()
    result = library.optimize(
        program(instructions=Text()), train, val, ExactMatch("label"), runtime(hinted), confirm=confirm,
        budget=Budget(calls=400), options=SearchOptions(reserve=0.0), store=tmp_path / ".dspex" / "dspex.db",
    )  # fmt: skip
    assert result.verdict is None
    kept = next(row.score for row in result.tried if row.operator == "seed")
    assert result.tried[0].score > kept, "a better one led, and was not confirmed"
    shown = dspex("runs", "show", result.run, "--json").data
    (listed,) = dspex("runs", "list", "--json").data["runs"]
    assert (shown["best_score"], shown["seed_score"], shown["confirmed"]) == (kept, kept, False)
    assert (listed["best_score"], listed["confirmed"]) == (kept, False)
    assert (
        f"best       {kept:.3f}   seed program {kept:.3f}   on val, not confirmed"
        in dspex("runs", "show", result.run).out
    )
    assert f"{kept:.3f} on val" in dspex("runs", "list").out
    assert f"the seed program has {kept:.3f}; higher scores below" in dspex("runs", "report", result.run).out


def test_what_a_fork_carried_over_is_in_what_it_has_spent_of_its_budget(dspex: Dspex, tmp_path: Path) -> None:
    train, val, confirm = splits()
    result = library.optimize(
        program(instructions=Text()), train, val, ExactMatch("label"), runtime(hinted), confirm=confirm,
        budget=Budget(calls=400), options=SearchOptions(reserve=0.0), store=tmp_path / ".dspex" / "dspex.db",
    )  # fmt: skip
    with library.attach(result.run) as run:
        fork = run.fork(budget=Budget(calls=900, tokens=10**9)).id
    made = dspex("runs", "show", fork, "--json").data
    assert (made["calls"], made["carried"]) == (0, made["spent"])
    assert 0 < made["spent"]["calls"] <= 400
    assert made["spent"]["tokens"] > 0
    shown = dspex("runs", "show", fork).out
    calls, tokens = made["spent"]["calls"], made["spent"]["tokens"]
    assert f"{calls:,} of 900 calls, {tokens:,} of 1,000,000,000 tokens" in shown
    assert f"({calls:,} calls of it carried over)" in shown
