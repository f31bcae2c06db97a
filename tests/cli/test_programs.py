"""`dspex show`, `dspex diff` and `dspex config`: looking at programs and settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dspex.configuration.files import save
from dspex.kernel.file_schema import program_json_schema
from dspex.kernel.program import Program, Step
from dspex.kernel.shorthand import signature
from dspex.kernel.variables import Choice, Demos, Float, Text
from tests.cli.conftest import Dspex

ROUTE = signature("ticket -> team: Literal['billing', 'technical'], sure: bool", "Route a ticket.")


def program() -> Program:
    options = {"instructions": Text(), "demos": Demos(4), "temperature": Float(0, 1), "model": "some/where"}
    return Program(name="route", description="Who answers.", pipeline=(Step(
        name="plan", module="absent_here", signature=ROUTE, options=options),))  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return save(program(), tmp_path / "route.yaml")


def test_show_tells_fields_steps_variables_and_hash(dspex: Dspex, file: Path) -> None:
    outcome = dspex("show", "route.yaml")
    assert (outcome.code, outcome.err) == (0, "")
    for text in (
        "ticket: text",
        "team: billing | technical, sure: true or false",
        "plan: absent_here (ticket -> team, sure)",
        "plan.temperature",
        "number 0..1",
        program().hash[:12],
    ):
        assert text in outcome.out


def test_show_json_is_one_object_that_loads_again(dspex: Dspex, file: Path) -> None:
    data = dspex("show", "route.yaml", "--json").data
    assert data["hash"] == program().hash
    assert {item["path"]: item["value"] for item in data["variables"]} == program().values
    assert data["configurations"] is None
    assert Program.from_data(data["program"]) == program()


def test_inactive_variables_are_counted_apart(dspex: Dspex, tmp_path: Path) -> None:
    steps = tuple(
        Step(name=name, module="predict", signature=ROUTE, options={"temperature": Float(0, 1)}) for name in ("a", "b")
    )
    choice = Step(
        name="c", module="choose", signature=ROUTE, options={"choice": Choice("a", "b", steps=True)}, steps=steps
    )
    save(Program(name="two", pipeline=(choice,)), tmp_path / "two.json")
    outcome = dspex("show", "two.json")
    assert "c.a.temperature" in outcome.out
    assert "c.b.temperature" not in outcome.out
    assert "1 more is inactive" in outcome.out


def test_the_published_schema_is_printed(dspex: Dspex) -> None:
    outcome = dspex("show", "--schema", "--json")
    assert outcome.data == json.loads(json.dumps(program_json_schema()))


def test_diff_names_paths_and_marks_words(dspex: Dspex, file: Path, tmp_path: Path) -> None:
    demo = {"ticket": "charged twice", "team": "billing", "sure": True}
    changed = program().configured({
        "plan.instructions": "Route a ticket to the team that can really solve it.",
        "plan.demos": [demo],
        "plan.temperature": 0.4,
    })  # fmt: skip
    save(changed, tmp_path / "better.json")
    outcome = dspex("diff", "route.yaml", "better.json")
    assert outcome.code == 0
    assert "Route a [-ticket.-]{+ticket to the team that can really solve it.+}" in outcome.out
    assert "plan.demos: 0 -> 1 demonstrations" in outcome.out
    assert "charged twice" in outcome.out
    assert "plan.temperature: 0.0 -> 0.4" in outcome.out
    data = dspex("diff", "route.yaml", "better.json", "--json").data
    assert {item["path"] for item in data["changes"]} == {"plan.instructions", "plan.demos", "plan.temperature"}


def test_diff_of_equal_programs_says_so(dspex: Dspex, file: Path) -> None:
    assert dspex("diff", "route.yaml", "route.yaml").out == "The programs do the same.\n"


def test_a_misspelt_file_gets_a_suggestion(dspex: Dspex, file: Path) -> None:
    outcome = dspex("show", "rout.yaml")
    assert outcome.code == 2
    assert outcome.err == "dspex: rout.yaml: there is no such program file; did you mean 'route.yaml'?\n"


def test_a_program_of_a_newer_schema_is_refused(dspex: Dspex, tmp_path: Path) -> None:
    (tmp_path / "new.json").write_text(json.dumps({**program().to_data(), "schema_version": 99}), encoding="utf-8")
    outcome = dspex("show", "new.json")
    assert outcome.code == 2
    assert "schema_version 99 is newer than this DSPEx reads (1); upgrade DSPEx" in outcome.err


@pytest.mark.parametrize(
    ("text", "said"),
    [("{\n  'name': 1}", "bad.json:2: not JSON"), ("[]", "a program is a mapping"), ('{"name": "x"}', "pipeline")],
)
def test_a_file_that_is_no_program_is_one_clear_error(dspex: Dspex, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "bad.json").write_text(text, encoding="utf-8")
    outcome = dspex("show", "bad.json")
    assert outcome.code == 2
    assert said in outcome.err
    assert outcome.err.count("\n") == 1


def test_nothing_named_says_how_to_name_it(dspex: Dspex) -> None:
    outcome = dspex("show")
    assert outcome.code == 2
    assert 'program = "program.yaml" under [project] in dspex.toml' in outcome.err


def test_config_tells_every_value_and_where_it_came_from(
    dspex: Dspex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dspex.toml").write_text('cache = "none"\n[project]\nprogram = "p.yaml"\n', encoding="utf-8")
    monkeypatch.setenv("DSPEX_MODEL", "openai/some")
    data = dspex("config", "--json").data
    path = str(tmp_path / "dspex.toml")
    assert data["file"] == path
    assert data["settings"]["model"] == {"value": "openai/some", "from": "environment DSPEX_MODEL"}
    assert data["settings"]["cache"] == {"value": "none", "from": path}
    assert data["settings"]["project.program"] == {"value": "p.yaml", "from": path}
    assert data["settings"]["project.data"] == {"value": None, "from": "default"}
    assert data["settings"]["retries"]["from"] == "default"
    text = dspex("config").out
    assert "environment DSPEX_MODEL" in text
    assert path in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("modle = 1", "unknown setting 'modle'; did you mean 'model'?"),
        ("[project]\nprogramm = 'x'", "project.programm"),
        ("[providers.openai]\napi_key = 'sk-1'", "a key does not belong in a file"),
        ("x = ", "not TOML"),
    ],
)
def test_a_faulty_dspex_toml_is_one_clear_error(dspex: Dspex, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "dspex.toml").write_text(text, encoding="utf-8")
    outcome = dspex("config")
    assert outcome.code == 2
    assert said in outcome.err
    assert "sk-1" not in outcome.err
