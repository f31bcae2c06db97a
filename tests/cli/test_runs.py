"""Durable runs as a user of the command meets them: real processes, a real server whose log is the truth."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import dspex as library
from dspex.clients.budget import Budget
from dspex.configuration.files import load
from dspex.errors import ConfigurationError
from dspex.optimization.options import SearchOptions
from dspex.optimization.problem import MIN_VAL
from dspex.storage import runs as rows
from dspex.storage.database import StorageError
from tests.cli.conftest import Dspex
from tests.cli.test_over_http import once, project, started
from tests.servers.chat import Address, serving

IN_FLIGHT = SearchOptions().concurrency


@pytest.fixture(autouse=True)
def key(dspex: Dspex, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the runs' processes inherit."""
    assert dspex is not None
    monkeypatch.setenv("MINE_KEY", "right")


def asked(dspex: Dspex, *arguments: str) -> dict[str, Any]:
    """What a command line says as JSON; fails where the command fails."""
    done = dspex(*arguments, "--json")
    assert done.code == 0, (arguments, done.err)
    return done.data


def detached(dspex: Dspex, *arguments: str) -> str:
    """The id of a search in a process of its own."""
    return str(asked(dspex, "optimize", "--detach", *arguments)["run"])


def answered(server: Address) -> int:
    return int(server.stats()["statuses"].get("200", 0))


def searching(server: Address, calls: int, dspex: Dspex, run: str) -> None:
    """Wait until the server has answered so many; fails where the run ends first."""
    while answered(server) < calls:
        assert asked(dspex, "runs", "show", run)["state"] in ("queued", "running"), dspex("runs", "logs", run)


def listed_again(dspex: Dspex) -> float | None:
    """The best score as the list of runs has it."""
    (listed,) = asked(dspex, "runs", "list")["runs"]
    score: float | None = listed["best_score"]
    assert f"{score:.3f} confirmed" in dspex("runs", "list").out
    return score


def test_a_detached_search_is_watched_to_its_end_and_its_program_exported(dspex: Dspex, tmp_path: Path) -> None:
    with serving() as server:
        folder = project(tmp_path, server)
        told = dspex("optimize", "--detach", "--calls", "300")
        assert told.code == 0, told.err
        (listed,) = asked(dspex, "runs", "list")["runs"]
        run = listed["id"]
        assert f"dspex runs watch {run}" in told.out
        watched = dspex("runs", "watch", run)
        assert watched.code == 0, watched.err
        assert "completed" in watched.out
        assert "\x1b" not in watched.out, "plain lines where there is no terminal"
        status = asked(dspex, "runs", "show", run)
        assert (status["state"], status["repeated_calls"], status["restarts"]) == ("completed", 0, 0)
        assert status["calls"] == answered(server) <= 300
        assert listed_again(dspex) == status["best_score"] >= status["seed_score"]
        assert status["evaluations"] > 0
        assert status["rounds"] > 1
        assert status["cost"] is None, "the price is unknown, which is not zero"
        assert status["result"]["confirmation"]["n"] >= 8
    asked(dspex, "runs", "export", run, "--out", "better.yaml")
    assert load(folder / "better.yaml").hash == load_hash(status)
    assert dspex("runs", "export", run, "--out", "better.yaml").code == 2, "no file is overwritten"
    rows = dspex("runs", "export", run, "--evaluations").out.splitlines()
    assert len(rows) == status["evaluations"]
    assert "run.started" in dspex("runs", "logs", run, "--events").out


def load_hash(status: dict[str, Any]) -> str:
    return library.Program.from_data(status["result"]["program"]).hash


def test_pausing_leaves_no_process_and_resuming_pays_for_nothing_twice(dspex: Dspex, tmp_path: Path) -> None:
    with serving(delay=0.15) as server:
        project(tmp_path, server)
        run = detached(dspex, "--calls", "300")
        searching(server, 40, dspex, run)
        paused = asked(dspex, "runs", "pause", run)
        assert paused["state"] == "paused"
        while asked(dspex, "runs", "show", run)["alive"]:  # its process leaves once it has written that it rests
            pass
        assert paused["calls"] == answered(server), "what was in flight ended and is booked"
        budget = asked(dspex, "runs", "raise", run, "--calls", "320")["budget"]
        assert budget == {"calls": 320}
        assert asked(dspex, "runs", "resume", run)["state"] in ("queued", "running")
        assert dspex("runs", "watch", run).code == 0
        ended = asked(dspex, "runs", "show", run)
        assert (ended["state"], ended["repeated_calls"], ended["budget"]) == ("completed", 0, {"calls": 320})
        assert ended["calls"] == answered(server) <= 320
        again = dspex("runs", "resume", run)
        assert (again.code, "fork it" in again.err) == (2, True)


def test_no_more_calls_are_begun_than_the_project_lets_on_the_wire(
    dspex: Dspex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSPEX_CONCURRENCY", "3")
    with serving(delay=600) as server:
        project(tmp_path, server)
        run = detached(dspex, "--calls", "300")
        while server.stats()["requests"] < 3:
            assert asked(dspex, "runs", "show", run)["state"] in ("queued", "running")
        assert asked(dspex, "runs", "show", run)["calls"] == 3, "others would count as sent after a kill"
        asked(dspex, "runs", "stop", run, "--now")


def test_control_c_pauses_a_search_in_the_foreground_and_it_is_carried_on_here(dspex: Dspex, tmp_path: Path) -> None:
    with serving(delay=0.15) as server:
        folder = project(tmp_path, server)
        process = started(folder, "optimize", "--calls", "300")
        once(lambda: answered(server) >= 40, process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
        assert (process.returncode, out) == (130, ""), err
        (row,) = asked(dspex, "runs", "list")["runs"]
        assert row["state"] == "paused"
        assert f"dspex runs resume {row['id']}" in err
        assert "Traceback" not in err
        carried = asked(dspex, "runs", "resume", row["id"], "--here")
        assert (carried["state"], carried["repeated_calls"]) == ("completed", 0)
        assert carried["calls"] == answered(server) <= 300


def test_control_c_on_watching_leaves_the_run_going(dspex: Dspex, tmp_path: Path) -> None:
    with serving(delay=0.15) as server:
        folder = project(tmp_path, server)
        run = detached(dspex, "--calls", "600")
        process = started(folder, "runs", "watch", run)
        searching(server, 20, dspex, run)
        assert process.stdout is not None
        assert process.stdout.readline(), "it is watching"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
        assert (process.returncode, f"dspex runs watch {run}" in err) == (130, True)
        assert asked(dspex, "runs", "show", run)["state"] == "running"
        stopped = asked(dspex, "runs", "stop", run)
        assert stopped["state"] == "stopped"
        assert asked(dspex, "runs", "show", run)["result"]["stopped"] == "stopped on request"


def test_a_run_stopped_at_once_is_forked_and_its_evaluations_are_carried_over(dspex: Dspex, tmp_path: Path) -> None:
    with serving(delay=0.15) as server:
        project(tmp_path, server)
        run = detached(dspex, "--calls", "300")
        searching(server, 60, dspex, run)
        assert asked(dspex, "runs", "stop", run, "--now")["state"] == "stopped"
        first = asked(dspex, "runs", "show", run)
        before = answered(server)
        made = asked(dspex, "runs", "fork", run, "--calls", "320", "--no-start")
        assert made["parent"] == run
        assert made["evaluations"] == first["evaluations"] > 0
        asked(dspex, "runs", "resume", made["id"])
        assert dspex("runs", "watch", made["id"]).code == 0
        ended = asked(dspex, "runs", "show", made["id"])
        assert ended["state"] == "completed"
        assert ended["repeated_calls"] <= IN_FLIGHT
        assert ended["evaluations"] > first["evaluations"]
        late = IN_FLIGHT  # of the run that was stopped: the server answers what is under way
        assert answered(server) - before <= ended["calls"] + late
        assert ended["calls"] + first["calls"] <= 320 + 2 * IN_FLIGHT, "once when sent, once when sent again"


def test_changed_code_is_refused_on_resume_and_forked_without_its_scores(dspex: Dspex, tmp_path: Path) -> None:
    with serving(delay=0.15) as server:
        folder = project(tmp_path, server)
        run = detached(dspex, "--calls", "200")
        searching(server, 40, dspex, run)
        asked(dspex, "runs", "pause", run)
        metric = folder / "metric.py"
        metric.write_text(metric.read_text(encoding="utf-8") + "\n# stricter from now on\n", encoding="utf-8")
        refused = dspex("runs", "resume", run, "--here")
        assert (refused.code, "has changed" in refused.err) == (2, True)
        made = asked(dspex, "runs", "fork", run, "--no-start")
        assert made["evaluations"] == 0
        before = answered(server)
        forked = asked(dspex, "runs", "resume", made["id"], "--here")
        assert forked["state"] == "completed"
        bought = answered(server) - before
        assert forked["calls"] == bought
        assert forked["result"]["usage"]["cached_calls"] >= MIN_VAL, "the round that both begin with is paid for"
        assert forked["repeated_calls"] == 0


def test_a_gain_is_promoted_unless_the_label_has_moved(dspex: Dspex, tmp_path: Path) -> None:
    with serving(delay=0.02) as server:
        folder = project(tmp_path, server)
        asked(dspex, "programs", "create", "program.yaml")
        asked(dspex, "programs", "promote", "tickets@1")
        found = asked(dspex, "optimize", "tickets@production", "--calls", "500")
        assert found["improved"]
        assert "stored as tickets@2, production" in dspex("runs", "show", found["run"]).out
        assert not list(folder.glob("*optimized*")), "the store has it"
        shown = asked(dspex, "programs", "show", "tickets@production")
        assert shown["version"]["number"] == 2
        assert shown["version"]["run"] == found["run"]
        assert shown["version"]["labels"] == ["production"]
        assert shown["current_performance"]["score"] == pytest.approx(found["final_score"])
        performance = library.current_performance("tickets", folder / ".dspex" / "dspex.db")
        assert performance is not None
        assert performance.number == 2
        asked(dspex, "programs", "promote", "tickets@1")
        run = detached(dspex, "tickets@production", "--calls", "500", "--seed", "1")
        searching(server, 20, dspex, run)
        asked(dspex, "programs", "promote", "tickets@2", "--if-at", "1")
        moved = "not promoted: tickets@production is version 2 by now; the run started from version 1; the run keeps"
        watched = dspex("runs", "watch", run)
        assert watched.code == 0
        assert moved in watched.out
        assert moved in dspex("runs", "show", run).out
        promotion = asked(dspex, "runs", "show", run)["result"]["promotion"]
        assert promotion["promoted"] is False
        assert "is version 2 by now" in promotion["why"]
        assert asked(dspex, "programs", "show", "tickets@production")["version"]["number"] == 2


def test_the_handle_has_the_same_in_python(dspex: Dspex, tmp_path: Path) -> None:
    with serving() as server:
        folder = project(tmp_path, server)
        store = folder / ".dspex" / "dspex.db"
        run = detached(dspex, "--calls", "200")
        with library.attach(run[:-2], store=store) as held:
            assert held.id == run
            status = held.wait()
            assert status.state == "completed"
            assert held.best().name == "tickets"
            assert held.report().startswith("optimization of 'tickets'")
            assert "importance of each variable" in held.report()
        page = folder / "report.html"
        assert asked(dspex, "runs", "report", run, "--format", "html", "--out", str(page))["out"] == str(page)
        assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
        assert dspex("runs", "report", run, "--format", "html", "--out", str(page)).code == 2, "it is there"
        assert dspex("runs", "report", run, "--format", "markdown").out.startswith("# optimization of 'tickets'")
        assert "did you mean 'html'" in dspex("runs", "report", run, "--format", "htm").err
        with library.attach(run[:-2], store=store) as held:
            assert held.events()[-1].kind == "run.completed"
            with pytest.raises(ConfigurationError, match="larger budget"):
                held.fork(budget=Budget(calls=50))
            made = held.fork(budget=Budget(calls=400))
            assert made.status().parent == run
            made.stop()
            assert made.status().state == "stopped"
        with pytest.raises(ConfigurationError, match="did you mean"):
            library.attach(run[:-1] + "_", store=store)


def test_a_script_that_works_when_imported_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text(
        "import dspex\n"
        "from dspex import Budget, Dataset, Program, Text\n"
        "def right(example, state):\n"
        "    return float(state['team'] == example['team'])\n"
        "step = dspex.predict('ticket -> team: str', name='route', instructions=Text())\n"
        "rows = Dataset.of([{'ticket': f'ticket {n}', 'team': 'ab'[n % 2]} for n in range(80)])\n"
        "train, val, _ = rows.split(0.3, 0.6, 0.1)\n"
        "runtime = dspex.runtime(model='embedded/lexical', file='none')\n"
        "program = Program(name='p', pipeline=[step])\n"
        "with dspex.start(program, train, val, right, runtime, budget=Budget(calls=100)) as r:\n"
        "    print(r.wait().reason)\n",
        encoding="utf-8",
    )
    done = subprocess.run([sys.executable, script.name], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '`if __name__ == "__main__":`' in done.stdout


def test_all_events_are_told_however_many(dspex: Dspex, tmp_path: Path) -> None:
    with serving() as server:
        project(tmp_path, server)
        run = str(asked(dspex, "optimize", "--calls", "100")["run"])
    store = tmp_path / ".dspex" / "dspex.db"

    async def more() -> None:
        async with await library.aattach(run, store=store) as found:
            for n in range(1200):
                await found.database.write(partial(rows.note, id=run, kind="said", data={"n": n}))

    asyncio.run(more())
    told = asked(dspex, "runs", "logs", run)["events"]
    assert [item["data"]["n"] for item in told if item["kind"] == "said"] == list(range(1200))
    assert dspex("runs", "logs", run, "--events").out.count("said") == 1200


def test_a_store_that_ends_a_search_does_not_end_knowing_how_to_come_back(
    dspex: Dspex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(run: library.AsyncRun, *_: object) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr("dspex.cli.carrying.carried_here", full)
    with serving() as server:
        project(tmp_path, server)
        done = dspex("optimize", "--calls", "100")
    assert done.code == 2
    assert "dspex runs resume " in done.err
