"""Schedules by name."""

from __future__ import annotations

from collections.abc import Mapping

from dspex.errors import UnknownNameError
from dspex.optimization.deciding import ScheduleOf
from dspex.optimization.schedules.halving import full, halving
from dspex.optimization.schedules.racing import Race
from dspex.optimization.schedules.response import response

SCHEDULES: Mapping[str, ScheduleOf] = {"full": full, "halving": halving, "race": Race, "response": response}
"""Where the next evaluations go, by name. `classic` is no row: it is a strategy as it was published."""


def schedule_named(name: str) -> ScheduleOf:
    """The schedule of that name. Raises UnknownNameError."""
    if name not in SCHEDULES:
        raise UnknownNameError("schedule", name, [*SCHEDULES, "classic"])
    return SCHEDULES[name]
