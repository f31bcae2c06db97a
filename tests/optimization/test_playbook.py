"""The playbook: what is learnt, kept once, ranked, trimmed, and taken out again where it does harm."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from dspex.clients.budget import Budget
from dspex.evaluation.metrics import ExactMatch
from dspex.evaluation.scoring import as_metric
from dspex.kernel.ports import Request, Score
from dspex.kernel.signature import Example
from dspex.kernel.state import State
from dspex.kernel.variables import Text
from dspex.optimization.deciding import SearchView, Turn
from dspex.optimization.laboratory import Laboratory
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.options import SearchOptions
from dspex.optimization.parts import Tally, parts_of, tallies, without
from dspex.optimization.problem import Problem
from dspex.optimization.proposers.crossover import Trimming
from dspex.optimization.proposers.playbook import LONGEST, MOST, Lesson, divided, extended, read_lessons
from dspex.optimization.rows import Candidate, Evaluation, Round
from dspex.optimization.stages import holes
from tests.optimization.searching import found_alike, searched
from tests.optimization.simulators import HINT, answered, counted, guidance, program, rows, runtime, share, text_in

GIVEN = program(instructions=Text())
HARM = "always say red"


def teaching(request: Request) -> str:
    """Right 45 times of 100; 45 more with the hint; 30 fewer with a lesson that does harm. It teaches both."""
    asked = request.messages[-1]["content"]
    if "<rules>" in asked:
        draw = share(asked, request.sample)
        told = HINT if draw < 0.4 else f"mind case {draw:.3f}"
        return f"Here they are.\n<rules>\n- [1, 2, 3] {told}\n- [4] {HARM if draw < 0.7 else 'read it twice'}\n</rules>"
    text = text_in(request)
    skill = 0.45 + 0.45 * (HINT in guidance(request)) - 0.3 * (HARM in guidance(request))
    return answered(text, share(text) < skill)


def test_lessons_are_read_with_the_mistakes_they_would_have_prevented() -> None:
    said = "- [1, 4, 4] First rule.\n2. [3] Second one\n\n* third\nRules:\n- said already"
    assert read_lessons(said, "Do it.\n- Said already") == [
        Lesson("First rule.", 2), Lesson("Second one", 1), Lesson("third", 0),
    ]  # fmt: skip
    assert read_lessons("One thing. Another thing!", "Do it.") == [Lesson("One thing."), Lesson("Another thing!")]
    assert read_lessons("", "Do it.") == []


def test_a_playbook_is_a_list_at_the_end_of_the_instructions() -> None:
    text = extended("Do it.", [Lesson("a b c"), Lesson("d e f")], {}, 8000)
    assert text == "Do it.\n\nLessons:\n- a b c\n- d e f"
    assert divided(text) == ("Do it.", ["a b c", "d e f"])
    assert divided("Lessons: none") == ("Lessons: none", [])


def test_what_is_known_is_not_added_again_in_other_words() -> None:
    text = "Do it.\n\nLessons:\n- bills about refunds go to billing"
    assert extended(text, [Lesson("Bills about refunds: go to billing!")], {}, 8000) is None
    assert extended(text, [], {}, 8000) is None
    more = extended(text, [Lesson("passwords go to accounts"), Lesson("passwords go to the accounts")], {}, 8000)
    assert more == f"{text}\n- passwords go to accounts"


def test_the_least_useful_lessons_go_where_the_list_is_too_long() -> None:
    old = [f"lesson {number} on its own" for number in range(MOST)]
    text = "Do it.\n\nLessons:\n" + "\n".join(f"- {item}" for item in old)
    known = {f"- {old[3]}": Tally(0, 9), f"- {old[5]}": Tally(9, 0)}
    found = extended(text, [Lesson("something altogether different", 3)], known, 8000)
    assert found is not None
    kept = divided(found)[1]
    assert len(kept) == MOST
    assert old[3] not in kept
    assert old[5] in kept
    assert kept[-1] == "something altogether different"


@pytest.mark.parametrize("limit", [60, 8000])
def test_a_playbook_fits_the_variable_and_its_own_length(limit: int) -> None:
    new = [Lesson(f"{number} " * 60 if limit > 60 else f"rule of number {number}", number) for number in range(60)]
    found = extended("Do it.", new, {}, limit)
    assert found is not None
    assert len(found) <= min(limit, LONGEST + 20)
    assert "59" in found, "what fixes most is kept"


def searching(made: Sequence[Candidate], scores: dict[str, list[float]]) -> SearchView:
    """A search whose ledger holds these candidates and their scores on val."""
    problem = Problem(GIVEN, tuple(rows(9)), tuple(rows(9, 50)), (), as_metric(ExactMatch("label")), Budget(calls=1))
    ledger = MemoryLedger()

    async def fill() -> None:
        await ledger.commit(Round(0, (), tuple(made)))
        for who, found in scores.items():
            for (example, sample), score in zip(problem.keys, found, strict=False):
                await ledger.record(Evaluation(who, example, sample, 0, score))
        await ledger.fold(0)

    asyncio.run(fill())
    return SearchView(problem, ledger, Laboratory(problem, ledger, runtime(teaching), SearchOptions()), 1, None)


def candidate(name: str, text: str, *parents: str) -> Candidate:
    return Candidate(name, {"label.instructions": text}, "test", parents, "", 0)


SEED = candidate("seed", "Do it.\nBe kind.\nBe quick.")
FAMILY = (
    SEED,
    candidate("kind", "Do it.\nBe quick.", "seed"),
    candidate("more", "Do it.\nBe kind.\nBe quick.\nBe sure.\nBe calm.", "seed"),
)
SCORES = {"seed": [0, 0, 1, 1, 0], "kind": [1, 1, 1, 1, 0], "more": [0, 0, 0, 1, 1]}


def test_parts_are_credited_with_what_came_out_better_and_worse_with_them() -> None:
    search = searching(FAMILY, {who: [float(score) for score in found] for who, found in SCORES.items()})
    hole = holes(GIVEN, SEED.values, "text")[0]
    assert tallies(search, hole) == {
        "Be kind.": Tally(0, 2), "Be sure.": Tally(0.5, 0.5), "Be calm.": Tally(0.5, 0.5),
    }  # fmt: skip
    assert Tally(0, 2).worth == 0.25


def test_what_did_harm_is_the_first_to_be_left_out() -> None:
    search = searching(FAMILY, {who: [float(score) for score in found] for who, found in SCORES.items()})
    turn = Turn(search, [FAMILY[2]], 400, Random(0))
    gone = Counter(item.hypothesis for item in asyncio.run(Trimming().propose(turn)))
    assert gone.most_common(1)[0][0] == "without: Be kind."
    assert len(gone) == 5


def test_a_heading_and_a_blank_line_are_not_left_out() -> None:
    text = "Do it.\n\nLessons:\n- one\n- two"
    search = searching([candidate("seed", text)], {})
    turn = Turn(search, [candidate("seed", text)], 60, Random(0))
    found = {item.values["label.instructions"] for item in asyncio.run(Trimming().propose(turn))}
    assert found == {without(text, index) for index in (0, 3, 4)}
    assert parts_of("One. Two") == ["One.", "Two"]


def test_mistakes_are_numbered_and_shown_with_feedback() -> None:
    model, seen = counted(teaching)
    searched(GIVEN, model, 400, strategy="playbook")
    asked = [item.messages[-1]["content"] for item in seen if "<rules>" in item.messages[-1]["content"]]
    assert '{"number": 1, "inputs": {"text": "sample' in asked[0]
    assert "label: expected" in asked[0]


def test_what_helps_is_learnt_and_what_does_harm_does_not_stay() -> None:
    result = searched(GIVEN, teaching, 1500, strategy="playbook")
    assert result.improved
    _, lessons = divided(result.program.values["label.instructions"])
    assert HINT in lessons
    assert HARM not in lessons
    texts = [item.values["label.instructions"] or "" for item in result.ledger.candidates.values()]
    assert any(HARM in text for text in texts)


def test_a_metric_without_words_is_named_in_the_report() -> None:
    def silent(example: Example, state: State) -> Score:
        return Score(float(state["label"] == example["label"]))

    result = searched(GIVEN, teaching, 400, strategy="playbook", metric=silent)
    assert any("so playbook goes by the answers, the labels and the scores" in note for note in result.notes)


@pytest.mark.parametrize("strategy", ["playbook"])
def test_it_finds_the_same_at_any_concurrency_and_however_often_it_is_killed(strategy: Any) -> None:
    found_alike(GIVEN, teaching, 400, strategy=strategy)
