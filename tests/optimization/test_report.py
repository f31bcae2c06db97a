"""How changes and progress read."""

from __future__ import annotations

from io import StringIO

import pytest

from dspex.kernel.difference import Change
from dspex.kernel.ports import Event
from dspex.optimization.progress import ProgressLine
from dspex.optimization.report import described, word_difference


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ("Name the colour.", "Name the colour.", "Name the colour."),
        ("Name the colour.", "Name the main colour.", "Name the {+main +}colour."),
        ("Name the main colour.", "Name the colour.", "Name the [-main -]colour."),
        ("red or green", "red or blue", "red or [-green-]{+blue+}"),
        ("", "new", "{+new+}"),
    ],
)
def test_words_that_came_and_went_are_marked(before: str, after: str, shown: str) -> None:
    assert word_difference(before, after) == shown


def test_each_kind_of_change_reads_well() -> None:
    assert described(Change("a.temperature", "changed", 0, 0.5)) == "a.temperature: 0 -> 0.5"
    demos = [{"text": "x", "label": "red"}]
    assert described(Change("a.demos", "changed", [], demos)) == (
        'a.demos: 0 -> 1 demonstrations\n  {"text": "x", "label": "red"}'
    )
    text = described(Change("a.instructions", "changed", None, "Name the colour, and look twice at the text."))
    assert text == "a.instructions:\n  {+Name the colour, and look twice at the text.+}"


def test_progress_is_a_line_a_round_where_there_is_no_terminal() -> None:
    stream = StringIO()
    line = ProgressLine(stream)
    data = {"best_score": 0.5, "candidates": 3, "evaluations": 40, "calls": 41, "usd": 0.25}
    for event in (
        Event("round.started", "1"),
        Event("round.finished", "1", data),
        Event("run.finished", "shipped: yes"),
    ):
        line(event)
    assert stream.getvalue() == (
        "round 1: best on val 0.500, 3 candidates, 40 evaluations, 41 calls, $0.2500\nshipped: yes\n"
    )


def test_progress_on_a_terminal_stays_on_one_line_until_the_end() -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    line = ProgressLine(stream)
    data = {"best_score": None, "candidates": 1, "evaluations": 8, "calls": 8, "usd": None}
    line(Event("round.finished", "0", data))
    line(Event("run.finished", "done"))
    assert stream.getvalue().startswith("\rround 0: best on val -")
    assert stream.getvalue().count("\n") == 1
