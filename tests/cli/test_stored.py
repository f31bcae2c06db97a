"""Stored programs and the store, from the command."""

from __future__ import annotations

from pathlib import Path

import pytest

import dspex as library
from dspex.cli.beginning import init
from dspex.configuration.files import load, save
from dspex.errors import ConfigurationError
from tests.cli.conftest import Dspex


@pytest.fixture
def two_versions(dspex: Dspex, tmp_path: Path) -> Path:
    """A project with `tickets` stored twice, production at the first."""
    init(tmp_path)
    save(load(tmp_path / "program.yaml").configured({"route.temperature": 0.5}), tmp_path / "warmer.yaml")
    assert dspex("programs", "create", "program.yaml", "--json").data["number"] == 1
    assert dspex("programs", "create", "program.yaml", "--json").data["number"] == 1, "the same content is one version"
    assert dspex("programs", "create", "warmer.yaml", "--note", "warmer", "--json").data["number"] == 2
    assert dspex("programs", "promote", "tickets@1").code == 0
    return tmp_path


def test_a_label_moves_only_from_where_it_was_seen(dspex: Dspex, two_versions: Path) -> None:
    refused = dspex("programs", "promote", "tickets@2", "--if-at", "2")
    assert (refused.code, "points at version 1, not 2" in refused.err) == (2, True)
    moved = dspex("programs", "promote", "tickets@2", "--if-at", "1", "--json").data
    assert (moved["version"], moved["was"]) == (2, 1)
    assert dspex("programs", "rollback", "tickets", "--json").data["version"] == 1
    assert dspex("programs", "rollback", "tickets").code == 2, "there is none before the first"
    assert dspex("programs", "rollback", "tickets", "--to", "2", "--json").data["version"] == 2
    history = dspex("programs", "history", "tickets", "--json").data["versions"]
    assert [(item["number"], item["labels"]) for item in history] == [(2, ["production"]), (1, [])]


def test_a_stored_program_stands_wherever_a_file_does(dspex: Dspex, two_versions: Path) -> None:
    first, second = (load(two_versions / name) for name in ("program.yaml", "warmer.yaml"))
    assert dspex("show", "tickets@production", "--json").data["hash"] == first.hash
    assert dspex("show", f"tickets@{second.hash[:6]}", "--json").data["hash"] == second.hash
    assert dspex("diff", "tickets@1", "warmer.yaml", "--json").data["changes"][0]["path"] == "route.temperature"
    assert dspex("programs", "diff", "tickets@1", "tickets", "--json").data["changes"][0]["after"] == 0.5
    assert dspex("run", "tickets", "-i", "ticket=my parcel", "--json").data["calls"] == 1
    assert dspex("eval", "tickets@2", "--limit", "8", "--json").data["n"] == 8
    assert dspex("programs", "export", "tickets@2", "--out", "again.yaml").code == 0
    assert load(two_versions / "again.yaml").hash == second.hash
    state = library.run("tickets@production", {"ticket": "my parcel"}, library.runtime())
    assert set(state.values) == {"team", "urgency"}
    assert library.stored_program("tickets").hash == second.hash
    assert library.current_performance("tickets") is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (("show", "tickts@production"), "did you mean 'tickets'?"),
        (("run", "tickets@9"), "unknown version or label '9'"),
        (("programs", "delete", "tickets"), "say so with --yes"),
        (("programs", "export", "tickets", "--out", "program.yaml"), "there already"),
        (("programs", "promote", "tickets@1", "--if-at", "one"), "write a version's number"),
        (("programs", "promote", "tickets@1", "--label", "3"), "a number means a version"),
        (("programs", "promote", "tickets@1", "--label", "to be"), "label 'to be': begin with a letter"),
        (("runs", "list", "--state", "runing"), "did you mean 'running'?"),
        (("runs", "raise", "nothing"), "name the limit to set: --calls"),
        (("runs", "show", "nothing"), "unknown run 'nothing'"),
        (("runs", "list", "--store", "elsewhere.db"), "there is no store here"),
        (("db", "backup", "program.yaml"), "there already"),
    ],
)
def test_mistakes_are_told(dspex: Dspex, two_versions: Path, line: tuple[str, ...], said: str) -> None:
    outcome = dspex(*line)
    assert (outcome.code, said in outcome.err) == (2, True), outcome.err


def test_a_deleted_program_is_gone(dspex: Dspex, two_versions: Path) -> None:
    assert dspex("programs", "delete", "tickets", "--yes", "--json").data["deleted"] == 2
    assert dspex("programs", "list", "--json").data == {"programs": []}


def test_a_store_is_checked_copied_and_shrunk(dspex: Dspex, two_versions: Path) -> None:
    found = dspex("db", "check", "--json").data
    assert (found["problems"], found["rows"]["versions"]) == ([], 2)
    assert dspex("db", "backup", "copy.db", "--json").data["bytes"] > 0
    assert dspex("programs", "history", "tickets", "--store", "copy.db", "--json").data["program"] == "tickets"
    assert dspex("db", "vacuum", "--json").code == 0
    assert dspex("db", "upgrade", "--store", "new.db", "--json").data["schema"] == found["schema"]


def test_a_damaged_store_is_not_sound(dspex: Dspex, two_versions: Path) -> None:
    assert dspex("db", "vacuum").code == 0
    path = two_versions / ".dspex" / "dspex.db"
    data = bytearray(path.read_bytes())
    for at in range(8 * 4096, len(data), 4096):
        data[at : at + 512] = b"x" * 512
    path.write_bytes(bytes(data))
    outcome = dspex("db", "check")
    assert (outcome.code, "NOT sound" in outcome.out) == (1, True), outcome
    path.write_bytes(bytes(data[: 8 * 4096]))
    outcome = dspex("db", "check")
    assert (outcome.code, "NOT sound: it cannot be read" in outcome.out) == (1, True), outcome
    assert "restore a backup" in outcome.out
    told = dspex("db", "check", "--json")
    assert (told.code, told.data["schema"], len(told.data["problems"])) == (1, None, 1)
    assert "restore a backup" in dspex("db", "vacuum").err


def test_the_password_of_a_store_is_not_shown(dspex: Dspex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSPEX_STORE", "postgresql://me:hidden@127.0.0.1:1/x")
    for line in (("config",), ("config", "--json"), ("doctor",), ("runs", "list")):
        outcome = dspex(*line)
        assert "hidden" not in outcome.out + outcome.err, line


def test_a_search_in_memory_names_no_stored_program() -> None:
    program = "tickets"
    with pytest.raises(ConfigurationError, match="needs its store"):
        library.optimize(
            program, [], [], library.ExactMatch("team"), library.runtime("embedded/lexical"), store=":memory:"
        )


def test_executions_of_a_stored_program_are_kept(dspex: Dspex, two_versions: Path) -> None:
    assert dspex("programs", "executions", "tickets", "--json").data["executions"] == []
    assert dspex("run", "tickets@1", "-i", "ticket=my parcel").code == 0
    library.run("tickets@2", {"ticket": "my invoice"}, library.runtime())
    found = dspex("programs", "executions", "tickets", "--json").data["executions"]
    assert [(item["version"], item["outcome"]["inputs"]["ticket"]) for item in found] == [
        (2, "my invoice"),
        (1, "my parcel"),
    ]
    assert found[1]["outcome"]["usage"]["calls"] == 1
    assert "my invoice" in dspex("programs", "executions", "tickets").out
    text = (two_versions / "dspex.toml").read_text(encoding="utf-8")
    (two_versions / "dspex.toml").write_text("executions = false\n" + text, encoding="utf-8")
    assert dspex("run", "tickets", "-i", "ticket=my parcel").code == 0
    assert len(dspex("programs", "executions", "tickets", "--json").data["executions"]) == 2
    assert dspex("run", "program.yaml", "-i", "ticket=my parcel").code == 0, "a file is not a stored program"


def test_a_shared_budget_is_set_shown_and_taken_away(dspex: Dspex) -> None:
    assert "no shared budget" in dspex("db", "budget", "--none").out
    assert "usd: 0 of 20 spent by 0 runs" in dspex("db", "budget", "--usd", "20").out
    found = dspex("db", "budget", "--calls", "1000", "--json").data["shared_budget"]
    assert (found["budget"], found["spent"]["calls"], found["runs"]) == ({"calls": 1000}, 0, 0)
    assert dspex("db", "budget", "--none", "--usd", "3").code == 2
    assert dspex("db", "budget", "--none", "--json").data == {"shared_budget": None}
