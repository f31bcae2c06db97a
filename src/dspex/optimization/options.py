"""How a search runs, beside what it searches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from dspex.kernel.ports import JSON


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How a search runs, beside what it searches."""

    concurrency: int = 16
    """Evaluations at once; texts are written beside them. Changes how long a search takes and what it spends ahead,
    nothing of what it finds."""
    width: int | None = None
    """New candidates in a round; None: from the budget, 2 to 12."""
    reserve: float = 0.18
    """At most this share of the budget is kept for the confirmation."""
    ahead: float | None = None
    """This share of the budget is for evaluations that free slots begin while a round ends, before the next has asked
    for them; what it asks for is paid like all else, the others are lost. 0, or too little for 8: slots idle. None:
    0.03, and 0 where evaluations are made by whoever asks for them (`Search`)."""
    attempts: int = 3
    """How often a pair is tried that infrastructure fails, a round."""
    headroom: bool | None = None
    """Whether the search begins with the headroom test; None: as the strategy has it."""
    outage_seconds: float = 60.0
    """Where every call fails for so long, each with its retries, the model is gone."""
    on_outage: Literal["pause", "wait"] = "pause"
    """Then a run pauses; with `wait` it asks the model again by itself, and goes on when that answers."""
    probe_seconds: float = 30.0
    """With `wait`: how long until it is asked first; each time twice as long, up to ten times."""
    proposer_model: str | None = None
    """`provider/name` of the model that writes proposals; None: that of the step they are for."""
    proposer_settings: Mapping[str, JSON] = field(default_factory=dict[str, JSON])
    """Further settings of its requests, such as max_tokens: 8,000 where the budget is in tokens or dollars."""
    teacher_model: str | None = None
    """`provider/name` of the model that runs the program for bootstrapped demonstrations; None: its own models do."""
