"""Evaluating: every row kept, failures apart, outages stopped, resumed without paying twice."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from dspex.clients.outage import OutageWatch
from dspex.clients.scripted import Answer, Script
from dspex.errors import (
    AuthenticationError,
    BudgetExceededError,
    ConfigurationError,
    DataError,
    DspexError,
    MetricError,
    OutageError,
    RateLimitError,
    RequestError,
    UnknownNameError,
)
from dspex.evaluation.dataset import Dataset
from dspex.evaluation.evaluator import evaluate
from dspex.evaluation.metrics import ExactMatch, Weighted
from dspex.evaluation.progress import Progress
from dspex.evaluation.result import Evaluation, load_evaluation
from dspex.kernel.ports import Completion, Metric, ModuleSpec, Request, Score, StepContext
from dspex.kernel.program import Program, Step
from dspex.kernel.signature import Example
from dspex.kernel.state import State
from dspex.modules.registry import ModuleRegistry
from tests.evaluation.programs import TEAMS, Route, number_in, raising, right, route, runtime, section, tickets

METRIC = ExactMatch("team")


@dataclass
class Verdict:
    """A metric that always says the same."""

    value: float

    def __call__(self, example: Example, state: State) -> float:
        return self.value


def nothing(example: Example, state: State) -> Any:
    """A metric that forgot to return."""


def misspelt(example: Example, state: State) -> bool:
    return bool(state["tem"] == "x")


def evaluated(script: Script = right, *, count: int = 30, **options: Any) -> Evaluation:
    return asyncio.run(evaluate(route(), tickets(count), METRIC, runtime(script), **options))


def every(n: int, otherwise: Answer | Exception) -> Callable[[Request], Answer]:
    """Right, but every `n`th ticket."""

    def script(request: Request) -> Answer:
        if number_in(request) % n:
            return right(request)
        if isinstance(otherwise, Exception):
            raise otherwise
        return otherwise

    return script


def test_score_interval_rows_and_usage() -> None:
    found = evaluated(every(5, section(team="account")))
    wrong = [n for n in range(30) if n % 5 == 0 and TEAMS[n % 3] != "account"]
    assert found.score == pytest.approx(1 - len(wrong) / 30)
    assert found.interval is not None
    assert found.interval.method == "wilson"
    assert found.score is not None
    assert not found.interval.excludes(found.score)
    assert (found.n, found.scored, found.failures, found.zeros) == (30, 30, {}, {"wrong": len(wrong)})
    assert found.usage.calls == 30
    rows = list(found.rows())
    assert {row.example for row in rows} == {item.id for item in tickets(30)}
    assert sum(row.score or 0 for row in rows) == 30 - len(wrong)
    assert list(found.rows()) == rows  # they can be read again
    assert all(row.history == () for row in rows)


def test_failures_are_no_zeros() -> None:
    found = evaluated(every(10, RateLimitError("429")))
    assert (found.score, found.scored, found.failures, found.zeros) == (1.0, 27, {"rate_limit": 3}, {})
    assert sum(row.score is None for row in found.rows()) == 3
    found = evaluated(every(10, "what?"))
    assert (found.score, found.scored, found.failures, found.zeros) == (0.9, 30, {}, {"parse": 3})


def test_nothing_scored_is_no_score() -> None:
    found = evaluated(raising(RateLimitError("429")), count=3)
    assert (found.score, found.interval, found.failures) == (None, None, {"rate_limit": 3})
    assert "score: none, nothing of 3 was scored" in found.summary()


def test_graded_scores_and_details() -> None:
    async def politeness(example: Example, state: State) -> Score:
        return Score(0.5)

    found = asyncio.run(evaluate(route(), tickets(6), Weighted((METRIC, 1), (politeness, 1)), runtime(), concurrency=2))
    assert found.score == 0.75
    assert found.details == {"ExactMatch('team')": 1.0, "politeness": 0.5}
    assert found.interval is not None
    assert found.interval.method == "student_t"


def test_samples_are_draws_of_their_own_and_the_interval_counts_examples() -> None:
    def script(request: Request) -> Answer:
        return right(request) if request.sample < 2 else section(team="nobody")

    found = evaluated(script, count=10, samples=3)
    assert (found.n, found.samples) == (30, 3)
    assert found.score == pytest.approx(2 / 3)
    assert found.interval is not None
    assert found.interval.method == "student_t"
    assert {(row.example, row.sample) for row in found.rows()} == {
        (item.id, sample) for item in tickets(10) for sample in range(3)
    }


def test_no_more_than_asked_are_under_way_at_once() -> None:
    now, most = 0, 0

    async def answer(request: Request) -> Answer:
        nonlocal now, most
        now += 1
        most = max(most, now)
        for _ in range(3):
            await asyncio.sleep(0)
        now -= 1
        return right(request)

    evaluated(answer, count=50, concurrency=7)
    assert most == 7


def test_data_may_be_any_iterable_and_is_read_lazily() -> None:
    read = 0

    def rows() -> Iterator[dict[str, str]]:
        nonlocal read
        for n in range(100):
            read += 1
            yield {"ticket": f"no. {n}", "team": TEAMS[n % 3]}
        yield {"ticket": "no. 0", "team": TEAMS[0]}

    ahead: list[int] = []

    def script(request: Request) -> Answer:
        ahead.append(read - len(ahead))
        return right(request)

    found = asyncio.run(evaluate(route(), rows(), METRIC, runtime(script), concurrency=4))
    assert found.n == 101
    assert max(ahead) <= 6
    assert len({row.example for row in found.rows()}) == 101
    assert "1 rows repeat an earlier one" in found.notes[0]


def test_rows_go_to_the_file_asked_for_and_it_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "rows" / "one.jsonl"
    found = evaluated(sink=path, traces=True)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert (lines[0]["program"]["name"], lines[0]["metric"], len(lines)) == ("route", "ExactMatch('team')", 31)
    assert lines[1]["outputs"]["team"] in TEAMS
    assert lines[1]["history"][0]["messages"]
    again = load_evaluation(path)
    assert again.to_dict() == {**found.to_dict(), "seconds": again.to_dict()["seconds"]}
    (first, *_) = again.rows()
    assert first.history[0].completion
    assert first.history[0].usage.calls == 1
    with pytest.raises(ConfigurationError, match=r"is there already.*continue it with resume="):
        evaluated(sink=path)
    assert len(path.read_text().splitlines()) == 31


def test_an_answer_with_half_a_surrogate_pair_is_kept(tmp_path: Path) -> None:
    def script(request: Request) -> Answer:
        return Completion("[[team]]\nbilling \ud83d\n\n[[end]]")

    path = tmp_path / "rows.jsonl"
    evaluated(script, count=3, sink=path, traces=True)
    (row, *_) = load_evaluation(path).rows()
    assert "\ud83d" in (row.history[0].completion or "")


@pytest.mark.parametrize(
    ("data", "metric", "error", "message"),
    [
        (tickets(3), ExactMatch("teem"), UnknownNameError, "did you mean 'team'?"),
        (tickets(3), "exact", MetricError, "a metric is a function"),
        (tickets(3), nothing, MetricError, "metric 'nothing' returned None"),
        (tickets(3), Verdict(float("nan")), MetricError, "returned nan"),
        (
            [{"tickt": "x", "team": "billing"}],
            METRIC,
            DataError,
            "no field 'ticket', an input of program 'route'; did you mean 'tickt'?",
        ),
        (Dataset.of([{"tickt": "x", "team": "y"}]), METRIC, DataError, "did you mean 'tickt'?"),
        (Dataset.of([{"ticket": "x", "team": "y"}, {"ticket": 3, "team": "y"}]), METRIC, DataError, "data, row 2"),
        (Dataset.of([{"ticket": "x", "team": "y"}, {"ticket": "z"}]), METRIC, DataError, "has no field 'team'"),
        ([], METRIC, DataError, "no examples"),
        (["x"], METRIC, DataError, "row 1 is 'x'"),
        ({"train": []}, METRIC, DataError, "choose one of its splits"),
        (tickets(3)[:0], METRIC, DataError, "no examples"),
    ],
)
def test_what_does_not_fit_is_one_error_before_the_first_call(
    data: Any, metric: Any, error: type[DspexError], message: str
) -> None:
    asked: list[Request] = []

    def script(request: Request) -> Answer:
        asked.append(request)
        return right(request)

    with pytest.raises(error) as caught:
        asyncio.run(evaluate(route(), data, metric, runtime(script)))
    assert message in str(caught.value)
    assert asked == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"concurrency": 0}, "concurrency is 0"),
        ({"samples": 1.5}, "samples is 1.5"),
        ({"level": 95}, "level is 95"),
        ({"sink": "a", "resume": "b"}, "leave sink= out"),
        ({"concurency": 3}, "unknown option 'concurency' in evaluate; did you mean 'concurrency'?"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        evaluated(**options)
    assert message in str(caught.value)


@pytest.mark.parametrize("error", [AuthenticationError("no key"), BudgetExceededError("spent"), OutageError("down")])
def test_some_failures_stop_the_work_at_once_with_all_rows_kept(tmp_path: Path, error: DspexError) -> None:
    calls = 0

    async def script(request: Request) -> Answer:
        nonlocal calls
        calls += 1
        if number_in(request) >= 20:
            raise error
        await asyncio.sleep(0)
        return right(request)

    with pytest.raises(type(error), match=str(error)) as caught:
        evaluated(script, count=200, concurrency=4, sink=tmp_path / "rows.jsonl")
    partial = caught.value.partial
    assert isinstance(partial, Evaluation)
    assert partial.scored == 20
    assert calls <= 24
    assert load_evaluation(tmp_path / "rows.jsonl").scored == 20


def test_an_outage_is_noticed_stops_the_work_and_can_be_carried_on(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    down = True
    answered: list[int] = []

    def script(request: Request) -> Answer:
        if down and number_in(request) >= 40:
            raise RateLimitError("overloaded")
        answered.append(number_in(request))
        return right(request)

    watch = OutageWatch(seconds=0, failures=10)
    with pytest.raises(OutageError, match="10 calls in a row failed") as caught:
        evaluated(script, count=100, concurrency=4, watch=watch, sink=path)
    partial = caught.value.partial
    assert isinstance(partial, Evaluation)
    assert partial.scored == 40
    assert 10 <= partial.failures["rate_limit"] <= 13  # three more were under way
    assert partial.score == 1.0
    down = False
    found = evaluated(script, count=100, concurrency=4, resume=path)
    assert (found.n, found.scored, found.score, found.failures) == (100, 100, 1.0, {})
    assert sorted(answered) == list(range(100))
    assert "40 rows were scored before" in found.notes[0]
    assert len(list(found.rows())) == load_evaluation(path).scored == 100


@pytest.mark.parametrize(
    ("script", "metric", "error", "message"),
    [
        (raising(RequestError("no such model")), METRIC, RequestError, "no such model"),
        (right, misspelt, MetricError, "did you mean 'team'?"),
    ],
)
def test_a_fault_that_the_first_examples_share_stops_the_work(
    script: Callable[[Request], Answer], metric: Any, error: type[DspexError], message: str
) -> None:
    calls = 0

    def counted(request: Request) -> Answer:
        nonlocal calls
        calls += 1
        return script(request)

    with pytest.raises(error) as caught:
        asyncio.run(evaluate(route(), tickets(200), metric, runtime(counted), concurrency=2))
    assert message in str(caught.value)
    assert "(and so for each of the first 5 examples)" in str(caught.value)
    assert calls <= 6


def test_a_metric_that_fails_now_and_then_stops_nothing() -> None:
    def moody(example: Example, state: State) -> float:
        if number_in_text(example["ticket"]) % 3 == 1:
            raise RuntimeError("not today")
        return 1.0

    found = asyncio.run(evaluate(route(), tickets(30), moody, runtime()))
    assert (found.scored, found.failures) == (20, {"metric": 10})


def number_in_text(ticket: str) -> int:
    return int(ticket.removeprefix("no. "))


def test_a_stream_of_data_that_breaks_keeps_what_was_done() -> None:
    def rows() -> Iterator[Any]:
        for n in range(10):
            yield {"ticket": f"no. {n}", "team": TEAMS[n % 3]}
        yield None

    with pytest.raises(DataError, match="row 11 is None") as caught:
        asyncio.run(evaluate(route(), rows(), METRIC, runtime()))
    partial = caught.value.partial
    assert isinstance(partial, Evaluation)
    assert partial.scored == 10


def test_cancelling_keeps_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"

    async def scenario() -> None:
        stuck, never = asyncio.Event(), asyncio.Event()

        async def script(request: Request) -> Answer:
            if number_in(request) >= 12:
                stuck.set()
                await never.wait()
            return right(request)

        work = asyncio.create_task(evaluate(route(), tickets(50), METRIC, runtime(script), sink=path, concurrency=3))
        await stuck.wait()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scenario())
    assert load_evaluation(path).scored == 12


def test_resuming_with_another_program_metric_or_data_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    evaluated(sink=path)
    before = path.read_bytes()
    other = route().model_copy(update={"name": "other"}).overridden({"predict.temperature": 1.0})
    attempts: tuple[tuple[Program, Dataset, Metric, str], ...] = (
        (other, tickets(30), METRIC, "has rows of program 'route'"),
        (route(), tickets(30), Verdict(1.0), "has scores by ExactMatch"),
        (route(), tickets(20), METRIC, "which this data does not have"),
    )
    for program, data, metric, message in attempts:
        with pytest.raises(ConfigurationError, match=message):
            asyncio.run(evaluate(program, data, metric, runtime(), resume=path))
        assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["rows.jsonl"]
    more = evaluated(count=40, resume=path)
    assert (more.n, more.usage.calls) == (40, 40)


def test_resuming_a_file_that_holds_no_rows_or_garbage(tmp_path: Path) -> None:
    fresh = tmp_path / "fresh.jsonl"
    assert evaluated(resume=fresh).path == fresh
    garbage = tmp_path / "garbage.jsonl"
    garbage.write_text("not rows\n")
    with pytest.raises(DataError, match=r"garbage\.jsonl:1: this is not a file of evaluation rows"):
        evaluated(resume=garbage)
    fresh.write_text(fresh.read_text() + '{"some": 1}\n')
    with pytest.raises(DataError, match=r"fresh\.jsonl:32: not a row of an evaluation"):
        evaluated(resume=fresh)


def test_progress_is_told_to_a_function(capsys: pytest.CaptureFixture[str]) -> None:
    told: list[Progress] = []
    evaluated(every(10, RateLimitError("429")), progress=told.append)
    assert (told[-1].done, told[-1].total, told[-1].score, told[-1].failures) == (30, 30, 1.0, 3)
    assert capsys.readouterr() == ("", "")


def test_a_bar_goes_to_stderr_only_when_asked_for_or_watched(capsys: pytest.CaptureFixture[str]) -> None:
    evaluated()
    assert capsys.readouterr() == ("", "")
    evaluated(progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "30/30" in err


def test_summary_and_json() -> None:
    found = evaluated(every(10, RateLimitError("429")))
    assert found.summary().splitlines()[:3] == [
        "route on tickets, by ExactMatch('team')",
        "score 1.000 (95% interval 0.875 to 1.000, wilson) over 27 of 30",
        "failed, not scored: 3 (rate_limit 3)",
    ]
    data = json.loads(json.dumps(found.to_dict()))
    assert (data["score"], data["n"], data["scored"], data["failures"]) == (1.0, 30, 27, {"rate_limit": 3})
    assert data["interval"]["method"] == "wilson"


def test_memory_stays_flat() -> None:
    """At most 200 bytes an example stay in memory; a row alone has more."""
    count = 25_000

    async def constant(context: StepContext) -> dict[str, str]:
        return {"team": "billing"}

    program = Program(name="stub", pipeline=(Step(name="stub", module="stub", signature=Route.schema_of()),))
    stub = replace(runtime(), modules=ModuleRegistry([ModuleSpec("stub", constant)]))
    examples = (Example(f"{n:016x}", {"ticket": "", "team": "billing"}) for n in range(count))
    tracemalloc.start()
    try:
        found = asyncio.run(evaluate(program, examples, METRIC, stub))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.scored == count
    assert kept / count <= 200
