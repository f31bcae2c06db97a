"""The rows of a search, which are all that it decides by: candidates, evaluations, rounds, deaths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from dspex.kernel.ports import JSON, NO_USAGE, Usage
from dspex.kernel.space import Configuration

Pair = tuple[str, str, int]
"""(candidate, example, sample): what is evaluated, once."""
ROLLOUT = 1000
"""Samples from this on are drawn at temperature 1, whatever temperature the candidate has: they are meant to differ."""
TAUGHT = 1_000_000
"""Samples from this on are run with the teacher's model in every step, for demonstrations."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A configuration worth trying, with where it comes from."""

    values: Configuration
    operator: str
    """The proposer that made it."""
    parents: tuple[str, ...] = ()
    """Candidates it was made from."""
    hypothesis: str = ""
    """What is expected of it, in words."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row: a completed configuration. `id` is the content hash of it and of the program it configures."""

    id: str
    values: Configuration
    operator: str
    parents: tuple[str, ...]
    hypothesis: str
    round: int


@dataclass(frozen=True, slots=True)
class Trace:
    """What one model call or step of an evaluation took and gave; outputs are None where it failed."""

    step: str
    inputs: Mapping[str, JSON]
    outputs: Mapping[str, JSON] | None
    error: str | None = None
    call: str = ""
    """Identity of the model call in the call store; empty where there was none."""
    usage: Usage = NO_USAGE
    """Its part of what the evaluation consumed."""


AHEAD = -1
"""The round of an evaluation that no round has asked for yet."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A row: what came of one pair. `score` is None where infrastructure failed, and the pair stays unevaluated."""

    candidate: str
    example: str
    sample: int
    round: int
    score: float | None
    feedback: str | None = None
    outputs: Mapping[str, JSON] | None = None
    error: str | None = None
    error_kind: str | None = None
    usage: Usage = NO_USAGE
    seconds: float = 0.0
    trace: tuple[Trace, ...] = ()

    @property
    def pair(self) -> Pair:
        return (self.candidate, self.example, self.sample)


@dataclass(frozen=True, slots=True)
class Round:
    """A row: what a strategy decided to do next. It is committed, with its candidates, before anything of it runs."""

    number: int
    pairs: tuple[Pair, ...]
    """To evaluate; all of it is evaluated before the next round is decided."""
    candidates: tuple[Candidate, ...] = ()
    """New with this round."""
    memo: JSON = None
    """What the strategy wants to know next time; small."""
    purpose: Literal["search", "confirmation"] = "search"
    usage: Usage = NO_USAGE
    """What deciding it consumed (models asked for proposals)."""
    calls: tuple[str, ...] = ()
    """The calls that deciding it took, by their identity in the call store."""


@dataclass(frozen=True, slots=True)
class Death:
    """A row: what evaluating an example with a candidate did to the process it ran in."""

    candidate: str
    example: str
    kills: int
    """How often it certainly was the cause; 0: it was there when a process died. From QUARANTINED on it is let be."""
    reason: str
    """Of the last time."""


QUARANTINED = 2
"""Kills after which a candidate is not evaluated on an example again; and candidates so lost after which none is."""
DEADLY = frozenset({"crash", "hang", "memory"})
"""Kinds of a failure that took down, or had to take down, the place where the evaluation ran."""
