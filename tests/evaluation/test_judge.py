"""A model as judge: its grade, its cost, and what its failures mean."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from dspex.clients.scripted import Answer
from dspex.errors import DataError, MetricError, RateLimitError, UnknownNameError
from dspex.evaluation.evaluator import evaluate
from dspex.evaluation.judge import Judge
from dspex.evaluation.metrics import ExactMatch, Weighted
from dspex.evaluation.result import Evaluation
from dspex.evaluation.scoring import as_metric
from dspex.kernel.ports import Metric, Request
from dspex.kernel.state import State
from dspex.modules.registry import ModuleRegistry
from tests.evaluation.programs import right, route, runtime, section, tickets


def judged(metric: Metric, verdict: Answer | Exception, seen: list[Request] | None = None) -> Evaluation:
    """Tickets routed correctly, and every answer judged with `verdict`."""

    def script(request: Request) -> Answer:
        if request.model != "scripted/judge":
            return right(request)
        if seen is not None:
            seen.append(request)
        if isinstance(verdict, Exception):
            raise verdict
        return verdict

    return asyncio.run(evaluate(route(), tickets(4), metric, runtime(script)))


def test_the_grade_becomes_a_score_with_its_reason_and_its_cost() -> None:
    seen: list[Request] = []
    found = judged(Judge("the right team", model="scripted/judge"), section(reason="nearly", grade=4), seen)
    assert found.score == 0.75
    assert {row.feedback for row in found.rows()} == {"nearly"}
    assert found.usage.calls == 8
    asked = "\n".join(message["content"] for message in seen[0].messages)
    assert "the right team" in asked
    assert "no. " in asked
    assert any(team in asked for team in ("billing", "technical", "account"))
    assert "from 1 (does not meet them at all) to 5" in asked


def test_scale_fields_reference_and_temperature() -> None:
    seen: list[Request] = []
    judge = Judge("right?", model="scripted/judge", scale=2, fields=("team",), reference="team", temperature=0)
    found = judged(judge, section(reason="yes", grade=2), seen)
    assert found.score == 1.0
    assert seen[0].settings["temperature"] == 0
    assert seen[0].settings["max_tokens"] == 4_000
    assert "reference" in seen[0].messages[-1]["content"]


def test_a_judge_in_a_weighted_sum() -> None:
    metric = Weighted((ExactMatch("team"), 1), (Judge("polite", model="scripted/judge", name="polite"), 1))
    found = judged(metric, section(reason="rude", grade=1))
    assert found.details == {"ExactMatch('team')": 1.0, "polite": 0.0}
    assert (found.score, found.usage.calls) == (0.5, 8)


@pytest.mark.parametrize(
    ("verdict", "kind", "calls"),
    [
        (RateLimitError("429"), "rate_limit", 4),
        ("I would rather not", "metric", 12),
        (section(reason="superb", grade=9), "metric", 12),
    ],
)
def test_a_judge_that_fails_says_nothing_about_the_program(verdict: Any, kind: str, calls: int) -> None:
    found = judged(Judge("good", model="scripted/judge"), verdict)
    assert (found.score, found.failures) == (None, {kind: 4})
    assert found.usage.calls == calls  # what the judge used before it failed counts as well


def judge_of(options: dict[str, Any]) -> Judge:
    given: dict[str, Any] = {"criteria": "good", "model": "scripted/judge", **options}
    return Judge(**given)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"fields": ("teem",)}, UnknownNameError, "did you mean 'team'?"),
        ({"reference": "tem"}, UnknownNameError, "did you mean 'team'?"),
        ({"scale": 1}, MetricError, "scale is 1"),
        ({"scale": True}, MetricError, "scale is True"),
        ({"criteria": " "}, MetricError, "criteria are empty"),
    ],
)
def test_a_judge_is_checked_before_the_first_call(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        judged(judge_of(options), section(reason="", grade=1))
    assert message in str(caught.value)


def test_a_judge_that_cannot_be_asked_is_refused_when_bound() -> None:
    with pytest.raises(UnknownNameError, match="unknown module 'predict'"):
        as_metric(Judge("good"), replace(runtime(), modules=ModuleRegistry()))


def test_a_judge_needs_a_runtime_and_its_reference() -> None:
    example, state = tickets(1)[0], State({"ticket": "x"}, {"team": "billing"})
    with pytest.raises(MetricError, match="Judge has no runtime"):
        asyncio.run(as_metric(Judge("good"))(example, state))
    with pytest.raises(DataError, match="has no field 'gold'"):
        asyncio.run(as_metric(Judge("good", reference="gold"), runtime())(example, state))
