"""`dspex demo`, once, from a real command line to the files it leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dspex.cli.output import abridged
from dspex.cli.tickets import CHANCE, FIELDS, Ticket, program
from dspex.configuration.files import load
from dspex.kernel.difference import differences
from tests.cli.conftest import Dspex


def test_the_first_program_is_fair() -> None:
    first = program()
    instructions = Ticket.schema_of().instructions
    for field in first.outputs:
        if field.name in FIELDS:
            assert all(label in instructions for label in field.type["enum"])
    assert first.values["route.demos"] == []
    assert first.values["route.temperature"] == 0


def test_the_demo_keeps_its_promise(dspex: Dspex, tmp_path: Path) -> None:
    outcome = dspex("demo", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    data = outcome.data
    assert data["seed_score"] > CHANCE
    assert data["final_score"] >= data["seed_score"] + 0.15
    assert data["final_score"] >= data["random_demos_score"] + 0.08
    assert data["difference"] == pytest.approx(data["final_score"] - data["seed_score"])
    assert data["interval"]["low"] > 0
    assert 0 < data["calls"] <= 2000
    assert data["seconds"] > 0
    assert data["usd"] == 0
    path = Path(data["program"])
    assert path == tmp_path / "dspex-demo" / "optimized.yaml"
    assert [item["path"] for item in data["changed"]] == [item.path for item in differences(program(), load(path))]
    assert data["changed"]
    _works_in_its_folder(dspex, path.parent, data["final_score"])


def _works_in_its_folder(dspex: Dspex, folder: Path, score: float) -> None:
    """What the demo tells to type next does what it says, and finds the same score."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert dspex("eval", "--json").data["score"] == pytest.approx(score)
        assert dspex("diff", "first.yaml", "optimized.yaml").code == 0
        assert set(dspex("run", "-i", "ticket=My parcel is lost", "--json").data["outputs"]) == set(FIELDS)


def test_the_demo_tells_its_story_and_overwrites_nothing(
    dspex: Dspex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")  # where a mark of the change falls into what is cut off
    (tmp_path / "dspex-demo").mkdir()
    outcome = dspex("demo", "--seed", "2")
    assert (outcome.code, outcome.err) == (0, "")
    for text in ("answered:", "calls   best on val", "What changed:", "{+", "95% interval", "What to type next"):
        assert text in outcome.out
    assert list((tmp_path / "dspex-demo").iterdir()) == []
    assert (tmp_path / "dspex-demo-2" / "optimized.yaml").is_file()


def test_the_demo_heeds_no_setting_and_refuses_a_folder_that_is_there(
    dspex: Dspex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSPEX_MODEL", "openai/gpt-5-mini")
    (tmp_path / "there").mkdir()
    outcome = dspex("demo", "--out", "there", "--json")
    assert outcome.code == 2
    assert "nothing is overwritten" in json.loads(outcome.out)["error"]["message"]


@pytest.mark.parametrize(
    ("line", "cut"),
    [
        ("all of this fits {+here+}", "all of this fits {+here+}"),
        ("what is new begins at its very end{+", "what is new begins at ...{+"),
        ("what is new ended {+at its very end+} and more", "what is new ended {+at...+}"),
        ("a change that {+is cut+} off [-wholly-]{+", "a change that {+is cut...+}{+"),
        ("what is cut has one word {+new+} and no more", "what is cut has one wo..."),
        ("what begins at the cu{+t is not halved", "what begins at the cu...{+"),
    ],
)
def test_a_mark_of_a_change_is_not_cut_off(line: str, cut: str) -> None:
    assert abridged(line, 29) == cut
