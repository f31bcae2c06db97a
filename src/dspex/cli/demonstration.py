"""`dspex demo`: a plain program gets measurably better, offline, on tickets that the search never saw."""

from __future__ import annotations

import json as jsonlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Annotated, Any

import typer

from dspex.blocking import blocking, evaluate
from dspex.cli.opening import opened
from dspex.cli.options import Json, Seed
from dspex.cli.output import abridged, emit, marked, paint, points, say, shortened, width
from dspex.cli.tickets import CHANCE, FIELDS, metric, program, rows
from dspex.clients.budget import Budget
from dspex.configuration.files import save
from dspex.configuration.settings import FILE_NAME, resolve
from dspex.errors import ConfigurationError, DspexError
from dspex.evaluation.comparison import Comparison, compare
from dspex.evaluation.dataset import Dataset
from dspex.evaluation.result import Evaluation
from dspex.kernel.ports import Event, Runtime
from dspex.kernel.program import Program
from dspex.optimization.counting import counted
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.reports.changes import described
from dspex.optimization.result import OptimizationResult
from dspex.optimization.runner import optimize

MODEL = "embedded/lexical"
SHARES = {"train": 0.4, "val": 0.2, "confirm": 0.15, "test": 0.25}
CALLS = 2000
"""The budget of the search, proposals and confirmation included."""
EVERY = 100
"""Calls between two lines of the story at least, while the same candidate leads."""
DEMONSTRATIONS = 4
DRAWS = 6
"""Sets of random demonstrations that are measured for comparison."""
_CONFIGURATION = """\
# Written by `dspex demo`. The test tickets, and the model that needs no key.
model = "embedded/lexical"

[project]
program = "optimized.yaml"
data = "test.jsonl"
metric = "exact:team,urgency"
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that one demo found."""

    seed: int
    first: Evaluation
    """Of the first program on test."""
    random: tuple[Evaluation, ...]
    """Of the first program with random demonstrations, on test."""
    final: Evaluation
    result: OptimizationResult
    comparison: Comparison
    seconds: float

    @property
    def random_score(self) -> float:
        return sum(_score(item) for item in self.random) / len(self.random)


def demo(
    seed: Seed = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", help="Where to save what was found.", show_default="./dspex-demo"),
    ] = None,
    json: Json = False,
) -> None:
    """Watch a program get measurably better: offline, without a key, in less than a minute."""
    if out is not None and out.exists():
        raise ConfigurationError(f"--out {out}: it is there already, and nothing is overwritten; name another folder")
    tell = (lambda _="": None) if json else say
    parts = Dataset.of(rows(), name="tickets").split(*SHARES.values(), seed=seed, by=FIELDS)
    splits = dict(zip(SHARES, parts, strict=True))
    with opened(resolve({"model": MODEL}, environment={}, file="none")) as runtime:
        found = _performed(splits, seed, runtime, tell)
    folder = _saved(found, splits["test"], out)
    if json:
        emit(_facts(found, folder))
    else:
        _conclude(found, folder)


def _performed(splits: Mapping[str, Dataset], seed: int, runtime: Runtime, tell: Any) -> Outcome:
    """Measure the first program, search, measure what was found; told as it goes."""
    began = perf_counter()
    first, test = program(), splits["test"]
    _open(splits, seed, tell)
    before = evaluate(first, test, metric(), runtime, progress=False)
    _example(before, test, tell)
    tell(f"  the first program, on test            {_points(before)}   (answers drawn blindly: {points(CHANCE)})")
    drawn = tuple(
        evaluate(_shown(first, splits["train"], Random(f"{seed}/{n}")), test, metric(), runtime, progress=False)
        for n in range(DRAWS)
    )
    mean = sum(_score(item) for item in drawn) / len(drawn)
    tell(f"  the same, {DEMONSTRATIONS} random demonstrations      {points(mean)}   (mean of {DRAWS} draws)\n")
    tell(f"Searching {len(first.space)} variables ({', '.join(item.path for item in first.space)}), {CALLS:,} calls:")
    ledger = MemoryLedger()
    result = blocking(optimize)(
        first, splits["train"], splits["val"], metric(), runtime,
        budget=Budget(calls=CALLS), confirm=splits["confirm"], seed=seed, ledger=ledger, on_event=Story(ledger, tell),
    )  # fmt: skip
    after = evaluate(result.program, test, metric(), runtime, progress=False)
    return Outcome(seed, before, drawn, after, result, compare(before, after, seed=seed), perf_counter() - began)


class Story:
    """Tells a search as it goes: what leads whenever that is another candidate, else a line now and then."""

    def __init__(self, ledger: MemoryLedger, tell: Any) -> None:
        self._ledger, self._tell = ledger, tell
        self._leader, self._told = "", 0

    def __call__(self, event: Event) -> None:
        data = event.data
        if event.kind != "round.finished" or data["best_score"] is None:
            return
        if data["leader"] == self._leader and data["calls"] < self._told + EVERY:
            return
        self._told = data["calls"]
        said = f"{counted(data['candidates'], 'candidate')} so far"
        if data["leader"] != self._leader:
            self._leader = str(data["leader"])
            said = self._ledger.candidates[self._leader].hypothesis
        line = f"  {data['calls']:>5,} calls   best on val {points(data['best_score']):>5}   "
        self._tell(line + shortened(said, width() - len(line)))


def _open(splits: Mapping[str, Dataset], seed: int, tell: Any) -> None:
    train, val, confirm, test = (len(part) for part in splits.values())
    tell(paint("A support desk: which team should answer a ticket, and how soon?", "bold"))
    tell(
        f"{train + val + confirm + test} tickets, split by seed {seed}: {train} to learn from, {val} to compare "
        f"candidates on (val), {confirm} to confirm\nthe winner, {test} for the test at the end. The model is "
        f"{MODEL}: in this process, offline, without a key.\n"
    )


def _example(found: Evaluation, test: Dataset, tell: Any) -> None:
    """One ticket that the first program gets wrong, short enough to read."""
    wrong = {row.example: row for row in found.rows() if row.score == 0 and row.outputs}
    shown = min(
        (item for item in test if item.id in wrong), key=lambda item: abs(len(str(item["ticket"])) - 80), default=None
    )
    if shown is None:
        return
    outputs = wrong[shown.id].outputs or {}
    answer, right = (", ".join(str(values[name]) for name in FIELDS) for values in (outputs, shown.values))
    tell(f'  "{shortened(str(shown["ticket"]), width() - 6)}"')
    tell(f"  answered: {answer}   right: {right}\n")


def _shown(first: Program, train: Dataset, rng: Random) -> Program:
    """The first program with random demonstrations, as one would paste some in."""
    drawn = rng.sample(range(len(train)), DEMONSTRATIONS)
    return first.configured({"route.demos": [dict(train[index].values) for index in drawn]})


def _saved(found: Outcome, test: Dataset, out: Path | None) -> Path:
    """The folder with what was found: a project, so that every command works in it."""
    folder = _folder(out)
    save(found.result.seed_program, folder / "first.yaml")
    save(found.result.program, folder / "optimized.yaml")
    lines = [jsonlib.dumps(dict(item.values), ensure_ascii=False) + "\n" for item in test]
    (folder / "test.jsonl").write_text("".join(lines), encoding="utf-8")
    (folder / FILE_NAME).write_text(_CONFIGURATION, encoding="utf-8")
    return folder


def _folder(out: Path | None) -> Path:
    """A new folder: the one asked for, else ./dspex-demo or the next free number, else a temporary one."""
    try:
        if out is not None:
            out.mkdir(parents=True)
            return out
        for number in range(1, 1000):
            folder = Path(f"dspex-demo{'' if number == 1 else f'-{number}'}")
            if not folder.exists():
                folder.mkdir()
                return folder
    except OSError:
        if out is not None:
            raise
    return Path(tempfile.mkdtemp(prefix="dspex-demo-"))


def _conclude(found: Outcome, folder: Path) -> None:
    result, moved = found.result, found.comparison
    _confirmation(result)
    if result.changes:
        say("\nWhat changed:")
        for change in result.changes:
            say(_brief(described(change).splitlines(), 14 if isinstance(change.after, str) else 4))
    low, high = (f"{100 * end:+.1f}" for end in (moved.interval.low, moved.interval.high))
    say(f"\nOn the {moved.n} test tickets, points of 100:")
    say(f"  the first program                     {_points(found.first)}")
    say(f"  the same, {DEMONSTRATIONS} random demonstrations      {points(found.random_score)}")
    say(f"  {paint('the program that was found', 'bold')}            {paint(_points(found.final), 'green')}")
    say(
        f"  gain over the first, ticket by ticket {100 * moved.difference:+.1f}   "
        f"({moved.interval.level:.0%} interval {low} to {high}; {len(moved.improved)} better, "
        f"{len(moved.regressed)} worse)\n"
    )
    say(
        f"It took {counted(result.usage.calls, 'call')} to search, {result.usage.input_tokens:,} tokens in, "
        f"and {found.seconds:.0f} s; on this model all of it costs nothing."
    )
    say(f"Saved in {folder}{'' if folder.is_absolute() else '/'}. What to type next:")
    say(f"  cd {folder}")
    say("  dspex diff first.yaml optimized.yaml       every word that changed")
    say("  dspex eval                                 measure it again, with its worst answers")
    say('  dspex run -i ticket="My parcel is lost"    ask it something')
    say("  dspex init ../my-project                   the same for your own data and your own model")


def _confirmation(result: OptimizationResult) -> None:
    verdict = result.verdict
    if verdict is None:
        say(f"  {result.reason}")
        return
    say(
        f"  The winner met the first program once more, on {verdict.n} tickets the search had not seen: "
        f"{points(verdict.seed_score)} -> {points(verdict.score)},\n  better with probability {verdict.chance:.3f}: "
        f"{'it is kept' if verdict.ships else 'not enough, so the first program is kept'}."
    )


def _brief(lines: Sequence[str], most: int) -> str:
    """A change, cut where it gets long."""
    cut = [abridged(line, width() - 2) for line in lines]
    more = f"\n    ... and {counted(len(cut) - most, 'line')} more" if len(cut) > most else ""
    return marked("\n".join(f"  {line}" for line in cut[:most])) + more


def _facts(found: Outcome, folder: Path) -> dict[str, Any]:
    result, moved = found.result, found.comparison
    return {
        "seed_score": found.first.score,
        "final_score": found.final.score,
        "random_demos_score": found.random_score,
        "random_demos_scores": [item.score for item in found.random],
        "chance_score": CHANCE,
        "difference": moved.difference,
        "interval": asdict(moved.interval),
        "test_size": moved.n,
        "improved": result.improved,
        "reason": result.reason,
        "changed": [asdict(item) for item in result.changes],
        "calls": result.usage.calls,
        "evaluations": result.evaluations,
        "tokens": result.usage.input_tokens + result.usage.output_tokens,
        "usd": result.usage.usd,
        "seconds": round(found.seconds, 3),
        "seed": found.seed,
        "model": MODEL,
        "program": str((folder / "optimized.yaml").resolve()),
        "folder": str(folder.resolve()),
    }


def _score(found: Evaluation) -> float:
    if found.score is None:
        raise DspexError(f"nothing of {found.data} was scored: {dict(found.failures)}")
    return found.score


def _points(found: Evaluation) -> str:
    return points(_score(found))
