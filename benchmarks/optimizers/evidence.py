"""What a request for instructions shows: the present ones, cases with answers, and advice that is named."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

from benchmarks.optimizers.reading import Reading
from benchmarks.optimizers.words import CASE
from benchmarks.optimizers.worlds import Stage, Tip, World

ATTENDED = 16
"""Cases that the writer really looks at, however many it is shown."""
_PRESENT = re.compile(
    r"(?:\[\[ ## \w*instructions? ## \]\]|<(?:current|present)\w*>|<\w*instructions?>|"
    r"\b(?:current|present|basic|old|original|existing)[ _]instructions?\W{0,12}(?=\n|\S))(.*?)"
    r"(?=\[\[ ##|</\w+>|\n-{5,}|\n\n[^\n]{1,80}:\n|\n\n(?:Labelled|Mistakes|Examples|Respond|Answer|Write)|\Z)",
    re.DOTALL | re.IGNORECASE,
)


@dataclass(slots=True)
class Evidence:
    """What is to be seen in a request, counted."""

    present: str = ""
    """The instructions as they are; empty where the request does not show them."""
    right: dict[str, int] = field(default_factory=dict[str, int])
    """Attended cases, by topic, that show their right answer."""
    wrong: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    """Attended cases, by (topic, answer), that show a wrong answer only: bad labels, unmarked mistakes."""
    several: int = 0
    """Attended cases with more than one topic and a right answer."""
    named: dict[Tip, int] = field(default_factory=dict[Tip, int])
    """Advice that stands in the request outside the present instructions, and how often."""
    cases: int = 0


def seen(world: World, reading: Reading, stage: Stage, rng: Random) -> Evidence:
    """The evidence on one stage in a request, as far as it is attended to."""
    text = reading.everything
    found = Evidence(present=_present(text))
    segments = _segments(text)
    names = sorted(segments)
    for name in rng.sample(names, min(ATTENDED, len(names))):
        case = world.cases.get(name)
        if case is not None:
            found.cases += 1
            _count(found, case.topics, case.truth[stage.output], segments[name].replace(case.text, " "), stage)
    rest = text.replace(found.present, " ") if found.present else text
    # A program's source repeats the instructions it began with: that is no evidence for them.
    for tip in world.given(rest, stage) - world.given(stage.instructions, stage):
        found.named[tip] = max(1, rest.count(tip.text))
    return found


def _count(found: Evidence, topics: tuple[str, ...], right: str, segment: str, stage: Stage) -> None:
    said = [answer for answer in stage.answers if answer in segment.lower()]
    if right in said:
        found.right[topics[-1]] = found.right.get(topics[-1], 0) + 1
        found.several += len(topics) > 1
    else:
        for answer in said[:1]:
            found.wrong[topics[-1], answer] = found.wrong.get((topics[-1], answer), 0) + 1


def _present(text: str) -> str:
    """The longest passage that is headed as instructions."""
    found = [item.strip() for item in _PRESENT.findall(text)]
    return max(found, key=len, default="")


def _segments(text: str) -> Mapping[str, str]:
    """What stands between one case's code and the next one's; of a case shown twice, all of it together."""
    found: dict[str, str] = {}
    marks = list(CASE.finditer(text))
    for place, mark in enumerate(marks):
        name = mark.group(1)
        end = marks[place + 1].start() if place + 1 < len(marks) else mark.start() + 1500
        found[name] = found.get(name, "") + text[mark.start() : end]
    return found
