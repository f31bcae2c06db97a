"""A teacher's model runs the program for demonstrations, and the program's own model learns from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import dspex
from dspex.clients.budget import Budget
from dspex.errors import UnknownNameError
from dspex.evaluation.metrics import ExactMatch
from dspex.kernel.ports import Request
from dspex.kernel.program import Program
from dspex.kernel.variables import Demos
from dspex.modules.prediction import chain_of_thought
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.options import SearchOptions
from dspex.optimization.rows import TAUGHT
from dspex.optimization.strategies.table import CLASSIC
from tests.optimization.searching import found_alike, searched
from tests.optimization.simulators import Colour, answered, share, splits, text_in

TEACHER = "scripted/teacher"
GIVEN = Program(name="colours", pipeline=(chain_of_thought(Colour, name="label", demos=Demos(3)),))
OPTIONS = SearchOptions(teacher_model=TEACHER, headroom=False)


def schooled(request: Request) -> str:
    """The teacher is always right and says why; the pupil is right 40 times of 100, and 90 with such a reason shown."""
    text = text_in(request)
    if request.model == TEACHER:
        return f"[[reasoning]]\nthe second letter\n\n{answered(text, True)}"
    shown = any("second letter" in item["content"] for item in request.messages)
    return f"[[reasoning]]\na guess\n\n{answered(text, share(text) < (0.9 if shown else 0.4))}"


FORMS: list[tuple[str, str | None]] = [
    ("bootstrap", None), ("bootstrap", CLASSIC), ("auto", None), ("mipro", None), ("mipro", CLASSIC),
]  # fmt: skip


@pytest.mark.parametrize(("strategy", "schedule"), FORMS)
def test_the_pupil_gets_better_by_what_the_teacher_showed(strategy: str, schedule: str | None) -> None:
    ledger = MemoryLedger()
    how: dict[str, Any] = {"strategy": strategy, "schedule": schedule, "calls": 1500}
    alone = searched(GIVEN, schooled, **how, options=SearchOptions(headroom=False))
    taught = searched(GIVEN, schooled, **how, options=OPTIONS, ledger=ledger)
    assert not alone.improved
    assert taught.improved
    assert all("second letter" in str(item) for item in taught.program.values["label.demos"])
    lessons = [row for row in ledger.evaluations() if row.sample >= TAUGHT]
    assert lessons
    assert {row.example for row in lessons} <= {item.id for item in splits()[0]}, "it was asked beyond train"
    assert taught.usage.calls <= 1500, "its runs are paid from the same budget"
    assert "teacher" not in str(taught.program.values)


def test_it_finds_the_same_at_any_concurrency_and_however_often_it_is_killed() -> None:
    assert found_alike(GIVEN, schooled, 500, strategy="bootstrap", options=OPTIONS).improved


def test_a_misspelt_teacher_is_refused_before_anything_is_paid(tmp_path: Path) -> None:
    train, val, confirm = splits()
    with pytest.raises(UnknownNameError, match="opnai"):
        dspex.optimize(
            GIVEN, train, val, ExactMatch("label"), dspex.runtime("embedded/lexical", file="none"), confirm=confirm,
            budget=Budget(calls=100), store=tmp_path / "a.db", options=SearchOptions(teacher_model="opnai/gpt"),
        )  # fmt: skip
