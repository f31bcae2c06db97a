"""`dspex optimize --isolation process`: a metric that crashes or hangs, as a user of the command meets it."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Dspex

METRIC = '''
import os


def score(example, state):
    """Kills its process on one ticket of four."""
    if len(example["ticket"]) % 4 == 0:
        os._exit(9)
    return float(example["team"] == state["team"])
'''


def test_a_metric_that_crashes_takes_its_examples_with_it_and_nothing_else(dspex: Dspex, tmp_path: Path) -> None:
    assert dspex("init").code == 0
    (tmp_path / "harmful.py").write_text(METRIC)
    limits = ("--hard-timeout", "20", "--memory-mb", "500", "--concurrency", "3")
    done = dspex("optimize", "--isolation", "process", *limits, "--calls", "120", "--metric", "harmful.py:score")
    assert done.code == 0, done.err
    assert "pairs are quarantined" in done.out
    (listed,) = dspex("runs", "list", "--json").data["runs"]
    assert (listed["state"], listed["restarts"]) == ("completed", 0)
    shown = dspex("runs", "show", listed["id"])
    assert "quarantine example" in shown.out
    assert "its process ended with status 9 in the middle of it" in shown.out
    told = dspex("runs", "show", listed["id"], "--json").data
    assert {item["kills"] for item in told["quarantined"]} == {2}
    assert told["result"]["quarantined"] == told["quarantined"]


def test_limits_without_isolation_and_kinds_that_there_are_not_are_refused(dspex: Dspex, tmp_path: Path) -> None:
    assert dspex("init").code == 0
    done = dspex("optimize", "--hard-timeout", "5")
    assert done.code == 2
    assert "--hard-timeout and --memory-mb are limits of a worker: give --isolation process too" in done.err
    done = dspex("optimize", "--isolation", "proces")
    assert done.code == 2
    assert "did you mean 'process'" in done.err
    done = dspex("optimize", "--isolation", "process", "--hard-timeout", "0")
    assert done.code == 2
    assert "'timeout' should be greater than 0" in done.err
    assert not (tmp_path / ".dspex" / "dspex.db").exists()
