"""Workers: what they can do, what they cannot, and what becomes of an evaluation whose worker dies."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dspex.clients.budget import Account, Budget
from dspex.clients.scripted import ScriptedLM
from dspex.clients.stack import ModelStack
from dspex.configuration.runtimes import runtime as configured
from dspex.errors import BudgetExceededError, ConfigurationError, RateLimitError
from dspex.evaluation.assessment import Assessment
from dspex.evaluation.judge import Judge
from dspex.evaluation.metrics import ExactMatch
from dspex.evaluation.scoring import as_metric
from dspex.hosting import searching
from dspex.hosting.building import code_of
from dspex.hosting.isolating import WorkerExecutor
from dspex.hosting.isolation import Isolation, isolation_of
from dspex.hosting.references import OnlyInMemoryError
from dspex.kernel.ports import Metric, Request, Runtime
from dspex.kernel.program import Program
from dspex.kernel.signature import Example
from dspex.kernel.state import State
from dspex.kernel.variables import Demos, Text
from dspex.modules.functions import function
from dspex.optimization.options import SearchOptions
from dspex.optimization.ports import Assignment
from dspex.optimization.tasks import TaskExecutor
from dspex.storage.database import StorageError
from tests.hosting import hazards
from tests.hosting.durability import until
from tests.optimization.simulators import gold, hinted, program, rows, runtime, splits

PROGRAM = program()


def example(text: str = "sample 7 weighs 49 grams", **fields: Any) -> Example:
    return Example.of({"text": text, "label": gold(text), **fields})


def assignment(
    given: Example, metric: Metric = hazards.told, ready: Runtime | None = None, asked: Program = PROGRAM
) -> Assignment:
    ready = ready or runtime(hinted)
    return Assignment("c0", asked, given, 0, as_metric(metric, ready), ready)


@asynccontextmanager
async def workers(
    metric: Metric = hazards.told, ready: Runtime | None = None, places: int = 2, **limits: Any
) -> AsyncGenerator[WorkerExecutor]:
    executor = WorkerExecutor(
        Isolation.model_validate({"timeout": 20, **limits}), code_of(PROGRAM, metric), ready or runtime(hinted), places
    )
    try:
        yield executor
    finally:
        await executor.aclose()


def assessed(given: Example, metric: Metric = hazards.told, **limits: Any) -> Assessment:
    """What a worker finds."""

    async def main() -> Assessment:
        async with workers(metric, **limits) as executor:
            return await executor.assess(assignment(given, metric))

    return asyncio.run(main())


def alike(found: Assessment) -> Assessment:
    """But for the clock."""
    return replace(found, seconds=0.0, history=tuple(replace(item, seconds=0.0) for item in found.history))


def living(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_worker_finds_what_a_task_finds() -> None:
    async def main() -> None:
        async with workers(ExactMatch("label")) as executor:
            for item in rows(6):
                asked = assignment(item, ExactMatch("label"))
                assert alike(await executor.assess(asked)) == alike(await TaskExecutor().assess(asked))

    asyncio.run(main())


@pytest.mark.parametrize(
    ("act", "kind", "said"),
    [
        ("segfault", "crash", "died of signal 11 (SIGSEGV)"),
        ("leave", "crash", "ended with status 3"),
        ("scribble", "crash", "pipe to its runner"),
        ("close", "crash", "closed the pipe to its runner"),
        ("kill", "crash", "was killed (SIGKILL)"),
    ],
)
def test_a_metric_that_ends_its_process_ends_that_evaluation_alone(act: str, kind: str, said: str) -> None:
    async def main() -> None:
        async with workers() as executor:
            bad, fine = example(act=act), example("sample 8 weighs 4 grams")
            found = await executor.assess(assignment(bad))
            assert (found.score, found.error_kind, found.example) == (None, kind, bad.id)
            assert said in (found.error or "")
            assert (await executor.assess(assignment(fine))).score is not None

    asyncio.run(main())


@pytest.mark.parametrize("act", ["hang", "hold"])
def test_an_evaluation_that_hangs_is_killed_after_its_time(act: str) -> None:
    found = assessed(example(act=act), timeout=0.3)
    assert (found.score, found.error_kind) == (None, "hang")
    assert "more than 0.3 s of its own" in (found.error or "")


def test_an_evaluation_that_eats_memory_fails_of_that_and_its_worker_is_replaced() -> None:
    async def main() -> None:
        async with workers(memory_mb=100, places=1) as executor:
            found = await executor.assess(assignment(example(act="eat")))
            assert (found.score, found.error_kind) == (None, "memory")
            assert (await executor.assess(assignment(example()))).score is not None

    asyncio.run(main())


def test_waiting_for_a_model_is_not_the_evaluations_own_time() -> None:
    async def slow(request: Request) -> str:
        await asyncio.sleep(1.0)
        return hinted(request)

    async def main() -> Assessment:
        async with workers(timeout=0.5) as executor:
            return await executor.assess(assignment(example(), ready=runtime(ScriptedLM(slow))))

    assert asyncio.run(main()).score is not None


def test_what_an_evaluation_has_paid_for_by_its_death_is_in_the_books() -> None:
    found = assessed(example(act="segfault"))
    assert found.usage.calls == 1
    assert [item.usage.calls for item in found.history] == [1]


def test_killed_from_outside_an_evaluation_is_made_again_as_if_nothing_had_been(tmp_path: Path) -> None:
    """Also its books: the answer that it had got is not asked for, and not paid, again."""
    asked: list[Request] = []

    def counting(request: Request) -> str:
        asked.append(request)
        return hinted(request)

    given = example(act="killed once", mark=str(tmp_path / "killed"))

    async def main() -> None:
        async with workers() as executor:
            first = await executor.assess(assignment(given, ready=runtime(counting)))
            assert (tmp_path / "killed").exists()
            assert len(asked) == 1
            assert alike(first) == alike(await TaskExecutor().assess(assignment(given, ready=runtime(counting))))

    asyncio.run(main())


def test_a_worker_holds_no_key_and_sees_a_minimal_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setenv("DSPEX_STORE", "postgresql://user:secret@host/name")
    monkeypatch.setenv("WEATHER", "rain")
    seen = json.loads(assessed(example(), hazards.surroundings, environment=("WEATHER",)).feedback or "")
    assert "secret" not in json.dumps(seen["environment"])
    assert seen["environment"]["WEATHER"] == "rain"
    assert "WEATHER" not in json.loads(assessed(example(), hazards.surroundings).feedback or "")["environment"]
    assert (seen["parent"], seen["folder"]) == (os.getpid(), os.getcwd())
    assert seen["pid"] != os.getpid()


def test_a_variable_that_is_not_set_is_named_before_anything_runs() -> None:
    with pytest.raises(ConfigurationError, match="NO_SUCH_VARIABLE, which is not set"):
        assessed(example(), environment=("NO_SUCH_VARIABLE",))


def test_calls_are_made_and_paid_by_the_runner_and_refused_as_it_refuses() -> None:
    """A judge's, too: budget, limits and retries stand around the one model that there is."""

    def judging(request: Request) -> str:
        if "criteria" in request.messages[0]["content"]:
            return "[[reason]]\nfine\n\n[[grade]]\n4\n\n[[end]]"
        return hinted(request)

    judge = Judge("names the right colour")

    async def main() -> None:
        unpaid = configured("scripted/model", models={"scripted": ScriptedLM(judging)}, file="none", cache="none")
        assert isinstance(unpaid.lm, ModelStack)
        ready = replace(unpaid, lm=unpaid.lm.with_account(Account(Budget(calls=3))))
        async with workers(judge, ready) as executor:
            found = await executor.assess(assignment(example(), judge, ready))
            assert (found.score, found.usage.calls) == (0.75, 2)
            found = await executor.assess(assignment(example("sample 9 weighs 1 grams"), judge, ready))
            assert (found.score, found.error_kind, found.usage.calls) == (None, "budget", 1)

    asyncio.run(main())


@pytest.mark.parametrize("error", [RateLimitError("slow down"), BudgetExceededError("no more"), ValueError("odd")])
def test_errors_of_the_model_come_out_as_in_a_task(error: Exception) -> None:
    def failing(request: Request) -> str:
        raise error

    async def main() -> None:
        async with workers() as executor:
            asked = assignment(example(), ready=runtime(failing))
            assert alike(await executor.assess(asked)) == alike(await TaskExecutor().assess(asked))

    asyncio.run(main())


def test_an_error_after_which_the_books_cannot_be_kept_is_raised() -> None:
    def failing(request: Request) -> str:
        raise StorageError("the disk is full")

    async def main() -> None:
        async with workers() as executor:
            with pytest.raises(StorageError, match="the disk is full"):
                await executor.assess(assignment(example(), ready=runtime(failing)))
            assert (await executor.assess(assignment(example()))).score is not None

    asyncio.run(main())


def test_a_cancelled_evaluation_leaves_no_process_and_no_call() -> None:
    ended: list[bool] = []
    asked = asyncio.Event()

    async def endless(request: Request) -> str:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)
        return ""

    async def main() -> None:
        async with workers(places=1) as executor:
            task = asyncio.ensure_future(executor.assess(assignment(example(), ready=runtime(ScriptedLM(endless)))))
            await asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert ended == [True]
            assert (await executor.assess(assignment(example()))).score is not None

    asyncio.run(main())


def test_what_a_worker_has_started_ends_with_it(tmp_path: Path) -> None:
    mark = tmp_path / "child"
    assert assessed(example(act="beget", mark=str(mark))).error_kind == "crash"
    child = int(mark.read_text())
    until(lambda: not living(child))


def test_no_worker_is_left_when_the_executor_is_closed() -> None:
    async def main() -> list[int]:
        async with workers(hazards.surroundings, places=3) as executor:
            many = [executor.assess(assignment(item, hazards.surroundings)) for item in rows(9)]
            found = await asyncio.gather(*many)
        await executor.aclose()
        return [json.loads(item.feedback or "")["pid"] for item in found]

    pids = asyncio.run(main())
    assert 1 <= len(set(pids)) <= 3
    assert not any(living(pid) for pid in pids)


def test_what_a_worker_cannot_find_by_name_is_refused_before_it_starts() -> None:
    def local(example: Example, state: State) -> float:
        return 1.0

    with pytest.raises(OnlyInMemoryError, match=r"isolation: a worker cannot evaluate this: .*local"):
        code_of(PROGRAM, local)


def test_a_program_that_a_worker_cannot_run_is_refused_when_the_first_one_starts() -> None:
    def red(text: str) -> str:
        return "red"

    step = function(red, "text -> label", name="label")
    odd = Program(name="odd", pipeline=(step,))

    async def main() -> None:
        executor = WorkerExecutor(Isolation(), code_of(odd, hazards.right), runtime(hinted), 1)
        try:
            with pytest.raises(ConfigurationError, match="is not registered when its module is imported"):
                await executor.check()
        finally:
            await executor.aclose()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"timeout": 0}, "'timeout' should be greater than 0, got 0"),
        ({"timeout": float("inf")}, "'timeout' should be a finite number"),
        ({"memory_mb": 1}, "'memory_mb' should be greater than or equal to 16"),
        ({"memory": 100}, "'memory' is not a known key; did you mean 'memory_mb'"),
        ({"kind": "thread"}, "'kind' should be 'process'"),
    ],
)
def test_limits_that_do_not_hold_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Isolation.model_validate(given)


def test_a_kind_that_there_is_not_is_refused_with_what_there_is() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'process'"):
        isolation_of("proces")


def test_a_search_with_isolation_finds_what_it_finds_without() -> None:
    train, val, confirm = splits(12, 16, 16)
    given = program(instructions=Text(), demos=Demos(2))

    async def found(isolation: Any) -> Any:
        result = await searching.optimize(
            given, train, val, hazards.right, runtime(hinted), confirm=confirm, budget=Budget(calls=120),
            store=":memory:", isolation=isolation, options=SearchOptions(concurrency=3),
        )  # fmt: skip
        return result.program.hash, result.usage, result.tried, result.evaluations, result.stopped

    async def both() -> None:
        assert await found("process") == await found(None)

    asyncio.run(both())
