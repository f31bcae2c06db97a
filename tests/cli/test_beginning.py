"""`dspex init`, and the commands that then work without an argument; offline."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dspex.cli.data import examples
from dspex.cli.evaluating import gate
from dspex.cli.tickets import CHANCE
from dspex.configuration.files import load, save
from dspex.evaluation.result import Evaluation
from dspex.evaluation.rows import read_rows
from dspex.kernel.ports import NO_USAGE
from dspex.kernel.program import Program, Step
from dspex.kernel.shorthand import signature
from tests.cli.conftest import Dspex, Outcome

FILES = ["program.yaml", "data.jsonl", "test.jsonl", "metric.py", "dspex.toml", "README.md", ".gitignore"]


@pytest.fixture
def project(dspex: Dspex, tmp_path: Path) -> Path:
    assert dspex("init").code == 0
    return tmp_path


def test_init_writes_a_project_and_says_what_to_type_next(dspex: Dspex, tmp_path: Path) -> None:
    outcome = dspex("init", "first/project")
    assert outcome.code == 0
    assert sorted(item.name for item in (tmp_path / "first/project").iterdir()) == sorted(FILES)
    assert "cd first/project" in outcome.out
    assert "dspex eval" in outcome.out
    data = dspex("init", "second", "--json").data
    assert data == {"folder": str(tmp_path / "second"), "files": sorted(FILES)}


def test_init_overwrites_nothing_unasked(dspex: Dspex, tmp_path: Path) -> None:
    (tmp_path / "metric.py").write_text("mine", encoding="utf-8")
    outcome = dspex("init")
    assert outcome.code == 2
    assert "metric.py is already there" in outcome.err
    assert "--force" in outcome.err
    assert [item.name for item in tmp_path.iterdir()] == ["metric.py"]
    assert (tmp_path / "metric.py").read_text(encoding="utf-8") == "mine"
    assert dspex("init", "--force").code == 0
    assert (tmp_path / "metric.py").read_text(encoding="utf-8") != "mine"


def test_the_parts_share_no_row(project: Path) -> None:
    data, test = (
        set((project / name).read_text(encoding="utf-8").splitlines()) for name in ("data.jsonl", "test.jsonl")
    )
    assert len(data) == 240
    assert len(test) == 120
    assert not data & test


def test_eval_measures_without_an_argument(dspex: Dspex, project: Path) -> None:
    data = dspex("eval", "--json").data
    assert data["n"] == data["scored"] == 240
    assert data["score"] > CHANCE
    assert data["interval"]["low"] < data["score"] < data["interval"]["high"]
    assert len(data["worst"]) == 5
    assert data["worst"][0]["score"] == 0
    assert data["worst"][0]["feedback"].startswith("team: expected")
    assert data["gate"] is None


def test_eval_from_a_folder_below_finds_everything(
    dspex: Dspex, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "deep/er").mkdir(parents=True)
    monkeypatch.chdir(project / "deep/er")
    assert dspex("eval", "--limit", "5", "--json").data["n"] == 5
    assert (project / ".dspex/calls.db").is_file()
    assert list((project / "deep/er").iterdir()) == []


def test_eval_shows_people_score_interval_and_worst_answers(dspex: Dspex, project: Path) -> None:
    outcome = dspex("eval", "--limit", "30")
    assert "95% interval" in outcome.out
    assert "over 30 of 30" in outcome.out
    assert "worst answers" in outcome.out
    assert "(0 retries)" in outcome.out


def test_a_gate_that_fails_is_exit_code_1(dspex: Dspex, project: Path) -> None:
    failed = dspex("eval", "--limit", "20", "--min-score", "0.99", "--json")
    assert failed.code == 1
    assert failed.data["gate"] == {"min_score": 0.99, "passed": False}
    assert "gate failed: the score is" in failed.err
    passed = dspex("eval", "--limit", "20", "--min-score", "0.01")
    assert (passed.code, passed.err) == (0, "")


def evaluation(score: float | None, scored: int, n: int) -> Evaluation:
    return Evaluation(
        program="p", program_hash="h", metric="m", data="d", score=score, interval=None, n=n, scored=scored,
        failures={"server": n - scored} if n > scored else {}, zeros={}, details={}, usage=NO_USAGE, seconds=0.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("score", "scored", "least", "passed"),
    [
        (0.5, 10, 0.5, True),
        (0.5, 10, 0.51, False),
        (0.5, 8, 0.4, True),
        (0.5, 8, 0.5, None),
        (0.5, 8, 0.61, False),
        (None, 0, 0.0, True),
        (None, 0, 0.1, None),
    ],
)
def test_a_gate_is_judged_by_what_is_certain(
    score: float | None, scored: int, least: float, passed: bool | None
) -> None:
    assert gate(evaluation(score, scored, 10), least) is passed


def test_rows_are_written_never_overwritten_and_resumed(dspex: Dspex, project: Path) -> None:
    assert dspex("eval", "--limit", "6", "--rows", "rows.jsonl").code == 0
    again = dspex("eval", "--limit", "8", "--rows", "rows.jsonl")
    assert again.code == 2
    assert "give --resume to carry on with it" in again.err
    resumed = dspex("eval", "--limit", "8", "--rows", "rows.jsonl", "--resume", "--json").data
    assert resumed["n"] == 8
    assert "6 rows were scored before and not paid for again" in resumed["notes"]
    assert len(list(read_rows(project / "rows.jsonl"))) == 8


def test_files_of_rows_compare_without_a_model(dspex: Dspex, project: Path) -> None:
    line = ("eval", "--limit", "40", "--metric", "exact:team")
    assert dspex(*line, "--rows", "one.jsonl").code == 0
    changed = load(project / "program.yaml").configured({"route.instructions": "Answer."})
    save(changed, project / "worse.yaml")
    assert dspex("eval", "worse.yaml", *line[1:], "--rows", "two.jsonl").code == 0
    (project / "dspex.toml").unlink()
    found = dspex("compare", "one.jsonl", "two.jsonl", "--json").data
    assert found["n"] == 40
    assert found["difference"] == pytest.approx(found["score_second"] - found["score_first"])
    text = dspex("compare", "one.jsonl", "two.jsonl", "data.jsonl").out
    assert "over 40 examples of both" in text
    assert f"{len(found['improved'])} improved, {len(found['regressed'])} regressed" in text


def test_run_prints_outputs_and_takes_json(dspex: Dspex, project: Path) -> None:
    outcome = dspex("run", "--input", "ticket=My parcel is lost")
    assert outcome.code == 0
    assert [line.partition(":")[0] for line in outcome.out.splitlines()] == ["team", "urgency"]
    by_name = dspex("run", "-i", "ticket=My parcel is lost", "--json").data
    by_object = dspex("run", "--json-input", '{"ticket": "My parcel is lost"}', "--json").data
    assert by_name["outputs"] == by_object["outputs"]
    assert by_name["cached_calls"] == 1


def test_run_shows_the_conversation_on_request(dspex: Dspex, project: Path) -> None:
    outcome = dspex("run", "-i", "ticket=My parcel is lost", "--history", "--json")
    (record,) = outcome.data["history"]
    assert record["rung"] == "strict"
    assert [item["role"] for item in record["messages"]] == ["system", "user"]
    assert "My parcel is lost" in outcome.err


def test_optimize_improves_saves_and_says_how(dspex: Dspex, project: Path) -> None:
    outcome = dspex("optimize", "--calls", "700")
    assert outcome.code == 0
    assert "budget 700 calls" in outcome.err
    assert "round 0" in outcome.err
    for text in ("gain +", "route.", "saved: program-optimized.yaml", "dspex diff program.yaml program-optimized.yaml"):
        assert text in outcome.out
    better = dspex("compare", "program.yaml", "program-optimized.yaml", "test.jsonl", "--json").data
    assert better["n"] == 120
    assert better["difference"] > 0.05
    assert load(project / "program-optimized.yaml").hash != load(project / "program.yaml").hash


def test_optimize_as_json_is_one_object_and_repeats_itself(
    dspex: Dspex, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSPEX_CACHE", "none")
    line = ("optimize", "--strategy", "bootstrap", "--calls", "300", "--json", "--seed", "3")
    first = dspex(*line, "--out", "one.json", "--concurrency", "1", "--store", "one.db").data
    second = dspex(*line, "--out", "two.json", "--store", "two.db").data
    assert 0 < first["calls"] <= 300
    assert first["tried"] == second["tried"]
    assert first["changes"] == second["changes"]
    assert first["improved"] is (project / "one.json").exists()
    assert first["out"] == ("one.json" if first["improved"] else None)


def one_line(outcome: Outcome, said: str) -> None:
    """The outcome is a usage error that says this, without a call having been paid for."""
    assert outcome.code == 2, outcome
    assert said in outcome.err
    assert outcome.out == ""
    assert not Path(".dspex/calls.db").exists() or b"completion" not in Path(".dspex/calls.db").read_bytes()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["eval", "--metric", "exact:tem"], "did you mean 'team'?"),
        (["eval", "--metric", "metric.py:scor"], "did you mean 'score'?"),
        (["eval", "--resume"], "name it with --rows FILE"),
        (["eval", "--model", "gpt"], "write it as provider/name"),
        (["eval", "--model", "opnai/gpt"], "did you mean 'openai'?"),
        (["eval", "--judge-model", "openai/gpt-5-mini"], "give its criteria with --judge TEXT"),
        (["run"], "input 'ticket' is missing"),
        (["run", "-i", "tickt=x"], "did you mean 'ticket'?"),
        (["run", "-i", "ticket"], "write NAME=VALUE"),
        (["run", "--json-input", "{"], "--json-input: not JSON"),
        (["run", "--json-input", "[]"], "inputs are an object"),
        (["run", "-i", "ticket=x", "--set", "route.temprature=1"], "did you mean 'temperature'?"),
        (["run", "-i", "ticket=x", "--set", "rout.temperature=1"], "did you mean 'route'?"),
        (["optimize", "--strategy", "atuo"], "did you mean 'auto'?"),
        (["optimize", "--out", "program.yaml"], "this file is there already"),
        (["optimize", "--out", "program.txt"], "ends in .json, .yaml or .yml"),
        (["optimize", "--train", "data.jsonl"], "--val is not given"),
        (["optimize", "--data", "data.jsonl", "--val", "test.jsonl"], "give it alone"),
        (["optimize", "--train", "data.jsonl", "--val", "data.jsonl"], "in both train and val"),
        (["compare", "program.yaml", "program.yaml"], "the same program"),
        (["compare", "program.yaml", "data.jsonl"], "not one of each"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_paid(
    dspex: Dspex, project: Path, line: list[str], said: str
) -> None:
    one_line(dspex(*line), said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there are no rows"),
        ('{"ticket": "a", "team": "sales", "urgency": "low"}\n{"ticket": \n', "bad.jsonl:2"),
        ('{"ticket": "a", "team": "sales"}\n', "'urgency'"),
        ('{"text": "a", "team": "sales", "urgency": "low"}\n', "'ticket'"),
        ('{"ticket": 3, "team": "sales", "urgency": "low"}\n', "row 1"),
        ('["a"]\n', "bad.jsonl:1"),
    ],
)
def test_bad_data_names_the_file_and_the_line(dspex: Dspex, project: Path, text: str, said: str) -> None:
    (project / "bad.jsonl").write_text(text, encoding="utf-8")
    outcome = dspex("eval", "program.yaml", "bad.jsonl", "--metric", "exact:team,urgency")
    one_line(outcome, said)
    assert "bad.jsonl" in outcome.err


def test_cells_of_a_table_become_what_the_program_takes(dspex: Dspex, tmp_path: Path) -> None:
    fields = signature("count: int, sizes: list[float], note -> big: bool")
    save(Program(name="p", pipeline=(Step(name="s", module="predict", signature=fields),)), tmp_path / "p.json")
    (tmp_path / "d.csv").write_text('count,sizes,note,big\n7,"[1, 2.5]",8,yes\n,[],,false\n', encoding="utf-8")
    rows = [dict(item.values) for item in examples(tmp_path / "d.csv", load(tmp_path / "p.json"))]
    assert rows[0] == {"count": 7, "sizes": [1, 2.5], "note": "8", "big": True}
    assert rows[1]["big"] is False
    (tmp_path / "d.csv").write_text("count,sizes,note,big\nmany,[],x,yes\n", encoding="utf-8")
    one_line(dspex("eval", "p.json", "d.csv", "--metric", "exact:big", "--model", "embedded/lexical"), "d.csv:2")


@pytest.mark.parametrize(
    ("body", "said"), [("return 'good'", "metric 'score' returned 'good'"), ("return 3", "metric 'score' returned 3")]
)
def test_a_metric_that_returns_nonsense_is_found_first(dspex: Dspex, project: Path, body: str, said: str) -> None:
    (project / "own.py").write_text(f"def score(example, state):\n    {body}\n", encoding="utf-8")
    one_line(dspex("eval", "--metric", "own.py:score"), said)


def test_a_missing_key_names_the_variable_the_setting_and_the_offline_model(dspex: Dspex, project: Path) -> None:
    for line in (["eval"], ["run", "-i", "ticket=x"], ["optimize"]):
        outcome = dspex(*line, "--model", "openai/gpt-5-mini")
        assert outcome.code == 3
        for text in ("OPENAI_API_KEY", "key_env", "embedded/lexical"):
            assert text in outcome.err


def test_no_model_at_all_says_where_to_write_one(dspex: Dspex, project: Path) -> None:
    toml = (project / "dspex.toml").read_text(encoding="utf-8")
    (project / "dspex.toml").write_text(toml.replace('model = "embedded/lexical"', ""), encoding="utf-8")
    one_line(dspex("eval"), "DSPEX_MODEL")


def test_the_readme_names_commands_that_exist(dspex: Dspex, project: Path) -> None:
    text = (project / "README.md").read_text(encoding="utf-8")
    lines = [line.split()[1] for line in text.splitlines() if line.startswith("    dspex ")]
    assert len(lines) >= 6
    for name in lines:
        assert dspex(name, "--help").code == 0


def test_doctor_and_models_tell_what_is_there_and_never_a_key(
    dspex: Dspex, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    report = dspex("doctor", "--call", "--json")
    states = {item["name"]: item["state"] for item in report.data["checks"]}
    assert (report.code, report.data["ok"]) == (0, True)
    for name in ("python", "model", "program", "data", "metric", "call", "writing"):
        assert states[name] == "ok", name
    providers = {item["name"]: item["key"] for item in dspex("models", "--json").data["providers"]}
    assert providers["openai"] == "set"
    assert providers["anthropic"] == "missing"
    assert providers["ollama"] == "optional"
    for line in (["doctor"], ["models"], ["config"], ["doctor", "--json"], ["models", "--json"]):
        outcome = dspex(*line)
        assert outcome.code == 0
        assert "sk-very-secret" not in outcome.out + outcome.err


def test_doctor_finds_faults_and_says_what_to_do(dspex: Dspex, project: Path) -> None:
    (project / "program.yaml").unlink()
    outcome = dspex("doctor", "--model", "openai/gpt-5-mini", "--json")
    assert outcome.code == 3
    faults = {item["name"]: item["said"] for item in outcome.data["checks"] if item["state"] == "fault"}
    assert set(faults) == {"model", "program"}
    assert "OPENAI_API_KEY" in faults["model"]
    assert "there is no such program file" in faults["program"]


def test_prices_have_a_date_and_can_be_set(dspex: Dspex, project: Path) -> None:
    toml = (project / "dspex.toml").read_text(encoding="utf-8")
    (project / "dspex.toml").write_text(toml + '\n[prices."mine/x"]\ninput = 1\noutput = 2\n', encoding="utf-8")
    data = dspex("models", "--json").data
    assert data["prices"]["mine/x"] == {"input": 1, "output": 2}
    assert len(data["prices_date"]) == 10
    assert json.dumps(data)
