"""The whole path in real processes against a real server that fails, as a user would meet it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dspex.cli.beginning import init
from dspex.evaluation.rows import read_rows
from dspex.optimization.options import SearchOptions
from tests.servers.chat import Address, serving

COMMAND = str(Path(sys.executable).with_name("dspex"))


def environment(**extra: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("DSPEX_")}
    return {**kept, "MINE_KEY": "right", **extra}


def dspex(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments], cwd=folder, env=env or environment(), capture_output=True, text=True, check=False
    )


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [COMMAND, *arguments], cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def project(folder: Path, server: Address, **settings: str) -> Path:
    """A project as `dspex init` writes it, pointed at the server."""
    init(folder)
    toml = (folder / "dspex.toml").read_text(encoding="utf-8")
    toml = toml.replace('model = "embedded/lexical"', 'model = "mine/lexical"')
    for name, value in settings.items():
        toml = re.sub(rf"^{name} = .*$", f"{name} = {value}", toml, flags=re.MULTILINE)
    mine = f'\n[providers.mine]\nbase_url = "{server.url}"\nkey_env = "MINE_KEY"\n'
    (folder / "dspex.toml").write_text(toml + mine, encoding="utf-8")
    return folder


def once(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait until `condition` holds; fails where the process ends first."""
    while not condition():
        assert process.poll() is None, process.communicate()


def test_nothing_is_lost_where_a_server_fails_one_time_in_twelve(tmp_path: Path) -> None:
    with serving(p429=0.05, p500=0.02, cut=0.01, seed=1, key="right") as server:
        folder = project(tmp_path, server)
        evaluated = dspex(folder, "eval", "--json")
        assert evaluated.returncode == 0, evaluated.stderr
        told = json.loads(evaluated.stdout)
        stats = server.stats()
        faults = sum(stats["statuses"].get(name, 0) for name in ("429", "500", "cut"))
        assert faults >= 8
        assert (told["n"], told["scored"], told["failures"]) == (240, 240, {})
        assert told["usage"]["calls"] == 240
        assert told["usage"]["retries"] == faults
        assert told["usage"]["usd"] is None, "the price is unknown, which is not zero"

        shown = dspex(folder, "eval", "--limit", "20")
        assert "(0 retries), 20 from memory" in shown.stdout

        before = faults
        optimized = dspex(folder, "optimize", "--calls", "500", "--json")
        assert optimized.returncode == 0, optimized.stderr
        found = json.loads(optimized.stdout)
        stats = server.stats()
        faults = sum(stats["statuses"].get(name, 0) for name in ("429", "500", "cut"))
        assert found["unevaluated"] == 0
        assert found["calls"] <= 500
        # One that fails when the budget is at its end is not sent again: as many as there are slots, at the most.
        given_up = faults - before - found["retries"]
        assert found["retries"] > 0
        assert 0 <= given_up <= SearchOptions().concurrency
        assert stats["answered_twice"] == 0, "no answer was paid for twice"
        assert found["improved"]
        assert (folder / "program-optimized.yaml").is_file()
        assert dspex(folder, "diff", "program.yaml", "program-optimized.yaml").returncode == 0


def test_what_was_cut_off_counts_against_the_budget_of_a_run_that_is_carried_on(tmp_path: Path) -> None:
    with serving(cut=0.1, seed=1, key="right", hold_after=150, delay=0.3) as server:
        folder = project(tmp_path, server)
        run = json.loads(dspex(folder, "optimize", "--calls", "300", "--detach", "--json").stdout)["run"]

        def shown() -> dict[str, Any]:
            found: dict[str, Any] = json.loads(dspex(folder, "runs", "show", run, "--json").stdout)
            return found

        while server.stats()["requests"] <= 150:
            assert shown()["state"] in ("queued", "running")
        assert dspex(folder, "runs", "pause", run, "--no-wait").returncode == 0
        server.release()
        while (now := shown())["state"] == "pausing" or now["alive"]:
            assert now["state"] in ("pausing", "paused")
        billed = server.stats()["statuses"]
        assert billed["cut"] >= 5
        carried = dspex(folder, "runs", "resume", run, "--here", "--json")
        assert carried.returncode == 0, carried.stderr
        resumed = json.loads(carried.stdout)
        billed = server.stats()["statuses"]
        assert resumed["result"]["usage"]["calls"] == resumed["spent"]["calls"]
        assert billed["200"] + billed["cut"] == resumed["spent"]["calls"] <= 300


def test_what_was_cut_off_counts_against_the_budget_of_a_run_that_an_outage_has_paused(tmp_path: Path) -> None:
    with serving(cut=1.0, key="right") as server:
        folder = project(tmp_path, server)
        env = environment(DSPEX_RETRIES="0", DSPEX_OUTAGE_SECONDS="0.2")
        outcome = dspex(folder, "optimize", "--calls", "300", "--json", env=env)
        told = json.loads(outcome.stdout)["error"]
        assert (told["exit_code"], outcome.returncode) == (3, 3)
        assert "the model is gone" in told["message"]
        id = json.loads(dspex(folder, "runs", "list", "--json").stdout)["runs"][0]["id"]
        run = json.loads(dspex(folder, "runs", "show", id, "--json").stdout)
        assert run["state"] == "paused"
        assert run["spent"]["calls"] == server.stats()["statuses"]["cut"] >= 10


def test_a_wrong_key_is_told_at_once(tmp_path: Path) -> None:
    with serving(key="right") as server:
        folder = project(tmp_path, server)
        outcome = dspex(folder, "eval", env=environment(MINE_KEY="wrong"))
    assert outcome.returncode == 3
    assert outcome.stdout == ""
    assert len(outcome.stderr.splitlines()) == 1
    for text in ("401", "MINE_KEY"):
        assert text in outcome.stderr


def test_control_c_keeps_what_was_paid_for_and_eval_carries_on(tmp_path: Path) -> None:
    with serving(delay=0.2) as server:
        folder = project(tmp_path, server, cache='"none"')
        process = started(folder, "eval", "--json")
        once(lambda: server.stats()["statuses"].get("200", 0) >= 40, process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
        assert process.returncode == 130
        assert json.loads(out)["error"]["exit_code"] == 130
        found = re.search(r"--rows (\S+) --resume", err)
        assert found is not None, err
        rows = Path(found.group(1))
        kept = sum(row.scored for row in read_rows(rows))
        assert kept >= 8
        before = server.stats()["requests"]
        resumed = dspex(folder, "eval", "--rows", str(rows), "--resume", "--json")
        assert resumed.returncode == 0, resumed.stderr
        assert json.loads(resumed.stdout)["scored"] == 240
        assert server.stats()["requests"] - before == 240 - kept


def test_an_outage_leaves_the_rows_and_a_gate_that_is_certain(tmp_path: Path) -> None:
    with serving(refuse_after=150) as server:
        folder = project(tmp_path, server, cache='"none"')
        settings = environment(DSPEX_RETRIES="0")
        outcome = dspex(folder, "eval", "--min-score", "0.2", "--json", env=settings)
    told: dict[str, Any] = json.loads(outcome.stdout)
    assert told["scored"] == 150
    assert told["failures"] == {"server": 90}
    assert told["score"] is not None
    assert "90 of 240 examples could not be scored" in outcome.stderr
    assert "--resume" in outcome.stderr
    assert outcome.returncode == 0, "even with 90 zeros the score would be 0.2"
    assert told["gate"]["passed"] is True


def test_a_budget_too_small_for_any_comparison_is_refused_unpaid(tmp_path: Path) -> None:
    with serving() as server:
        folder = project(tmp_path, server)
        outcome = dspex(folder, "optimize", "--calls", "5")
        assert server.stats()["requests"] == 0
    assert outcome.returncode == 2
    assert "a budget of 5 calls is too small" in outcome.stderr
