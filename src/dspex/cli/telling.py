"""What is said of a run: its status, and what to type next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from dspex.cli.output import marked, say
from dspex.cli.watching import figures
from dspex.durable import Run
from dspex.hosting.status import RunStatus
from dspex.storage.runs import RESTING

BROKEN = ("failed", "crashed")


def facts(status: RunStatus, result: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A run's status as JSON, with the result where there is one."""
    data = asdict(status)
    data["budget"] = status.budget.model_dump(exclude_none=True)
    if result is not None:
        data["result"] = dict(result)
    return data


def tell(status: RunStatus, run: Run) -> None:
    """A run's status for people, and what to type next."""
    for line in figures(status):
        say(line)
    for item in run.failures(3):
        say(f"  failed     round {item.round}, {item.example}: {item.error}")
    for killer in run.quarantined():
        say(f"  quarantine example {killer.example}, candidate {killer.candidate}: {killer.reason}")
    if status.state in ("completed", "stopped") and (result := run.result()) is not None:
        say(marked(run.report(explain=False)).rstrip())
        tell_promotion(status.program, result)
    say(next_step(status))


def tell_promotion(program: str | None, result: Mapping[str, Any] | None) -> None:
    """Whether a gain over a stored program has become its newest version, and if not, why."""
    promotion: Mapping[str, Any] | None = None if result is None else result.get("promotion")
    if result is None or promotion is None or program is None or not result["improved"]:
        return
    if promotion["promoted"]:
        label = f", {promotion['label']}" if promotion["label"] else ""
        say(f"stored as {promotion['program']}@{promotion['version']}{label}")
    else:
        say(f"not promoted: {promotion['why']}; the run keeps what it found")


def next_step(status: RunStatus) -> str:
    """What to type next."""
    id = status.id
    if status.orphaned:
        return f"next: nothing carries it any more: dspex runs resume {id}"
    if status.stalled:
        return f"next: its process is there and does not move: dspex runs stop {id} --now"
    if status.waiting:
        return f"next: it goes on by itself; to ask now: dspex runs resume {id}; to leave it: dspex runs pause {id}"
    if status.state in ("paused", *BROKEN):
        return f"next: dspex runs resume {id}"
    if status.state in RESTING:
        return f"next: dspex runs export {id} --out FILE, or dspex runs fork {id} --calls N"
    return f"next: dspex runs watch {id}"
