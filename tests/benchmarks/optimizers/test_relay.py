"""The relay: both stages count, the first needs its convention and its examples, and no remark says who failed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from benchmarks.optimizers.client import SessionClient
from benchmarks.optimizers.families.relay import MATTERS, Relay
from benchmarks.optimizers.oracle import Oracle
from benchmarks.optimizers.programs import program
from benchmarks.optimizers.reading import read
from benchmarks.optimizers.running import served
from benchmarks.optimizers.server import Session, answer
from benchmarks.optimizers.worlds import Case, Stage

WORLD = Relay(3)
CONDENSE, DECIDE = WORLD.stages
BARE = [WORLD.bare(CONDENSE), WORLD.bare(DECIDE)]
WHOLE = WORLD.whole()


def asked(stage: Stage, system: str, case: Case, matter: str = "") -> dict[str, Any]:
    """A question of one stage, as our chat form puts it."""
    told = f"\n\n[[matter]]\n{matter}" if matter else ""
    user = f"[[ticket]]\n{case.text}{told}\n\nAnswer with [[{stage.output}]] and [[end]]."
    return {
        "model": "small", "temperature": 1.0,
        "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}],
    }  # fmt: skip


def answered(session: Session, body: dict[str, Any], stage: Stage) -> str:
    said = answer(session, body)
    return next(item for item in stage.answers if f"]]\n{item}" in said)


def test_the_score_is_what_whole_runs_through_both_stages_come_to() -> None:
    session, right = Session(WORLD, 10**6), 0
    rules = f"{DECIDE.instructions} {WORLD.exception.text} {WORLD.rules['delay'].text}"
    for case in WORLD.splits["test"]:
        for _ in range(5):
            matter = answered(session, asked(CONDENSE, CONDENSE.instructions, case), CONDENSE)
            right += answered(session, asked(DECIDE, rules, case, matter), DECIDE) == case.truth["team"]
    case = WORLD.splits["test"][0]
    told = read(asked(DECIDE, rules, case, "delay"))
    assert WORLD.view(told, DECIDE).tips == {WORLD.exception, WORLD.rules["delay"]}
    expected = WORLD.score([WORLD.bare(CONDENSE), WORLD.view(told, DECIDE)])
    assert abs(right / (5 * len(WORLD.splits["test"])) - expected) < 0.05


@pytest.mark.parametrize("seed", range(4))
def test_each_stage_is_worth_something_alone_and_more_together(seed: int) -> None:
    found = Relay(seed)
    bare, whole = [found.bare(stage) for stage in found.stages], found.whole()
    start, best = found.score(bare), found.best()
    first, second = found.score([whole[0], bare[1]]), found.score([bare[0], whole[1]])
    assert start + 0.08 < min(first, second)
    assert max(first, second) < best - 0.15
    assert best - start > (first - start) + (second - start), "what the stages are worth does not add up"


def test_the_first_stage_needs_its_convention_and_its_examples() -> None:
    def scored(**parts: Any) -> float:
        return WORLD.score([WORLD.bare(CONDENSE, **parts), WHOLE[1]])

    told, shown = frozenset({WORLD.later}), WHOLE[0].demos
    both, rule, examples = scored(tips=told, demos=shown), scored(tips=told), scored(demos=shown)
    assert scored() + 0.03 < rule < both - 0.05
    assert scored() + 0.03 < examples < both - 0.05
    assert scored(tips=told | {WORLD.earlier}, demos=shown) < both - 0.03, "what misleads has to go"
    wrong = tuple((name, next(item for item in MATTERS if item != kind)) for name, kind in shown)
    assert scored(tips=told, demos=wrong) < rule - 0.05


def test_the_remark_is_the_same_whichever_stage_failed_and_names_none() -> None:
    for case in WORLD.splits["val"]:
        said = {WORLD.feedback(case, {"team": "nobody", "matter": matter}) for matter in (*MATTERS, None)}
        assert len(said) == 1
        assert not any(stage.name in text for text in said for stage in WORLD.stages)
    more = [case for case in WORLD.splits["val"] if len(WORLD.feedback(case, {"team": "nobody"})) > 50]
    assert 0.3 < len(more) / len(WORLD.splits["val"]) < 0.7


def test_the_writer_learns_the_convention_from_cases_that_show_what_they_are() -> None:
    """Only from those with two things, and where the right matter stands beside them."""
    double = [case for case in WORLD.splits["train"] if len(WORLD.shows(case, CONDENSE)) > 1][:4]
    single = [case for case in WORLD.splits["train"] if len(case.topics) == 1][:4]

    def written(cases: list[Case], *, shown: bool) -> tuple[int, int]:
        """How often the convention is written, and how often what misleads is dropped."""
        rows = "\n".join(f"{case.text} matter: {case.truth['matter'] if shown else 'unknown'}" for case in cases)
        wish = (
            f"Current instructions:\n<current>\n{CONDENSE.instructions}\n</current>\n\n{rows}\n\nWrite the improved "
            "instructions between <instructions> and </instructions>, and nothing else."
        )
        body = {"model": "small", "temperature": 0.8, "messages": [{"role": "user", "content": wish}]}
        session = Session(WORLD, 10**6)
        texts = [answer(session, body) for _ in range(60)]
        return sum(WORLD.later.text in text for text in texts), sum(WORLD.earlier.text not in text for text in texts)

    learnt, dropped = written(double, shown=True)
    assert learnt > 0
    assert dropped > learnt
    assert written(double, shown=False) == written(single, shown=True) == (0, 0)


def test_the_best_is_within_reach_of_a_program_of_the_space() -> None:
    seed = program(WORLD)
    shown = [{"ticket": WORLD.cases[name].text, "matter": matter} for name, matter in WHOLE[0].demos]
    rules = " ".join([DECIDE.instructions, WORLD.exception.text, *(tip.text for tip in WORLD.rules.values())])
    best = seed.configured(
        {
            "condense.instructions": f"Say of what kind the matter is. {WORLD.later.text}", "condense.demos": shown,
            "decide.instructions": rules,
        }
    )  # fmt: skip

    async def scored(server: str) -> tuple[float, float]:
        oracle = Oracle(WORLD, SessionClient.opened(server, "relay", 3, 10))
        try:
            return await oracle.score(seed), await oracle.score(best)
        finally:
            await oracle.aclose()

    with served() as server:
        given, found = asyncio.run(scored(server))
    assert given == pytest.approx(WORLD.score(BARE))
    assert found == pytest.approx(WORLD.best())
