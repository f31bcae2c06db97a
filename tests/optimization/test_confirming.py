"""A budget that ends within the confirmation: what is confirmed is a function of the answers, not of their order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from dspex.clients.budget import Budget
from dspex.clients.scripted import ScriptedLM
from dspex.configuration.runtimes import runtime
from dspex.errors import ServerError
from dspex.evaluation.metrics import ExactMatch
from dspex.kernel.ports import Completion, Request, Usage
from dspex.kernel.program import Program
from dspex.kernel.shorthand import signature
from dspex.kernel.variables import Text
from dspex.modules.prediction import predict
from dspex.optimization.deciding import Finalists, SearchView
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.options import SearchOptions
from dspex.optimization.problem import Problem
from dspex.optimization.result import OptimizationResult
from dspex.optimization.rows import Candidate, Round
from dspex.optimization.runner import optimize
from tests.optimization.simulators import HINT, Colour, guidance, hinted, rows, share, text_in

PRICE = {"input": 300.0, "output": 900.0}
ROOM = 400
"""The most tokens of an answer; most have far fewer."""


@dataclass(frozen=True)
class OneCandidate:
    """A strategy of one round: the hint on all of val. What it leaves of a budget is the same each time."""

    name: str = "one"

    def check(self, problem: Problem) -> None:
        """There is nothing that it could miss."""

    async def next_round(self, search: SearchView) -> Round | str:
        if len(search.ledger.rounds) > 1:
            return "it was one candidate"
        better = self._better(search)
        pairs = [(who, *key) for who in (search.problem.seed_id, better.id) for key in search.problem.keys]
        return Round(1, tuple(pairs), (better,))

    def leader(self, search: SearchView) -> str:
        return search.problem.seed_id

    def finalists(self, search: SearchView) -> Finalists:
        return Finalists((self._better(search).id,), 1)

    def _better(self, search: SearchView) -> Candidate:
        values = search.problem.completed({"label.instructions": f"Name the colour: {HINT}."})
        return Candidate(search.problem.id_of(values), values, "hint", (), "", 1)


@dataclass(frozen=True)
class Course:
    """How a search goes: in which order its calls are answered, and after how many of the confirmation it is killed."""

    pattern: int = 0
    concurrency: int = 16
    kill: int = 0
    fail: bool = False
    """Whether calls for three examples of the confirmation fail for infrastructure, again and again."""


def confirming(request: Request) -> bool:
    return "sample 2" in request.messages[-1]["content"]


def answer(request: Request) -> Completion:
    """As right as `hinted`, and of another length for each text: what one takes cannot be told from the others."""
    text, size = text_in(request), sum(len(message["content"]) for message in request.messages) // 4
    noting = "[[note]]" in request.messages[-1]["content"]
    long = int(ROOM * share("note" if noting else guidance(request), text) ** (1.5 if confirming(request) else 2.5))
    usage = Usage(1, size, long, (PRICE["input"] * size + PRICE["output"] * long) / 1e6)
    return Completion("[[note]]\nnothing much\n\n[[end]]" if noting else hinted(request), usage=usage)


def searched(budget: Budget, course: Course, steps: int = 1, cache: Any = "memory", strategy: Any = None) -> Any:
    """The result of a search and its ledger; where it is killed within its confirmation, it is carried on."""
    sent = [0]
    task: list[asyncio.Task[OptimizationResult]] = []

    async def model(request: Request) -> Completion:
        if confirming(request):
            sent[0] += 1
            if sent[0] == course.kill:
                task[0].cancel()
            if course.fail and int(text_in(request).split()[1]) % 8 == 3:
                raise ServerError("it is away")
        if course.pattern:
            for _ in range(int(share(course.pattern, str(request)) * 40)):
                await asyncio.sleep(0)
        return answer(request)

    note = predict(signature("text -> note"), name="note", instructions="Say what stands out.", max_tokens=ROOM)
    label = predict(Colour, name="label", instructions=Text(), max_tokens=ROOM)
    program = Program(name="colours", pipeline=(note, label)[2 - steps :])
    ledger = MemoryLedger()

    async def main() -> OptimizationResult:
        while True:
            ready = runtime(
                "oracle/colours", models={"oracle": ScriptedLM(model)}, cache=cache, file="none", retries=0,
                prices={"oracle/colours": PRICE},
            )  # fmt: skip
            options = SearchOptions(
                concurrency=course.concurrency,
                headroom=False,
                outage_seconds=0.02,
                proposer_settings={"max_tokens": 99},
            )
            given: dict[str, Any] = {"confirm": rows(24, 2000), "budget": budget, "options": options, "ledger": ledger}
            search = optimize(program, rows(8), rows(16, 1000), ExactMatch("label"), ready, **given,
                              strategy=strategy or OneCandidate())  # fmt: skip
            task[:] = [asyncio.ensure_future(search)]
            try:
                return await task[0]
            except asyncio.CancelledError:
                assert sent[0] >= course.kill > 0, "it was not killed by this test"

    return asyncio.run(main()), ledger


def rows_of(ledger: MemoryLedger) -> Any:
    scored = [(item.pair, item.round, item.score, item.usage) for item in ledger.evaluations()]
    return scored, [(item.pair, item.round, item.error_kind) for item in ledger.failed()]


def found(result: OptimizationResult, ledger: MemoryLedger) -> Any:
    """All that a search decides and finds."""
    return result.verdict, ledger.rounds, rows_of(ledger), ledger.settled, result.program, result.stopped


def within(usage: Usage, budget: Budget) -> bool:
    tokens, usd = usage.input_tokens + usage.output_tokens, usage.usd or 0.0
    return (budget.tokens is None or tokens <= budget.tokens) and (budget.usd is None or usd <= budget.usd)


def budgets(kind: str, least: float, most: float) -> list[Budget]:
    """Twenty, from one that hardly pays for a confirmation to one that pays for nearly all of it."""
    step = (most - least) / 19
    return [Budget.model_validate({kind: type(least)(least + step * number)}) for number in range(20)]


def rows_within(ledger: MemoryLedger) -> list[Any]:
    """What is there of the last round."""
    found = [item for item in ledger.evaluations() if item.round == ledger.rounds[-1].number]
    return [(item.pair, item.score, item.usage) for item in found]


def the_same(budget: Budget, courses: Sequence[Course], seen: Callable[..., Any], **arguments: Any) -> Any:
    """What is seen of a search, however it goes, is the same; returns one of them, with its ledger."""
    every = [searched(budget, course, **arguments) for course in courses]
    for result, ledger in every:
        assert within(result.usage, budget)
        assert seen(result, ledger) == seen(*every[0]), budget
    return every[0]


TOKENS, DOLLARS = budgets("tokens", 10_000, 20_000), budgets("usd", 9.5, 14.0)
"""For programs of one step; those of two take half as much again, and twice as much where nothing is remembered."""
COURSES = [Course(), Course(0, 1), Course(1, 4), Course(2), Course(3)]
KILLED = [Course(), Course(0, 1, kill=11), Course(4, 4, kill=5), Course(5, kill=17), Course(6, kill=26)]


def times(budget: Budget, factor: float) -> Budget:
    return Budget(tokens=budget.tokens and int(budget.tokens * factor), usd=budget.usd and budget.usd * factor)


@pytest.mark.parametrize(("courses", "cache"), [(COURSES, "memory"), (KILLED, "none")], ids=["shuffled", "killed"])
@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("given", [TOKENS, DOLLARS], ids=["tokens", "usd"])
def test_what_is_confirmed_does_not_depend_on_the_order_of_answers(
    given: list[Budget], steps: int, courses: list[Course], cache: str
) -> None:
    sizes: set[int] = set()
    for budget in (times(item, 1 if steps == 1 else 2 if cache == "none" else 1.5) for item in given):
        _, ledger = the_same(budget, courses, found, steps=steps, cache=cache)
        confirmed, asked = len(rows_within(ledger)), len(ledger.rounds[-1].pairs)
        if ledger.rounds[-1].purpose == "confirmation" and confirmed < asked:
            sizes.add(confirmed)
    assert len(sizes) > 5, "no budget ended within its confirmation, so nothing was tried here"


def test_what_needs_more_than_its_allowance_comes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the dearest evaluation takes is a guess; a wrong one must not make the order of answers matter."""

    def little(*_: object) -> dict[str, float]:
        return {"calls": 2, "tokens": 800, "usd": 0.6}

    monkeypatch.setattr("dspex.optimization.confirming.ample", little)
    late: set[int] = set()
    for budget in (times(item, 1.5) for item in (*TOKENS[::4], *DOLLARS[::4])):
        _, ledger = the_same(budget, COURSES, found, steps=2)
        assert {item.error_kind for item in ledger.failed()} <= {"budget"}
        late.update(len(list(ledger.failed())) for _ in ledger.rounds[2:])
    assert max(late) > 2, "no allowance was too small, so nothing was tried here"


def test_a_pair_that_fails_for_infrastructure_is_left_out_and_the_others_go_on() -> None:
    for budget in (*TOKENS[10::3], *DOLLARS[10::3]):
        result, ledger = the_same(budget, [replace(course, fail=True) for course in COURSES], found)
        lost = {item.pair for item in ledger.failed() if item.error_kind == "server"}
        assert len(lost) > 2
        assert result.verdict.n == len(rows_within(ledger)) // 2 > 6


def left(result: OptimizationResult, ledger: MemoryLedger) -> Any:
    return ledger.rounds[-1].pairs, rows_within(ledger), result.verdict, result.stopped


def test_a_search_that_the_budget_cut_short_leaves_the_same_for_its_confirmation() -> None:
    """Its own last requests may be other ones in another order; what it leaves is not."""
    short = 0
    for tokens in (30_000, 36_000, 42_000, 48_000, 54_000, 66_000):
        result, _ = the_same(Budget(tokens=tokens), COURSES, left, strategy="auto")
        short += result.verdict.n < 24
    assert short > 2
