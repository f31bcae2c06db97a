"""What a strategy, a proposer and a schedule have to keep to, as checks to run in tests of your own.

Each runs small searches on a model whose skill is known, in this process and free, and raises AssertionError with what
was not kept: the same answers give the same search whatever runs at once; a search that dies after any round is carried
on to the same end; the memo is JSON; nothing invalid is paid for; the budget holds.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, get_args
from zlib import crc32

from dspex.adapters import ADAPTERS
from dspex.clients.budget import Budget
from dspex.clients.scripted import ScriptedLM
from dspex.errors import VariableError
from dspex.evaluation.dataset import Dataset
from dspex.evaluation.metrics import ExactMatch
from dspex.evaluation.scoring import as_metric
from dspex.kernel.ports import Request, Runtime
from dspex.kernel.program import Program
from dspex.kernel.shorthand import signature
from dspex.kernel.variables import Choice, Demos, Float, Text
from dspex.modules.prediction import predict
from dspex.modules.registry import builtin_registry
from dspex.optimization.deciding import Proposer, ScheduleOf, SearchView, Strategy, Turn, VariableKind
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.options import SearchOptions
from dspex.optimization.problem import Problem, pose
from dspex.optimization.proposers.demonstrations import BootstrapDemonstrations
from dspex.optimization.proposers.sampling import LocalSteps, RandomDraws
from dspex.optimization.result import OptimizationResult
from dspex.optimization.rows import Proposal, Round
from dspex.optimization.runner import Runner, Session
from dspex.optimization.strategies.portfolio import Portfolio

CALLS = 240
_LABELS = ("red", "green", "blue")
_LONGEST_MEMO = 100_000


def check_strategy(make: Callable[[], Strategy]) -> None:
    """`make` gives a new one each time, as a process that carries a search on does."""
    whole = _searched(make)
    _check_rows(whole)
    again = _searched(make, concurrency=1)
    _same(whole, again, "the same answers gave another search, with one evaluation at a time instead of eight")
    for number in range(1, len(whole.ledger.rounds)):
        carried = _Held(MemoryLedger(), whole.requests)
        _until(make, carried, number)
        _finish(make, carried, 8)
        _same(whole, carried, f"carried on after round {number}, the search ended otherwise")


def check_proposer(make: Callable[[], Proposer]) -> None:
    """As part of a portfolio of its own, and alone: the same turn twice gives the same proposals."""
    made = make()
    assert made.name, "a proposer needs a name: rows and reports say by whom a candidate is"
    unknown = set(made.needs) - set(get_args(VariableKind))
    assert made.needs, "`needs` is empty: name the kinds of variables it works on"
    assert not unknown, f"`needs` names no kind of variable: {', '.join(sorted(unknown))}"
    check_strategy(lambda: Portfolio("conformance", (make(),)))
    first, second = (asyncio.run(_proposed(make())) for _ in range(2))
    assert first == second, "the same turn gave other proposals: take all randomness from turn.rng, and keep no state"


def check_schedule(make: ScheduleOf) -> None:
    """Under a portfolio of proposers that need no model."""
    proposers = (BootstrapDemonstrations(), RandomDraws(), LocalSteps())
    check_strategy(lambda: Portfolio("conformance", proposers, None, make))


@dataclass(slots=True)
class _Held:
    """A search, and the requests it has sent."""

    ledger: MemoryLedger
    answers: dict[str, str] = field(default_factory=dict[str, str])
    requests: dict[str, str] = field(default_factory=dict[str, str])
    sent: int = 0
    result: OptimizationResult | None = None

    def answer(self, request: Request) -> str:
        self.sent += 1
        key = json.dumps([request.messages, dict(request.settings), request.sample])
        return self.requests.setdefault(key, self.answers.get(key) or _answer(request))


class _Dies(BaseException):
    """Plays the end of a process."""


class _Mortal(MemoryLedger):
    """A ledger whose process ends with the fold of a round; what was written stays."""

    last: int = -1

    async def fold(self, number: int) -> None:
        await super().fold(number)
        if number == self.last:
            raise _Dies


def _searched(make: Callable[[], Strategy], concurrency: int = 8) -> _Held:
    held = _Held(MemoryLedger())
    _finish(make, held, concurrency)
    return held


def _until(make: Callable[[], Strategy], held: _Held, number: int) -> None:
    """Search until round `number` is folded, and die."""
    ledger = _Mortal()
    ledger.last = number - 1
    held.ledger = ledger
    try:
        _finish(make, held, 8)
    except _Dies:
        ledger.last = -1


def _finish(make: Callable[[], Strategy], held: _Held, concurrency: int) -> None:
    lm = ScriptedLM(held.answer, model="scripted/conformance")
    runtime = Runtime(lm=lm, model="scripted/conformance", adapters=ADAPTERS, modules=builtin_registry())
    problem = _problem(runtime)
    strategy = make()
    strategy.check(problem)
    runner = Runner(problem, runtime, strategy, held.ledger, SearchOptions(concurrency=concurrency), Session())
    try:
        held.result = asyncio.run(runner.run())
    except VariableError as error:
        raise AssertionError(f"an invalid candidate was to be paid for: {error}; use search.candidate(...)") from error


def _problem(runtime: Runtime) -> Problem:
    given = signature("text -> label: Literal['red', 'green', 'blue']", "Name the colour.")
    step = predict(
        given, name="label", instructions=Text(), demos=Demos(2), temperature=Float(0, 1),
        presence_penalty=Choice(0, 1),
    )  # fmt: skip
    splits = {
        name: list(_rows(size, start))
        for name, size, start in (("train", 24, 0), ("val", 24, 100), ("confirm", 12, 200))
    }
    program = Program(name="conformance", pipeline=(step,))
    return pose(program, splits, as_metric(ExactMatch("label")), Budget(calls=CALLS), 7, runtime)


def _rows(size: int, start: int) -> Iterator[Any]:
    texts = [f"sample {number} weighs {number * 7 % 13} grams" for number in range(start, start + size)]
    return iter(Dataset.of({"text": text, "label": _gold(text)} for text in texts))


def _gold(text: str) -> str:
    return _LABELS[crc32(text.encode()) % 3]


def _share(text: str) -> float:
    return crc32(text.encode()) / 2**32


def _answer(request: Request) -> str:
    """Right the more often the more it is told; asked for anything but a label, it writes a new text."""
    prompt, last = "".join(item["content"] for item in request.messages), request.messages[-1]["content"]
    if "[[label]]" not in prompt or "<instructions>" in last:
        return f"<instructions>Name the colour, version {_share(prompt + str(request.sample)):.6f}.</instructions>"
    text = "sample " + last.rpartition("sample ")[2].partition(" grams")[0] + " grams"
    skill = 0.4 + 0.15 * ("version 0.3" in prompt) + 0.1 * (len(request.messages) > 2)
    skill -= 0.2 * abs(float(request.settings.get("temperature", 0.5)) - 0.5)
    label = _gold(text) if _share(text + str(request.sample)) < skill else "red"
    return f"[[label]]\n{label}\n\n[[end]]"


def _check_rows(held: _Held) -> None:
    result, ledger = held.result, held.ledger
    assert result is not None
    assert held.sent <= CALLS, f"{held.sent} calls were sent on a budget of {CALLS}: pay for everything through the lab"
    for item in ledger.candidates.values():
        missing = [parent for parent in item.parents if parent not in ledger.candidates]
        assert not missing, f"candidate {item.id} by {item.operator!r} has a parent that the ledger does not know"
    for row in ledger.rounds:
        _check_memo(row)


def _check_memo(row: Round) -> None:
    try:
        text = json.dumps(row.memo)
    except (TypeError, ValueError) as error:
        raise AssertionError(f"the memo of round {row.number} is no JSON: {error}") from None
    assert json.loads(text) == row.memo, f"the memo of round {row.number} comes back from JSON as something else"
    assert len(text) <= _LONGEST_MEMO, f"the memo of round {row.number} has {len(text)} characters: keep it small"


def _same(one: _Held, other: _Held, text: str) -> None:
    assert one.result is not None
    assert other.result is not None
    for index, (first, second) in enumerate(zip(one.ledger.rounds, other.ledger.rounds, strict=False)):
        assert first == second, f"{text}: round {index} differs; decide by ledger, memo and search.rng(...) alone"
    assert len(one.ledger.rounds) == len(other.ledger.rounds), f"{text}: it has another number of rounds"
    rows = [[replace(row, seconds=0.0) for row in held.ledger.evaluations()] for held in (one, other)]
    assert rows[0] == rows[1], f"{text}: other evaluations were made"
    assert one.result.program == other.result.program, f"{text}: another program came of it"


async def _proposed(proposer: Proposer) -> list[Proposal]:
    """What it proposes to a search that has just begun."""
    lm = ScriptedLM(_answer, model="scripted/conformance")
    runtime = Runtime(lm=lm, model="scripted/conformance", adapters=ADAPTERS, modules=builtin_registry())
    asked: list[list[Proposal]] = []

    @dataclass(frozen=True)
    class Asking:
        name: str = "asking"

        def check(self, problem: Problem) -> None:
            """Takes any."""

        async def next_round(self, search: SearchView) -> Round | str:
            parents = list(search.ledger.candidates.values())
            asked.append(await proposer.propose(Turn(search, parents, 4, search.rng("conformance"))))
            return "asked"

        def leader(self, search: SearchView) -> str:
            return search.problem.seed_id

        def finalists(self, search: SearchView) -> Any:
            return Portfolio("none", ()).finalists(replace(search, memo=None))

    await Runner(_problem(runtime), runtime, Asking(), MemoryLedger()).run()
    return asked[0]
