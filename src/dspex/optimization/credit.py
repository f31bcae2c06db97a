"""Which stage of a program explains its failures, so that proposers work where it pays.

Three kinds of evidence count. An answer that could not be read names its stage. Of a wrong answer the first stage is to
blame whose outputs contradict the data, or, where another run of the same example came out better, the first stage at
which the two runs part. And a stage whose past candidates moved scores is worth more than one whose candidates did not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from dspex.kernel.ports import JSON
from dspex.optimization.deciding import SearchView
from dspex.optimization.rows import Candidate, Evaluation
from dspex.optimization.stages import Hole

EVEN = 0.5
"""The share of the weight that all stages have alike: blame is a guess, and no stage is given up."""
READ = 12
"""Better runs of the same examples that are looked at."""
BETTER = 0.25
PRIOR = 3.0
"""Candidates of a stage that count as having moved scores as much as those of any stage, before any were seen."""
MOST, LEAST = 3.0, 1 / 3


@dataclass(frozen=True, slots=True)
class Credit:
    """How much each stage explains, by the path of its step; empty where there is only one, or nothing is known."""

    blame: Mapping[str, float]
    """Failures that are put down to it."""
    pull: Mapping[str, float]
    """How much its past candidates moved scores, against those of all stages; 1 is as much."""

    def weight(self, path: str, among: Sequence[str]) -> float:
        """By which a stage is drawn from those that can be worked on."""
        total = sum(self.blame.get(item, 0.0) for item in among)
        share = self.blame.get(path, 0.0) / total if total else 1 / len(among)
        return (EVEN / len(among) + (1 - EVEN) * share) * self.pull.get(path, 1.0)

    def choose(self, among: Sequence[Hole], rng: Random) -> Hole:
        """One of the holes, those of stages that explain more with more chance."""
        paths = list(dict.fromkeys(item.path for item in among))
        if len(paths) == 1:
            return rng.choice(list(among))
        path = rng.choices(paths, [self.weight(item, paths) for item in paths])[0]
        return rng.choice([item for item in among if item.path == path])


UNKNOWN = Credit({}, {})


async def credited(search: SearchView, failures: Sequence[Evaluation]) -> Credit:
    """Credit from rows that are not right, and from what the ledger says of candidates that changed one stage."""
    if sum(1 for _ in search.problem.program.walk()) < 2:
        return UNKNOWN
    blame: dict[str, float] = {}
    looks = READ
    for row in failures:
        better = _better(search, row) if looks else None
        looks -= better is not None
        other = await search.ledger.read(better) if better is not None else None
        for path, share in blamed(search, row, other).items():
            blame[path] = blame.get(path, 0.0) + share
    return Credit(blame, pulls(search))


def blamed(search: SearchView, row: Evaluation, better: Evaluation | None = None) -> dict[str, float]:
    """The stages that explain a failure, with shares that add to 1; `better` is a better run of the same example."""
    ours = _last(row)
    if not ours:
        return {}
    path, outputs = list(ours.items())[-1]
    if outputs is None:
        return {path: 1.0}  # it went no further
    if better is not None:
        theirs = _last(better)
        for path, outputs in ours.items():
            if path in theirs and theirs[path] != outputs:
                return {path: 1.0}
    return _contradicted(search, row, ours)


def _contradicted(
    search: SearchView, row: Evaluation, ours: Mapping[str, Mapping[str, JSON] | None]
) -> dict[str, float]:
    """The first stage whose outputs are not what the data has, with those before it of which the data says nothing."""
    expected = search.problem.examples[row.example].values
    suspects: list[str] = []
    for path, outputs in ours.items():
        told = {name: value for name, value in (outputs or {}).items() if name in expected}
        if any(value != expected[name] for name, value in told.items()):
            suspects.append(path)
            break
        if not told:
            suspects.append(path)
    suspects = suspects or list(ours)
    return {path: 1 / len(suspects) for path in suspects}


def _last(row: Evaluation) -> dict[str, Mapping[str, JSON] | None]:
    """The outputs of each stage, those of its last call, in the order in which the stages came."""
    found: dict[str, Mapping[str, JSON] | None] = {}
    for trace in row.trace:
        found[trace.step] = trace.outputs
    return found


def _better(search: SearchView, row: Evaluation) -> tuple[str, str, int] | None:
    """The best run of the same example that is clearly better; the earliest candidate's of several."""
    best, found = (row.score or 0.0) + BETTER, None
    for candidate in search.ledger.candidates:
        score = search.ledger.scores(candidate).get((row.example, 0), 0.0)
        if score >= best and (found is None or score > best):
            best, found = score, (candidate, row.example, 0)
    return found


def pulls(search: SearchView) -> dict[str, float]:
    """By stage, how far candidates that changed that stage alone moved the score of their parent, against the mean."""
    moved: dict[str, list[float]] = {}
    for item in search.ledger.candidates.values():
        stage = _changed(search, item)
        if stage is not None:
            moved.setdefault(stage, []).append(_moved(search, item))
    sizes = [size for found in moved.values() for size in found]
    mean = sum(sizes) / len(sizes) if sizes else 0.0
    if mean <= 0:
        return {}
    pulled = {path: (sum(found) + PRIOR * mean) / (len(found) + PRIOR) / mean for path, found in moved.items()}
    return {path: min(MOST, max(LEAST, size)) for path, size in pulled.items()}


def _changed(search: SearchView, item: Candidate) -> str | None:
    """The one stage in which a candidate differs from its only parent; None where that is not so."""
    parent = search.ledger.candidates.get(item.parents[0]) if len(item.parents) == 1 else None
    if parent is None:
        return None
    paths = {*item.values, *parent.values}
    steps = {path.rpartition(".")[0] for path in paths if item.values.get(path) != parent.values.get(path)}
    return steps.pop() if len(steps) == 1 else None


def _moved(search: SearchView, item: Candidate) -> float:
    """The size of the mean difference to the parent on what both were asked."""
    ours, theirs = search.ledger.scores(item.id), search.ledger.scores(item.parents[0])
    shared = [ours[key] - theirs[key] for key in ours if key in theirs]
    return abs(sum(shared)) / len(shared) if shared else 0.0
