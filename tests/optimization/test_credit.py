"""Which stage is held to explain a failure, and where proposers then work."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random

from dspex.clients.budget import Budget
from dspex.evaluation.metrics import ExactMatch
from dspex.evaluation.scoring import as_metric
from dspex.kernel.ports import Request
from dspex.kernel.signature import Example
from dspex.kernel.variables import Text
from dspex.optimization.credit import Credit, credited
from dspex.optimization.deciding import SearchView
from dspex.optimization.laboratory import Laboratory
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.options import SearchOptions
from dspex.optimization.problem import Problem
from dspex.optimization.rows import Candidate, Evaluation, Round, Trace
from dspex.optimization.stages import holes
from tests.optimization.searching import searched
from tests.optimization.simulators import answered, counted, gold, is_proposal, relay, rows, runtime, share, text_in

GIVEN = relay(instructions=Text())
TRAIN = [Example.of({**item.values, "clue": "right"}) for item in rows(4)]
"""Examples that say what the first step should have given."""


def problem(*train: Example) -> Problem:
    return Problem(GIVEN, train, tuple(rows(9, 50)), (), as_metric(ExactMatch("label")), Budget(calls=1))


def run_of(candidate: str, example: Example, score: float, clue: str | None, label: str | None = "red") -> Evaluation:
    """A row of an evaluation in which the steps gave these; None: what came could not be read."""
    trace = [Trace("clue", {"text": "t"}, None if clue is None else {"clue": clue}, None if clue else "unreadable")]
    if clue is not None:
        trace.append(Trace("label", {"text": "t", "clue": clue}, None if label is None else {"label": label}))
    return Evaluation(candidate, example.id, 0, 0, score, trace=tuple(trace))


def credit_of(failures: list[Evaluation], *others: Evaluation, made: tuple[Candidate, ...] = ()) -> Credit:
    """Credit from these failures, where the ledger holds them, the other rows, and what was made."""
    examples = {item.id: item for item in (*rows(4), *TRAIN)}
    posed = problem(*examples.values())
    ledger = MemoryLedger()

    async def scenario() -> Credit:
        await ledger.commit(Round(0, (), made))
        known = {item.id for item in made}
        new = {row.candidate: None for row in (*failures, *others) if row.candidate not in known}
        await ledger.commit(Round(1, (), tuple(Candidate(item, GIVEN.values, "seed", (), "", 0) for item in new)))
        for row in (*failures, *others):
            await ledger.record(row)
        await ledger.fold(0)
        await ledger.fold(1)
        lab = Laboratory(posed, ledger, runtime(lambda _: ""), SearchOptions())
        return await credited(SearchView(posed, ledger, lab, 2, None), failures)

    return asyncio.run(scenario())


def test_an_answer_that_cannot_be_read_names_its_stage() -> None:
    plain = list(rows(4))
    found = credit_of(
        [run_of("a", plain[0], 0, None), run_of("a", plain[1], 0, "x", None), run_of("a", plain[2], 0, None)]
    )
    assert found.blame == {"clue": 2.0, "label": 1.0}


def test_the_first_stage_that_contradicts_the_data_is_to_blame() -> None:
    wrong = "green" if gold(str(TRAIN[0]["text"])) != "green" else "blue"
    assert credit_of([run_of("a", TRAIN[0], 0, "wrong", wrong)]).blame == {"clue": 1.0}
    assert credit_of([run_of("a", TRAIN[0], 0, "right", wrong)]).blame == {"label": 1.0}


def test_where_the_data_says_nothing_of_a_stage_the_blame_is_shared() -> None:
    example = next(iter(rows(4)))
    wrong = "green" if gold(str(example["text"])) != "green" else "blue"
    assert credit_of([run_of("a", example, 0, "something", wrong)]).blame == {"clue": 0.5, "label": 0.5}


def test_a_better_run_of_the_same_example_shows_where_they_part() -> None:
    example = next(iter(rows(4)))
    wrong = "green" if gold(str(example["text"])) != "green" else "blue"
    failure = run_of("a", example, 0, "poor", wrong)
    assert credit_of([failure], run_of("b", example, 1, "good", "red")).blame == {"clue": 1.0}
    assert credit_of([failure], run_of("b", example, 1, "poor", "red")).blame == {"label": 1.0}
    assert credit_of([failure], run_of("b", example, 0.1, "good", "red")).blame == {"clue": 0.5, "label": 0.5}


def test_a_stage_whose_candidates_moved_scores_pulls_more() -> None:
    seed = Candidate("seed", {"clue.instructions": None, "label.instructions": None}, "seed", (), "", 0)
    moving = Candidate("m", {**seed.values, "label.instructions": "M"}, "x", ("seed",), "", 0)
    idle = Candidate("i", {**seed.values, "clue.instructions": "I"}, "x", ("seed",), "", 0)
    both = Candidate("b", {"clue.instructions": "I", "label.instructions": "M"}, "x", ("seed",), "", 0)
    plain = list(rows(4))
    others = [run_of("m", item, 1, "p") for item in plain] + [run_of("i", item, 0, "p") for item in plain]
    others += [run_of("b", item, 1, "p") for item in plain]
    failures = [run_of("seed", item, 0, "p") for item in plain]
    found = credit_of(failures, *others, made=(seed, moving, idle, both))
    assert found.pull["label"] > 1 > found.pull["clue"]


def test_a_stage_is_chosen_by_its_credit_and_none_is_given_up() -> None:
    wanted = holes(GIVEN, GIVEN.values, "text")
    credit = Credit({"clue": 9.0, "label": 1.0}, {})
    counts = Counter(credit.choose(wanted, rng).path for rng in map(Random, range(2000)))
    assert 0.66 < counts["clue"] / 2000 < 0.74
    even = Counter(Credit({}, {}).choose(wanted, rng).path for rng in map(Random, range(2000)))
    assert 0.46 < even["clue"] / 2000 < 0.54


def test_most_is_written_for_the_stage_that_fails_most() -> None:
    """The first step cannot be read half of the time, the second is wrong in a half of the rest."""

    def model(request: Request) -> str:
        if is_proposal(request):
            return f"<instructions>{share(request.messages[-1]['content'], request.sample)}</instructions>"
        case = text_in(request)
        number = int(case.split()[1])
        if "[[label]]" not in request.messages[-1]["content"]:
            return "no idea" if number % 2 else "[[clue]]\nfine\n\n[[end]]"
        return answered(case, number % 4 == 0)

    counting, seen = counted(model)
    searched(relay(instructions=Text()), counting, 3000, strategy="gepa")
    asked = Counter("answer with `clue`" in item.messages[0]["content"] for item in seen if is_proposal(item))
    assert asked[True] > 1.4 * asked[False] > 7
