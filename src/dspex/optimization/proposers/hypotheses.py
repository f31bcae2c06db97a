"""Reflection by labelled hypotheses: first what may be wrong, then one repair for each; what worked is known by label.

After VISTA (arXiv 2603.18388).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from dspex.kernel.space import Configuration
from dspex.optimization.credit import credited
from dspex.optimization.deciding import SearchView, Turn, VariableKind
from dspex.optimization.evidence import seen, told
from dspex.optimization.rewriting import Rewriting, request, rewritten, shown
from dspex.optimization.rows import Proposal
from dspex.optimization.stages import Hole, holes, setting_of
from dspex.optimization.wording import answered, between

LABELS: Mapping[str, str] = {
    "missing rule": "the instructions do not say what decides these cases",
    "misleading": "a sentence of the instructions is wrong, and causes the mistakes",
    "confusion": "two answers are taken for each other, and nothing tells them apart",
    "ambiguous": "a sentence can be read in two ways",
    "overlooked": "a part of the inputs is not used",
    "form": "the answer is not given in the form that is wanted",
    "clutter": "too much is said, so that what matters is missed",
}
OTHER = "other"
RECORDS = 10
MORE = 3
"""Hypotheses asked for beyond those that will be tried."""
AIM = "Repair exactly what is held to be wrong, and leave the rest of the instructions as it is."
_LINE = re.compile(r"^\s*(?:[-*•]|\d+[.)])?\s*(?:\[?([A-Za-z][A-Za-z ]{1,30}?)\]?\s*[:\u2013-]\s+)?(.{3,}?)\s*$")


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What may be wrong, with its kind."""

    label: str
    text: str

    def __str__(self) -> str:
        return f"{self.label}: {self.text}"


class Hypotheses:
    """Asks for several hypotheses of what is wrong with a step's instructions, and has each of them repaired alone."""

    name = "hypothesis"
    needs: frozenset[VariableKind] = frozenset({"text"})
    without_feedback = "the expected answers and the scores"

    async def propose(self, turn: Turn) -> list[Proposal]:
        search, parent = turn.search, turn.parent()
        wrong = [row for row in (await seen(search, [parent]))[parent.id] if (row.score or 0.0) < 1]
        credit = await credited(search, wrong)
        reached = {trace.step for row in wrong for trace in row.trace}
        wanted = [item for item in holes(search.problem.program, parent.values, "text") if item.path in reached]
        if not wanted:
            return []
        hole = credit.choose(wanted, turn.rng)
        rows = told(search, hole, turn.rng.sample(wrong, min(RECORDS, len(wrong))))
        evidence = shown("Mistakes made under the current instructions", rows)
        known = record(search)
        named = await _named(search, hole, parent.values, (evidence, known), turn.count + MORE)
        chosen = preferred(named, known, turn.count, turn.rng)
        texts = await asyncio.gather(
            *(
                rewritten(search, Rewriting(hole, parent.values, (*evidence, _held(item)), AIM, index))
                for index, item in enumerate(chosen)
            )
        )
        return [
            Proposal({**parent.values, hole.dimension.path: text}, self.name, (parent.id,), str(item)[:200])
            for item, text in zip(chosen, texts, strict=True)
            if text is not None
        ]


def _held(item: Hypothesis) -> str:
    return f"What is held to be wrong ({item.label}):\n{item.text}"


async def _named(
    search: SearchView,
    hole: Hole,
    values: Configuration,
    given: tuple[Sequence[str], Mapping[str, tuple[int, int]]],
    count: int,
) -> list[Hypothesis]:
    """The hypotheses of the proposer model, each once."""
    evidence, known = given
    kinds = "\n".join(f"- {label}: {meaning}" for label, meaning in LABELS.items())
    parts = [*evidence, f"Kinds of faults:\n{kinds}"]
    if known:
        lines = [f"- {label}: {helped} of {tried} repairs helped" for label, (helped, tried) in known.items()]
        parts.append("What repairs have brought so far:\n" + "\n".join(lines))
    end = (
        f"Do not rewrite anything yet. Name {count} different hypotheses of what is wrong with the instructions, each "
        "on a line of its own: the kind of fault, a colon, then what is wrong and what would repair it. Write them "
        "between <hypotheses> and </hypotheses>, and nothing else."
    )
    model = setting_of(hole, values, "model")
    messages = request(hole, values, parts, end)
    said = await answered(search, messages, temperature=1.0, sample=search.number, model=model)
    return read_hypotheses(between("hypotheses", said))


def read_hypotheses(said: str) -> list[Hypothesis]:
    """One on a line, "label: text"; a label that is not known, or none, is `other`."""
    found: dict[str, Hypothesis] = {}
    for line in said.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        label = (match.group(1) or OTHER).strip().lower()
        text = match.group(2) if label in LABELS or match.group(1) is None else f"{match.group(1)}: {match.group(2)}"
        found.setdefault(text.lower(), Hypothesis(label if label in LABELS else OTHER, text))
    return list(found.values())


def record(search: SearchView) -> dict[str, tuple[int, int]]:
    """By label, how many repairs scored better than their parent on val examples of both, and how many were tried."""
    found: dict[str, tuple[int, int]] = {}
    for item in search.ledger.candidates.values():
        if item.operator != Hypotheses.name or not item.parents:
            continue
        ours, theirs = search.ledger.scores(item.id), search.ledger.scores(item.parents[0])
        moved = [ours[key] - theirs[key] for key in search.problem.keys if key in ours and key in theirs]
        if moved:
            label = item.hypothesis.partition(":")[0]
            helped, tried = found.get(label, (0, 0))
            found[label] = (helped + (sum(moved) > 0), tried + 1)
    return found


def preferred(
    named: Sequence[Hypothesis], known: Mapping[str, tuple[int, int]], count: int, rng: Random
) -> list[Hypothesis]:
    """Those to try: by a draw from what is known of their label (Thompson), so that no label is given up."""
    drawn: list[tuple[float, int]] = []
    for index, item in enumerate(named):
        helped, tried = known.get(item.label, (0, 0))
        drawn.append((rng.betavariate(1 + helped, 1 + tried - helped), index))
    return [named[index] for _, index in sorted(drawn, reverse=True)[:count]]
