"""The rows of the peers that come with the project."""

from __future__ import annotations

from benchmarks.optimizers import plan
from benchmarks.optimizers.__main__ import RECORDED
from benchmarks.optimizers.baselines import BASELINES
from benchmarks.optimizers.rows import load


def test_the_report_has_a_row_of_every_run_of_a_peer() -> None:
    rows = load(RECORDED)
    asked = {job.key for job in plan.report(plan.SEEDS, plan.BUDGET) if job.theirs or job.strategy in BASELINES}
    assert {row.key for row in rows} == asked
    assert len(rows) == len(asked), "two states of the simulator are mixed"
    assert not [row for row in rows if row.error]
