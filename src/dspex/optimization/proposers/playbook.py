"""A playbook in the instructions: what mistakes taught, as a list without repetitions, the most useful kept.

After ACE (arXiv 2510.04618). What turns out to do harm is taken out again by what leaves lines out (`Trimming`), and is
the first to go where the list is too long.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dspex.kernel.space import Configuration
from dspex.optimization.credit import Credit, credited
from dspex.optimization.deciding import SearchView, Turn, VariableKind
from dspex.optimization.evidence import seen, told
from dspex.optimization.parts import UNKNOWN, Tally, tallies
from dspex.optimization.rewriting import request, shown
from dspex.optimization.rows import Candidate, Evaluation, Proposal
from dspex.optimization.stages import Hole, holes, setting_of, text_of
from dspex.optimization.wording import answered, between, longest

HEADING = "Lessons:"
MOST, LONGEST = 24, 4000
"""Lessons in a playbook, and characters of all of them."""
MINIBATCH = 24
"""Training examples that a parent is run on at a time."""
MISTAKES = 16
"""In one request."""
ALIKE = 0.6
"""Share of words in common above which two lessons are one."""
FIXES = 0.1
"""What each mistake that a lesson would have prevented adds to its worth, for at most four."""
_LINE = re.compile(r"^\s*(?:[-*•]|\d+[.)])?\s*(?:\[([\d,;\s]*)\])?\s*(.+?)\s*$")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_WORD = re.compile(r"\w+")
END = (
    "Write down what these mistakes teach: at most five short lessons, each a general rule that a model can follow, on "
    "a line of its own that begins with a dash and, in square brackets, the numbers of the mistakes it would have "
    "prevented, as in: - [1, 4] the rule. Leave out what the instructions say already. Write these rules between "
    "<rules> and </rules>, and nothing else."
)


@dataclass(frozen=True, slots=True)
class Lesson:
    """A line of the playbook."""

    text: str
    fixes: int = 0
    """Mistakes that it would have prevented, as its writer says."""

    @property
    def line(self) -> str:
        return f"- {self.text}"


class Playbook:
    """Asks what the mistakes of a candidate teach, and adds it to the list at the end of the instructions of a step."""

    name = "playbook"
    needs: frozenset[VariableKind] = frozenset({"text"})
    without_feedback = "the answers, the labels and the scores"

    async def propose(self, turn: Turn) -> list[Proposal]:
        search = turn.search
        parents = [turn.parent() for _ in range(turn.count)]
        rows = await seen(search, parents, MINIBATCH)
        wrong = {who: [row for row in found if (row.score or 0.0) < 1] for who, found in rows.items()}
        credit = await credited(search, [row for found in wrong.values() for row in found])
        tasks = [
            (parent, hole, chosen)
            for parent in parents
            if (hole := _hole(turn, parent, wrong[parent.id], credit)) is not None
            and (chosen := turn.rng.sample(wrong[parent.id], min(MISTAKES, len(wrong[parent.id]))))
        ]
        lessons = await asyncio.gather(
            *(_learnt(search, hole, parent.values, chosen, index) for index, (parent, hole, chosen) in enumerate(tasks))
        )
        found: list[Proposal] = []
        for (parent, hole, _), new in zip(tasks, lessons, strict=True):
            present = text_of(hole, parent.values)
            text = extended(present, new, tallies(search, hole), longest(hole))
            if text is not None:
                said = f"{hole.path} learnt: {_added(present, text)[:120]}"
                found.append(Proposal({**parent.values, hole.dimension.path: text}, self.name, (parent.id,), said))
        return found


def _hole(turn: Turn, parent: Candidate, wrong: Sequence[Evaluation], credit: Credit) -> Hole | None:
    reached = {trace.step for row in wrong for trace in row.trace}
    wanted = [item for item in holes(turn.search.problem.program, parent.values, "text") if item.path in reached]
    return credit.choose(wanted, turn.rng) if wanted else None


async def _learnt(
    search: SearchView, hole: Hole, values: Configuration, wrong: Sequence[Evaluation], sample: int
) -> list[Lesson]:
    rows = [{"number": number, **row} for number, row in enumerate(told(search, hole, wrong), start=1)]
    messages = request(hole, values, shown("Mistakes made under the current instructions", rows), END)
    model = setting_of(hole, values, "model")
    said = await answered(search, messages, temperature=0.8, sample=sample, model=model)
    return read_lessons(between("rules", said), text_of(hole, values))


def read_lessons(said: str, present: str) -> list[Lesson]:
    """The lessons in an answer, one on a line, or one in a sentence where it is all one line; none that stand in the
    present text."""
    lines = [line for line in said.splitlines() if line.strip()]
    if len(lines) == 1:
        lines = _SENTENCE.split(lines[0])
    there = {line.strip("-* ").lower() for line in present.splitlines()}
    found: list[Lesson] = []
    for line in lines:
        match = _LINE.match(line)
        if match is None or match.group(2).endswith(":") or match.group(2).lower() in there:
            continue
        fixes = len(set(re.findall(r"\d+", match.group(1) or "")))
        found.append(Lesson(match.group(2), fixes))
    return found


def divided(text: str) -> tuple[str, list[str]]:
    """The instructions before the playbook, and the lessons in it."""
    head, heading, rest = text.rpartition(f"\n\n{HEADING}\n")
    if not heading:
        return text, []
    return head, [line.removeprefix("- ") for line in rest.splitlines() if line.strip()]


def extended(text: str, new: Sequence[Lesson], known: Mapping[str, Tally], limit: int) -> str | None:
    """The text with new lessons in its playbook: each once, the least useful left out until it fits; None where nothing
    new is left."""
    head, old = divided(text)
    kept: list[Lesson] = [Lesson(item) for item in old]
    for lesson in sorted(new, key=lambda item: -item.fixes):
        if not any(alike(lesson.text, item.text) > ALIKE for item in kept):
            kept.append(lesson)
    room = min(LONGEST, limit - len(head) - len(HEADING) - 3)
    while kept and (len(kept) > MOST or sum(len(item.line) + 1 for item in kept) > room):
        kept.remove(min(kept, key=lambda item: (worth(item, known), item.fixes)))
    texts = [item.text for item in kept]
    if not texts or set(texts) <= set(old):
        return None
    return f"{head}\n\n{HEADING}\n" + "\n".join(item.line for item in kept)


def _added(before: str, after: str) -> str:
    old = divided(before)[1]
    return "; ".join(item for item in divided(after)[1] if item not in old)


def worth(lesson: Lesson, known: Mapping[str, Tally]) -> float:
    """By what lessons are ranked: what candidates with it scored against those without, and what it is said to fix."""
    return known.get(lesson.line, UNKNOWN).worth + FIXES * min(4, lesson.fixes)


def alike(one: str, other: str) -> float:
    """The share of words that two lessons have in common, in 0..1."""
    words = [set(_WORD.findall(item.lower())) for item in (one, other)]
    return len(words[0] & words[1]) / max(1, len(words[0] | words[1]))
