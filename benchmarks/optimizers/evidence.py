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
_PRESENT = (
    re.compile(r"<(?:current|present|old)\w*>\s*(.*?)\s*</", re.DOTALL | re.IGNORECASE),
    re.compile(r"^\[\[ ## \w*instructions? ## \]\]\s*(.*?)\s*(?=^\[\[ ##|\Z)", re.DOTALL | re.MULTILINE),
    re.compile(
        r"\b(?:current|present|basic|old|original|existing)[ _]instructions?[ \t\"`*]*:\s*(.*?)\s*"
        r"(?=\[\[ ##|\n-{5,}|\n\n|\Z)",
        re.DOTALL | re.IGNORECASE,
    ),
)
"""Ways to show the present instructions: between tags, under a header, after a colon. The first that fits counts."""


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
            _count(
                found, world.shows(case, stage), case.truth[stage.output], segments[name].replace(case.text, " "), stage
            )
    rest = text.replace(found.present, " ") if found.present else text
    for name in names:
        # A ticket beside its answer is data: it counts as a case, and is no rule that somebody has put in words.
        rest = rest.replace(world.cases[name].text, " ") if name in world.cases else rest
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
    """The passage that is headed as the present instructions; the longest where there are several."""
    for way in _PRESENT:
        found = [item for item in way.findall(text) if item and not item.startswith("{")]
        if found:
            return str(max(found, key=len))
    return ""


def _segments(text: str) -> Mapping[str, str]:
    """What stands between one case's code and the next one's; of a case shown twice, all of it together."""
    found: dict[str, str] = {}
    marks = list(CASE.finditer(text))
    for place, mark in enumerate(marks):
        name = mark.group(1)
        end = marks[place + 1].start() if place + 1 < len(marks) else mark.start() + 1500
        found[name] = found.get(name, "") + text[mark.start() : end]
    return found
