"""Instructions rewritten by a model that reads labelled examples and what the present ones got wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from dspex.kernel.ports import JSON
from dspex.kernel.signature import Example
from dspex.kernel.space import Configuration
from dspex.optimization.credit import Credit, credited
from dspex.optimization.deciding import SearchView, Turn, VariableKind
from dspex.optimization.evidence import seen, told
from dspex.optimization.rewriting import Rewriting, rewritten, shown
from dspex.optimization.rows import Candidate, Evaluation, Proposal
from dspex.optimization.stages import holes, labelled
from dspex.optimization.wording import picked

PASSES = 4
"""Requests for one candidate, each about the text that the one before gave: writing is cheap beside evaluating."""
SHOWN, FAILURES = 24, 12
"""Labelled examples and mistakes in one request, drawn anew for each."""
AIMS = (
    "State, for each possible answer, which words and facts in the inputs speak for it.",
    "Repair what caused the mistakes below, keep the rest, and delete whatever misleads.",
    "Find what tells apart the answers that are confused with each other, and write one rule for each such pair.",
    "Write afresh, as short numbered rules, the most frequent cases first.",
)
AGAIN = "Keep what holds, correct and complete it by this further evidence, and delete what the evidence contradicts."
_LOTS = 1 << 30
"""Of samples: no two requests of a run are to be the same draw."""


@dataclass(frozen=True, slots=True)
class _Pass:
    """What one request shows."""

    examples: Sequence[Example]
    failures: Sequence[Evaluation]
    aim: str
    sample: int
    first: bool


@dataclass(frozen=True, slots=True)
class Reflection:
    """Asks the proposer model for better instructions, for each candidate in several passes with other evidence.

    A pass costs one call, trying a candidate out dozens; and a model that is shown everything at once writes down a
    part of what it could see. In a program of several steps each pass may be about another one.
    """

    passes: int = PASSES

    @property
    def name(self) -> str:
        return "reflection"

    @property
    def needs(self) -> frozenset[VariableKind]:
        return frozenset({"text"})

    @property
    def without_feedback(self) -> str:
        return "the expected answers and the scores"

    async def propose(self, turn: Turn) -> list[Proposal]:
        return await self.write(turn.search, await self.draft(turn))

    async def draft(self, turn: Turn) -> JSON:
        """The parents, the training examples they fail on, and which steps are to blame."""
        search = turn.search
        parents = [turn.parent() for _ in range(turn.count)]
        rows = await seen(search, parents)
        failures = {who: [row for row in found if (row.score or 0.0) < 1] for who, found in rows.items()}
        credit = await credited(search, [row for found in failures.values() for row in found])
        places = {item.id: index for index, item in enumerate(search.problem.train)}
        return {
            "parents": [item.id for item in parents],
            "failed": {who: [places[row.example] for row in found] for who, found in failures.items()},
            "blame": dict(credit.blame),
            "pull": dict(credit.pull),
            "seed": turn.rng.randrange(_LOTS),
        }

    async def write(self, search: SearchView, draft: JSON) -> list[Proposal]:
        rng, credit = Random(draft["seed"]), Credit(draft["blame"], draft["pull"])
        failures = {who: await _rows(search, who, places) for who, places in draft["failed"].items()}
        parents = [search.ledger.candidates[item] for item in draft["parents"]]
        drawn = [_drawn(search, failures[item.id], self.passes, rng) for item in parents]
        drafts = [_Draft(item, dict(item.values), {}) for item in parents]
        # All drafts go through a pass together: which requests a budget still pays for must not hang on who answers
        # first.
        for number in range(self.passes):
            made = [
                _asked(search, draft.values, passes[number], credit, rng)
                for draft, passes in zip(drafts, drawn, strict=True)
            ]
            tasks = [(draft, asked) for draft, asked in zip(drafts, made, strict=True) if asked is not None]
            texts = await asyncio.gather(*(rewritten(search, asked) for _, asked in tasks))
            for (draft, asked), text in zip(tasks, texts, strict=True):
                if text is not None:
                    draft.values[asked.hole.dimension.path] = text
                    draft.revised[asked.hole.path] = None
        return [
            Proposal(
                draft.values, self.name, (draft.parent.id,),
                f"instructions of {' and '.join(draft.revised)} rewritten from what went wrong",
            )
            for draft in drafts if draft.revised
        ]  # fmt: skip


async def _rows(search: SearchView, who: str, places: Sequence[int]) -> list[Evaluation]:
    """What it gave to these training examples."""
    found = [await search.ledger.read((who, search.problem.train[place].id, 0)) for place in places]
    return [row for row in found if row is not None]


@dataclass(frozen=True, slots=True)
class _Draft:
    """A candidate to be, on its way through the passes."""

    parent: Candidate
    values: dict[str, JSON]
    revised: dict[str, None]
    """Steps with a new text, in the order of their first."""


def _drawn(search: SearchView, failures: Sequence[Evaluation], passes: int, rng: Random) -> list[_Pass]:
    """Evidence for each pass, each drawn from all there is: dealt out, it is too little to learn words from."""
    train = search.problem.train
    found: list[_Pass] = []
    for number in range(passes):
        examples = rng.sample(train, min(SHOWN, len(train)))
        some = rng.sample(failures, min(FAILURES, len(failures)))
        aim = AGAIN if number else rng.choice(AIMS)
        found.append(_Pass(examples, some, aim, rng.randrange(_LOTS), not number))
    return found


def _asked(search: SearchView, values: Configuration, item: _Pass, credit: Credit, rng: Random) -> Rewriting | None:
    wanted = holes(search.problem.program, values, "text")
    if not wanted:
        return None
    hole = credit.choose(wanted, rng)
    worked = [item.values for item in labelled(hole.step, item.examples)]
    if not item.failures and not worked:
        return None
    inputs = [item.name for item in hole.step.signature.inputs]
    outputs = [item.name for item in hole.step.signature.outputs]
    rows = [{"inputs": picked(item, inputs), "expected": picked(item, outputs)} for item in worked]
    wrong = told(search, hole, sorted(item.failures, key=lambda row: (row.score or 0.0, row.example)))
    mistakes = "Mistakes made under the current instructions" if item.first else "Mistakes made before this revision"
    parts = (*shown("Labelled examples", rows), *shown(mistakes, wrong))
    return Rewriting(hole, values, parts, item.aim, item.sample)
