"""The sentences and list items of a text, and which helped or did harm, by what candidates with and without scored."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dspex.optimization.deciding import SearchView
from dspex.optimization.rows import Candidate
from dspex.optimization.stages import Hole, text_of

_ITEM = re.compile(r"\s*(?:[-*\u2022]|\d+[.)])\s")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True, slots=True)
class Tally:
    """Examples that came out better and worse with a part than without, shared with what changed along with it."""

    helpful: float = 0.0
    harmful: float = 0.0

    @property
    def worth(self) -> float:
        """How likely it helps, in 0..1; one half where nothing is known."""
        return (1 + self.helpful) / (2 + self.helpful + self.harmful)

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.helpful + other.helpful, self.harmful + other.harmful)


UNKNOWN = Tally()


def parts_of(text: str) -> list[str]:
    """The sentences of a text, line by line; an item of a list is one part."""
    return [part for line in text.splitlines() for part in _split(line)]


def without(text: str, index: int) -> str:
    """The text less the part of that number."""
    lines: list[str] = []
    passed = 0
    for line in text.splitlines():
        parts = _split(line)
        kept = [part for number, part in enumerate(parts, start=passed) if number != index]
        passed += len(parts)
        if kept:
            lines.append(line if len(kept) == len(parts) else " ".join(kept))
    return "\n".join(lines).strip()


def united(one: str, other: str) -> str:
    """The first text, and behind it what only the second says."""
    there = set(parts_of(one))
    new = [part for part in parts_of(other) if part not in there]
    joint = "\n" if "\n" in one or "\n" in other else " "
    return joint.join([one.strip(), *new])


def _split(line: str) -> list[str]:
    return [line] if _ITEM.match(line) else _SENTENCE.split(line)


def tallies(search: SearchView, hole: Hole) -> Mapping[str, Tally]:
    """By part, from candidates that differ from a parent in this text alone, on the examples that both were asked."""
    found: dict[str, Tally] = {}
    for item in search.ledger.candidates.values():
        for name in item.parents:
            parent = search.ledger.candidates.get(name)
            if parent is None or not _differ_in(item, parent, hole.dimension.path):
                continue
            ours, theirs = ({*parts_of(text_of(hole, who.values))} for who in (item, parent))
            wins, losses = _compared(search, item, parent)
            share = len(ours ^ theirs) or 1
            for part in ours - theirs:
                found[part] = found.get(part, UNKNOWN) + Tally(wins / share, losses / share)
            for part in theirs - ours:
                found[part] = found.get(part, UNKNOWN) + Tally(losses / share, wins / share)
    return found


def _differ_in(one: Candidate, other: Candidate, path: str) -> bool:
    """Whether this value is the only one in which two candidates differ."""
    keys = {*one.values, *other.values}
    return {key for key in keys if one.values.get(key) != other.values.get(key)} == {path}


def _compared(search: SearchView, one: Candidate, other: Candidate) -> tuple[int, int]:
    """Examples on which the first is better, and worse."""
    ours, theirs = search.ledger.scores(one.id), search.ledger.scores(other.id)
    moved: Sequence[float] = [score - theirs[key] for key, score in ours.items() if key in theirs]
    return sum(item > 0 for item in moved), sum(item < 0 for item in moved)
