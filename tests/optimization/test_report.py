"""How changes and progress read."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from html.parser import HTMLParser
from io import StringIO

import pytest

from dspex.errors import UnknownNameError
from dspex.kernel.difference import Change
from dspex.kernel.ports import Event, Request
from dspex.kernel.variables import Float, Text
from dspex.optimization.importance import Seen, importance_of
from dspex.optimization.progress import ProgressLine
from dspex.optimization.reports.changes import described, word_difference
from dspex.optimization.reports.table import FORMS, reported
from dspex.optimization.result import OptimizationResult
from tests.optimization.searching import searched
from tests.optimization.simulators import HINT, hinted, is_proposal, program, share


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
    assert stream.getvalue().startswith("\rround 0: best on val -, 1 candidate, 8 evaluations, 8 calls")
    assert stream.getvalue().count("\n") == 1


def test_progress_that_nobody_reads_is_no_failure_of_the_search() -> None:
    read, write = os.pipe()
    os.close(read)
    result = None
    with suppress(BrokenPipeError), os.fdopen(write, "w") as stream:  # its own end fails: what was said is still in it
        result = searched(program(instructions=Text()), hinted, 100, on_event=ProgressLine(stream))
    assert result is not None


MEAN = "<script>alert(1)</script> | `x` ``` & *stars* {+no+}"


def hostile(request: Request) -> str:
    """A model whose proposals are written to break a page."""
    if is_proposal(request):
        number = int(share(request.messages[-1]["content"], request.sample) * 100)
        return f"<instructions>Name the colour {MEAN} {number}: {HINT}.</instructions>"
    return hinted(request)


@pytest.fixture(scope="module")
def result() -> OptimizationResult:
    return searched(program(instructions=Text(), temperature=Float(0, 1)), hostile, 900, seed=1)


def test_html_holds_nothing_that_a_model_wrote_as_markup(result: OptimizationResult) -> None:
    assert result.improved
    html = result.report("html")
    assert html == result._repr_html_()  # pyright: ignore[reportPrivateUsage] - a notebook's name for it
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    seen = Tags()
    seen.feed(html)
    assert seen.open == []
    assert seen.names <= {"div", "style", "h2", "h3", "ul", "li", "p", "b", "pre", "ins", "del", "table", "thead",
                          "tbody", "tr", "th", "td"}  # fmt: skip
    assert not seen.foreign


class Tags(HTMLParser):
    """What a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.foreign: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.names.add(tag)
        self.foreign += [name for name, _ in attrs if name.startswith("on") or name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_markdown_fences_and_escapes_what_a_model_wrote(result: OptimizationResult) -> None:
    text = result.report("markdown")
    fences = [line for line in text.splitlines() if line.startswith("````")]
    assert fences[0] == "````text"
    assert "````" in fences[1:]
    outside = re.sub(r"^````text\n.*?^````$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert "<script>" not in outside
    rows = [line for line in outside.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in rows if "believed" in line} == {7}


def test_an_unknown_form_is_refused_with_a_suggestion(result: OptimizationResult) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'markdown'"):
        result.report("markdwon")


def test_candidates_seen_on_few_examples_do_not_crowd_the_table(result: OptimizationResult) -> None:
    lines = result.report().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("tried"))
    rows = [line.split() for line in lines[start + 2 :] if re.match(r" +[+-]\d", line)]
    few = [row for row in rows if "to" in row and int(row[5]) < 16]
    assert len(rows) >= 6
    assert len(few) <= 3
    best = result.tried[0]
    assert best.interval is not None
    assert best.interval[0] <= best.gain <= best.interval[1]
    assert 0 < best.believed < best.gain


def test_the_importance_of_each_variable_is_told_and_seeded(result: OptimizationResult) -> None:
    found = result.importance()
    assert not isinstance(found, str)
    assert {path for path, _ in found} == {"label.instructions", "label.temperature"}
    assert [share for _, share in found] == sorted((share for _, share in found), reverse=True)
    assert sum(share for _, share in found) == pytest.approx(1.0)
    assert found == result.importance()
    assert "label.instructions" in result.report().rpartition("importance of each variable")[2]


def test_what_decides_the_gain_is_important() -> None:
    space = program(instructions=Text(), temperature=Float(0, 1)).space
    given = space["label.instructions"].initial
    seen = [
        Seen({"label.instructions": "New." if n % 2 else given, "label.temperature": n * 7 % 20 / 20}, 0.3 * (n % 2))
        for n in range(40)
    ]
    found = importance_of(space, seen, 0)
    assert not isinstance(found, str)
    assert found[0][0] == "label.instructions"
    assert found[0][1] > 0.9


def test_without_the_extra_the_report_says_how_to_get_it(
    result: OptimizationResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dspex.optimization.importance.installed", lambda: False)
    assert "pip install 'dspex[optimize]'" in result.report()


def test_too_few_candidates_are_not_explained() -> None:
    small = searched(program(instructions=Text()), hinted, 60)
    assert str(small.importance()).endswith("candidates are too few to tell; 16 are needed")


def test_the_front_is_shown_in_every_form() -> None:
    data = searched(program(temperature=Float(0, 1)), hinted, 100).to_dict()
    point = {"candidate": "abcdef1234", "hypothesis": "<b>", "n": 16, "means": {"score": 0.5, "cost": 0.01},
             "intervals": {"score": [0.3, 0.7], "cost": [0.01, 0.02]}}  # fmt: skip
    data |= {"objectives": ["score", "cost"], "front": [point], "hypervolume": 0.25}
    for form in FORMS:
        assert "0.01 (0.01 to 0.02)" in reported(data, form)
    assert "<circle" in reported(data, "html")
    assert "<b>" not in reported(data, "html").split("<svg")[1]


def test_what_an_older_release_kept_is_still_reported() -> None:
    data = searched(program(instructions=Text()), hinted, 300).to_dict()
    for name in ("objectives", "front", "hypervolume"):
        del data[name]
    data["tried"] = [{key: row[key] for key in row if key not in ("believed", "interval")} for row in data["tried"]]
    assert all("optimization of" in reported(data, form) for form in FORMS)
