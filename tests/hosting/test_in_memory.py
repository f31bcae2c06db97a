"""A search of which nothing is kept costs what one in a store costs, and finds the same."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Literal

import dspex
from dspex.clients.budget import Budget
from dspex.clients.scripted import ScriptedLM
from dspex.evaluation.dataset import Dataset
from dspex.evaluation.metrics import ExactMatch
from dspex.kernel.ports import Request, Runtime
from dspex.kernel.program import Program
from dspex.kernel.variables import Choice
from dspex.optimization.result import OptimizationResult

LETTERS = "abcdefgh"


class Coded(dspex.Signature):
    """Give the code of the text."""

    text: str = dspex.Input()
    code: str = dspex.Output()


class Decided(dspex.Signature):
    """Decide by the code."""

    code: str = dspex.Input()
    label: Literal["even", "odd"] = dspex.Output()


PROGRAM = Program(
    name="coded",
    pipeline=(
        dspex.predict(Coded, name="encode", temperature=0.0),
        dspex.predict(Decided, name="decide", temperature=Choice(0.0, 0.2, 0.4, 0.6, 0.8)),
    ),
)
"""Two steps, of which the second alone may vary."""


def rows(start: int) -> Dataset:
    return Dataset.of(
        {"text": f"{number} {LETTERS[number % 8]}", "label": ("even", "odd")[number % 2]}
        for number in range(start, start + 16)
    )


def modelled(asked: Counter[str]) -> Runtime:
    def answer(request: Request) -> str:
        said = request.messages[-1]["content"]
        asked[f"{request.settings} {request.messages}"] += 1
        if "[[label]]" in said:
            letter = next(item for item in LETTERS if f"code {item}" in said)
            right = ("even", "odd")[LETTERS.index(letter) % 2]
            return f"[[label]]\n{right if request.settings['temperature'] == 0.6 else 'odd'}\n[[end]]"
        letter = next(item for item in LETTERS if f" {item}\n" in said)
        return f"[[code]]\ncode {letter}\n[[end]]"

    return dspex.runtime("scripted/any", file="none", cache="none", models={"scripted": ScriptedLM(answer)})


def searched(store: str | Path) -> tuple[OptimizationResult, Counter[str]]:
    asked: Counter[str] = Counter()
    found = asyncio.run(
        dspex.aoptimize(
            PROGRAM, rows(0), rows(16), ExactMatch("label"), modelled(asked), strategy="random", confirm=rows(32),
            budget=Budget(calls=400), store=store,
        )
    )  # fmt: skip
    return found, asked


def test_no_call_is_sent_twice_where_nothing_is_kept() -> None:
    result, asked = searched(":memory:")
    assert len(result.ledger.candidates) > 2
    assert set(asked.values()) == {1}
    assert result.usage.cached_calls > 0
    assert result.usage.calls == sum(asked.values())


def test_it_ends_where_the_search_in_a_store_does(tmp_path: Path) -> None:
    here, asked = searched(":memory:")
    there, also = searched(tmp_path / "a.db")
    assert (here.program, here.reason, here.rounds) == (there.program, there.reason, there.rounds)
    assert asked == also
