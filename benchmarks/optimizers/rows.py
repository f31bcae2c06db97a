"""What a run leaves behind: one line of JSON, appended to a file that a report is made from."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    """One optimizer on one world. Scores are true scores, in 0..1."""

    family: str
    seed: int
    strategy: str
    budget: int
    calls: int
    """All calls that reached the server, those for proposals included."""
    proposals: int
    seed_score: float
    final_score: float
    """Of the program that the optimizer returned."""
    best_score: float
    """Of the best program there is."""
    trajectory: tuple[tuple[int, float], ...]
    """(calls so far, true score of the program that it held to be the best then)."""
    seconds: float
    usd: float = 0.0
    refused: int = 0
    """Calls beyond the budget."""
    confirm_calls: int = 0
    """Calls that confirming the result took, within `calls`."""
    error: str = ""
    note: str = ""
    code: str = ""
    """Of the code that made it: where that has changed, the run is made again."""

    @property
    def key(self) -> tuple[str, int, str, int]:
        return (self.family, self.seed, self.strategy, self.budget)

    @property
    def gain(self) -> float:
        """Share of the reachable gain, 1 at the best; 0 where nothing can be gained."""
        reachable = self.best_score - self.seed_score
        return (self.final_score - self.seed_score) / reachable if reachable > 1e-9 else 0.0

    def calls_to(self, score: float) -> int | None:
        """Calls until it held a program of at least this true score to be the best, and kept to it; None: never."""
        reached: int | None = None
        for calls, found in self.trajectory:
            reached = (calls if reached is None else reached) if found >= score - 1e-9 else None
        return reached


def append(file: Path, row: Row) -> None:
    """One line more."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(asdict(row)) + "\n")


def load(file: Path) -> list[Row]:
    """All rows of a file; of equal runs of the same code the last."""
    if not file.exists():
        return []
    found: dict[tuple[object, ...], Row] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        data = json.loads(line)
        data["trajectory"] = tuple((int(calls), float(score)) for calls, score in data["trajectory"])
        row = Row(**data)
        found.pop((row.key, row.code), None)
        found[row.key, row.code] = row
    return list(found.values())


def latest(rows: Iterable[Row]) -> list[Row]:
    """Of equal runs the last, whatever code they are of."""
    return list({row.key: row for row in rows}.values())


def strategies(rows: Iterable[Row]) -> list[str]:
    """Those that the rows are of, in the order of their first appearance."""
    return list(dict.fromkeys(row.strategy for row in rows))
