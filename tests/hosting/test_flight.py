"""An evaluation that kills the process that carries its run is found, tried alone, and let be; a kill blames nobody."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from dspex.evaluation.assessment import Assessment
from dspex.evaluation.scoring import as_metric
from dspex.hosting.flight import Crash, FlightRecord, NotedExecutor, blamed, left_behind, noting, saw_end
from dspex.hosting.gate import Gate
from dspex.hosting.specification import RunSpec
from dspex.hosting.supervisor import RestartPolicy
from dspex.kernel.ports import NO_USAGE
from dspex.kernel.signature import Example
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.ports import Assignment
from dspex.optimization.rows import QUARANTINED, Death, Pair
from dspex.optimization.tasks import TaskExecutor
from dspex.storage import data, runs
from dspex.storage.ledgers import rows_of
from tests.hosting import hazards
from tests.hosting.conftest import made
from tests.hosting.durability import Bench
from tests.hosting.processes import gone
from tests.hosting.test_supervisor import Carriers, watched
from tests.optimization.simulators import hinted, program, runtime
from tests.servers.postgres import new_database

SEGFAULT, EXIT, KILL, UNSEEN = -signal.SIGSEGV, 3, -signal.SIGKILL, None
ONE, TWO, THREE = ("c", "1", 0), ("c", "2", 0), ("c", "3", 0)


def held(*deaths: Crash) -> dict[str, int]:
    """What is held of each example after these deaths, one after the other."""
    known: dict[tuple[str, str], Death] = {}
    for crash in deaths:
        for death in blamed(crash, known):
            known[death.candidate, death.example] = death
    return {example: death.kills for (_, example), death in known.items()}


def crash(status: int | None, *flying: Pair) -> Crash:
    return Crash(flying, 1, status)


@pytest.mark.parametrize(
    ("deaths", "kills"),
    [
        # By itself: what was there is suspect, and what is there again, alone, is to blame.
        ([crash(SEGFAULT, ONE, TWO)], {"1": 0, "2": 0}),
        ([crash(SEGFAULT, ONE, TWO), crash(SEGFAULT, ONE)], {"1": QUARANTINED, "2": 0}),
        ([crash(EXIT, ONE, TWO), crash(EXIT, TWO)], {"1": 0, "2": QUARANTINED}),
        ([crash(SEGFAULT, ONE)], {"1": 1}),
        ([crash(SEGFAULT, ONE), crash(SEGFAULT, ONE)], {"1": QUARANTINED}),
        # By somebody else, perhaps: alone once is bad luck, alone twice is not.
        ([crash(KILL, ONE, TWO), crash(KILL, ONE)], {"1": 1, "2": 0}),
        ([crash(KILL, ONE, TWO), crash(KILL, ONE), crash(KILL, TWO)], {"1": 1, "2": 1}),
        ([crash(KILL, ONE, TWO), crash(KILL, ONE), crash(KILL, ONE)], {"1": QUARANTINED, "2": 0}),
        ([crash(KILL, ONE)], {"1": 0}),
        ([crash(KILL, ONE), crash(KILL, ONE)], {"1": 1}),
        ([crash(UNSEEN, ONE, TWO), crash(UNSEEN, ONE)], {"1": 1, "2": 0}),
        ([crash(SEGFAULT, ONE, TWO), crash(KILL, ONE)], {"1": 1, "2": 0}),
        # With others it is never more than suspect, however often.
        ([crash(KILL, ONE, TWO), crash(KILL, ONE, THREE), crash(KILL, ONE, TWO)], {"1": 0, "2": 0, "3": 0}),
        ([crash(SEGFAULT, ONE, TWO)] * 3, {"1": 0, "2": 0}),
        ([crash(SEGFAULT)], {}),
    ],
)
def test_what_a_death_says_of_what_was_in_the_air(deaths: list[Crash], kills: dict[str, int]) -> None:
    assert held(*deaths) == kills


def test_a_record_tells_what_has_not_landed(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "run.flight"
    assert left_behind(path) is None
    record = FlightRecord(path)
    slots = [record.took_off(pair) for pair in (ONE, TWO, THREE)]
    record.landed(slots[1])
    assert left_behind(path) == Crash((ONE, THREE), os.getpid(), None)
    assert record.took_off(TWO) == slots[1]
    for slot in slots:
        record.landed(slot)
    assert left_behind(path) == Crash((), os.getpid(), None)
    assert saw_end(path, os.getpid(), SEGFAULT) == 0
    record.took_off(ONE)
    assert saw_end(path, os.getpid() + 1, SEGFAULT) == 0  # the record of another
    assert saw_end(path, os.getpid(), SEGFAULT) == 1
    assert left_behind(path) == Crash((ONE,), os.getpid(), SEGFAULT)
    record.close()


def test_a_record_is_its_process_s_own_after_another_has_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "run.flight"
    old = FlightRecord(path)
    slot = old.took_off(ONE)
    new = FlightRecord(path)
    new.took_off(TWO)
    old.landed(slot)
    old.took_off(THREE)
    assert left_behind(path) == Crash((TWO,), os.getpid(), None)
    for record in (old, new):
        record.close()


def test_ids_of_any_length_and_script_do_no_harm(tmp_path: Path) -> None:
    record = FlightRecord(tmp_path / "run.flight")
    record.took_off(("c", "ü\ud800\0]", 0))
    record.took_off(("c", "x" * 2000, 0))
    found = left_behind(tmp_path / "run.flight")
    assert found is not None
    assert found.flying == (("c", "ü\ud800\0]", 0),)
    record.close()


@pytest.mark.parametrize("content", [b"", b"{", b"\0" * 2048, b'{"pid": 1'])
def test_a_record_that_cannot_be_read_blames_nobody(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run.flight").write_bytes(content)
    assert left_behind(tmp_path / "run.flight") is None


def test_who_wants_to_be_alone_is_and_the_lowest_rank_goes_first() -> None:
    gate, inside, log = Gate(), [0], list[tuple[str, int]]()

    async def passes(name: str, rank: int | None) -> None:
        await gate.enter(rank)
        inside[0] += 1
        await asyncio.sleep(0)
        log.append((name, inside[0]))
        inside[0] -= 1
        gate.leave()

    async def main() -> None:
        wanted = [("a", None), ("b", 1), ("c", 0), ("d", None), ("e", 1), ("f", None)]
        await asyncio.gather(*(passes(name, rank) for name, rank in wanted))

    asyncio.run(main())
    assert log == [("a", 1), ("c", 1), ("b", 1), ("e", 1), ("d", 2), ("f", 1)]


@pytest.mark.parametrize("given_up", [0, 1, 2])
def test_who_gives_up_at_the_gate_holds_nobody_up(given_up: int) -> None:
    gate = Gate()

    async def main() -> None:
        await gate.enter()
        waiting = [asyncio.ensure_future(gate.enter(rank)) for rank in (0, 1, None)]
        await asyncio.sleep(0)
        waiting[given_up].cancel()
        gate.leave()
        for place in (item for number, item in enumerate(waiting) if number != given_up):
            await place
            gate.leave()
        await gate.enter(0)

    asyncio.run(asyncio.wait_for(main(), 10))


class Counting:
    """An executor that says how many evaluations were in it at once."""

    def __init__(self) -> None:
        self.now, self.most = 0, dict[str, int]()

    async def assess(self, assignment: Assignment) -> Assessment:
        self.now += 1
        await asyncio.sleep(0)
        self.most[assignment.example.id] = self.now
        self.now -= 1
        return Assessment(assignment.example.id, 0, 1.0, None, None, None, None, NO_USAGE, 0.0, ())

    async def aclose(self) -> None:
        """Nothing to do."""


def given(example: str, **values: str) -> Assignment:
    ready = runtime(hinted)
    return Assignment("c", program(), Example(example, values), 0, as_metric(hazards.told, ready), ready)


def test_suspects_are_evaluated_alone_and_the_others_together(tmp_path: Path) -> None:
    path, ledger, place = tmp_path / "run.flight", MemoryLedger(), Counting()

    async def main() -> None:
        died = FlightRecord(path)
        died.took_off(ONE)
        died.took_off(TWO)
        died.close()
        executor = await noting(path, ledger, place)
        await asyncio.gather(*(executor.assess(given(example)) for example in "41523"))
        await executor.aclose()

    asyncio.run(main())
    assert {key[1]: death.kills for key, death in ledger.deaths.items()} == {"1": 0, "2": 0}
    assert place.most["1"] == place.most["2"] == 1
    assert max(place.most.values()) > 1
    assert left_behind(path) == Crash((), os.getpid(), None)


def test_what_is_cancelled_or_raises_has_landed(tmp_path: Path) -> None:
    path = tmp_path / "run.flight"

    async def main() -> None:
        executor = NotedExecutor(TaskExecutor(), FlightRecord(path), ())
        task = asyncio.ensure_future(executor.assess(given("1", text="x", label="red")))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await executor.aclose()
        await executor.aclose()

    asyncio.run(main())
    assert left_behind(path) == Crash((), os.getpid(), None)


def test_code_that_calls_sys_exit_ends_its_evaluation_alone() -> None:
    found = asyncio.run(TaskExecutor().assess(given("1", text="sample 7 weighs 49 grams", label="red", act="exit")))
    assert (found.score, found.error_kind, found.error) == (None, "crash", "crash: it called sys.exit(5)")


@pytest.mark.parametrize(
    ("act", "status", "on"),
    [
        ("segfault", "signal 11", "file"), ("leave", "status 3", "file"), ("gone", "status 0", "file"),
        ("segfault", "signal 11", "server"),
    ],
)  # fmt: skip
def test_an_example_that_kills_its_process_twice_is_let_be_and_the_run_ends(
    bench: Bench, tmp_path: Path, request: pytest.FixtureRequest, act: str, status: str, on: str
) -> None:
    """Whatever it dies of, also of a status that means something else when a process ends in order."""
    store = str(tmp_path / "dspex.db") if on == "file" else new_database(request.getfixturevalue("server"))
    given = made(bench, store, metric=hazards.told, acts=dict.fromkeys(range(1, 20, 4), act))
    carriers = Carriers(bench, given)
    assert watched(carriers, RestartPolicy(most=3, base=0.01)) == 0  # more deaths than a run may have that stands still
    assert given.status().state == "completed"
    found = given.within(lambda run: run.quarantined())
    killers = given.look(partial(asked_killers, run=given.run))
    assert {item.example for item in found} == killers != set()
    assert all(status in item.reason for item in found)
    assert not [row for row in given.facts().evaluations if row[1] in killers]
    assert f"{len(found)} pairs are quarantined, of {len(killers)} examples" in given.within(lambda run: run.report())
    # Each pair died once alone; a round's first death is one among others.
    assert given.status().restarts == len(carriers.started) - 1
    assert len(found) < len(carriers.started) - 1 <= 2 * len(found)
    assert all(gone(pid) for pid in carriers.started)


def asked_killers(connection: Connection, run: str) -> set[str]:
    """Ids of the examples that do harm and that the search has asked."""
    spec = RunSpec.model_validate(runs.find(connection, run).spec)
    harmful = {item.id for item in data.get(connection, spec.val) if "act" in item.values}
    kept, _, _ = rows_of(connection, run)
    return harmful & {example for item in kept for _, example, _ in item.pairs}


def test_an_example_is_let_be_for_all_once_two_candidates_were_lost_to_it(bench: Bench, tmp_path: Path) -> None:
    given = made(bench, str(tmp_path / "dspex.db"), metric=hazards.told, acts=dict.fromkeys(range(0, 20, 3), "leave"))
    assert watched(Carriers(bench, given), RestartPolicy(most=3, base=0.01)) == 0
    lost = [item.example for item in given.within(lambda run: run.quarantined())]
    rounds, _, rows = given.look(partial(rows_of, run=given.run))
    for example in set(lost):
        deadly = sorted({row.round for row in rows if row.example == example})
        candidates = Counter(row.round for row in rows if row.example == example)
        before = sum(candidates[number] for number in deadly[:-1])
        assert before < QUARANTINED, "it was tried after a round in which the second candidate was lost to it"
    assert len(rounds) > 2


def test_a_run_with_killers_ends_the_same_whatever_finished_first(bench: Bench, tmp_path: Path) -> None:
    acts: dict[int, str] = dict.fromkeys((2, 9, 14), "leave")
    found: list[Any] = []
    for number, concurrency in enumerate((8, 3)):
        store = str(tmp_path / f"{number}.db")
        given = made(bench, store, metric=hazards.told, acts=acts, concurrency=concurrency)
        assert watched(Carriers(bench, given), RestartPolicy(most=3, base=0.01)) == 0
        facts = given.facts()
        quarantined = [(item.candidate, item.example) for item in given.within(lambda run: run.quarantined())]
        found.append((facts.program, facts.candidates, facts.evaluations, facts.rounds, quarantined))
    assert found[0] == found[1]


def test_a_metric_that_kills_its_process_on_every_example_fails_the_run_with_the_reason(
    bench: Bench, tmp_path: Path
) -> None:
    acts = dict.fromkeys(range(20), "segfault")
    given = made(bench, str(tmp_path / "dspex.db"), metric=hazards.told, acts=acts)
    carriers = Carriers(bench, given)
    assert watched(carriers, RestartPolicy(base=0.01)) == 0
    status = given.status()
    assert status.state == "failed"
    assert "kills its process on every example" in status.reason
    assert "signal 11" in status.reason
