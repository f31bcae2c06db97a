from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from pydantic import ValidationError

from dspex.errors import ProgramError, UnknownNameError, VariableError
from dspex.kernel.program import Program, Step
from dspex.kernel.shorthand import signature
from dspex.kernel.variables import Choice, Demos, Float, Text
from tests.kernel.generated import FEW, programs

S = signature("question -> answer", "Answer it.", name="Answer")


def step(name: str = "draft", *steps: Step, **options: object) -> Step:
    return Step(name=name, module="flow" if steps else "predict", signature=S, options=options, steps=steps)


def sample() -> Program:
    flow = step("flow", step("draft", temperature=Float(0, 1), stop=["x"]), step("check", style=Choice("a", "b")))
    return Program(
        name="sample",
        pipeline=[flow, step("last", instructions=Text(), demos=Demos(2), max_tokens=10)],
        configuration={"flow.draft.temperature": 0.5},
        constraints=["flow.draft.temperature <= 0.9"],
    )


@FEW
@given(programs())
def test_a_program_survives_json(program: Program) -> None:
    data = json.loads(json.dumps(program.to_data()))
    read = Program.from_data(data)
    assert read == program
    assert read.to_data() == program.to_data()
    assert (read.hash, read.values, read.description) == (program.hash, program.values, program.description)


@FEW
@given(programs())
def test_a_json_writer_that_drops_the_point_of_1_0_changes_nothing(program: Program) -> None:
    def whole(value: Any) -> Any:
        if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
            return int(value)
        if isinstance(value, dict):
            return {key: whole(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
        return [whole(item) for item in value] if isinstance(value, list) else value  # pyright: ignore[reportUnknownVariableType]

    assert Program.from_data(whole(program.to_data())).hash == program.hash


def test_the_hash_is_pinned_so_that_stored_hashes_stay_true() -> None:
    assert sample().hash == "79ebe01bfd2fb234833fea4796737d7a6a4e0d8d7e4c25517783542f0d0bcf21"


def test_the_hash_is_the_same_in_every_process() -> None:
    code = "from tests.kernel.test_program import sample; print(sample().hash)"
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "src:."},
        )
        assert done.stdout.strip() == sample().hash


def test_the_hash_is_of_what_a_program_does() -> None:
    program = sample()
    assert (
        Program(
            name="other",
            description="more",
            pipeline=program.pipeline,
            configuration={"flow.draft.temperature": 0.5},
            constraints=program.constraints,
        ).hash
        == program.hash
    )
    assert program.configured({"flow.draft.temperature": 0.4}).hash != program.hash
    assert program.configured({"flow.check.style": "a"}).hash == program.hash  # the value it has anyway
    assert program.overridden({"last.max_tokens": 11}).hash != program.hash
    assert program.configured({}) == program
    assert len({program, program.configured({}), program.configured({"flow.check.style": "b"})}) == 2


def test_a_program_cannot_be_changed() -> None:
    program = sample()
    before = program.hash
    values: Any = program.values
    with pytest.raises(ValidationError, match="frozen"):
        program.name = "x"  # pyright: ignore[reportAttributeAccessIssue]
    changes: list[Any] = [
        lambda: program.configuration.update({"flow.draft.temperature": 0.1}),
        lambda: program.values["last.demos"].append({}),
        lambda: values.update({"flow.draft.temperature": 0.1}),
        lambda: program.pipeline[0].steps[0].options["stop"].append("y"),
        program.pipeline[0].signature.outputs[0].type.clear,
    ]
    for change in changes:
        with pytest.raises(TypeError, match="cannot be changed"):
            change()
    assert Program.from_data(program.to_data()).hash == before


def test_what_was_given_may_change_afterwards() -> None:
    stop, demos = ["x"], [{"question": "q", "answer": "a"}]
    program = Program(name="p", pipeline=[step(stop=stop, demos=Demos(2))], configuration={"draft.demos": demos})
    stop.append("y")
    demos.clear()
    assert program.pipeline[0].options["stop"] == ["x"]
    assert len(program.values["draft.demos"]) == 1


def test_data_of_a_program_is_free_and_short() -> None:
    data = Program(name="p", pipeline=[step(heat=Float(0, 1))]).to_data()
    assert data["schema_version"] == 1
    assert data["pipeline"][0]["options"] == {"heat": {"$variable": "float", "low": 0.0, "high": 1.0}}
    assert "configuration" not in data
    data["pipeline"][0]["options"]["heat"]["low"] = 0.5


def test_overrides_keep_the_siblings() -> None:
    program = sample().overridden({"flow.draft.temperature": 0.2, "last.max_tokens": 20, "flow.draft.stop": None})
    assert program.values["flow.draft.temperature"] == 0.2
    assert program.step("last").options["max_tokens"] == 20
    assert program.step("last").options["demos"] == Demos(2)
    assert program.step("flow.draft").options == {"temperature": Float(0, 1), "stop": None}
    assert program.step("flow.check") == sample().step("flow.check")
    assert program.constraints == sample().constraints


def test_an_override_may_open_a_hole() -> None:
    program = sample().overridden({"last.max_tokens": Choice(10, 20), "flow.draft.temperature": Float(0, 2)})
    assert program.values["last.max_tokens"] == 10
    assert program.configured({"last.max_tokens": 20}).values["last.max_tokens"] == 20
    assert program.values["flow.draft.temperature"] == 0


def test_inputs_are_what_no_earlier_step_makes() -> None:
    first = Step(name="first", module="predict", signature=signature("question, hint: str | None -> query"))
    second = Step(name="second", module="predict", signature=signature("query, hint -> answer"))
    program = Program(name="p", pipeline=[first, second])
    assert [(item.name, item.optional) for item in program.inputs] == [("question", False), ("hint", False)]
    assert [item.name for item in program.outputs] == ["query", "answer"]
    assert [path for path, _ in sample().walk()] == ["flow", "flow.draft", "flow.check", "last"]


GOOD = sample().to_data()


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ([1], "a.json: a program is a mapping, this is list"),
        (
            {**GOOD, "schema_version": 2},
            r"a.json: schema_version 2 is newer than this DSPEx reads \(1\); upgrade DSPEx",
        ),
        ({**GOOD, "schema_version": "new"}, "a.json: program 'sample': 'schema_version' should be 1, got 'new'"),
        ({**GOOD, "pipeline": []}, "a.json: program 'sample': the pipeline is empty; give it at least one step"),
        ({"name": "p"}, "a.json: program 'p': 'pipeline' is missing"),
        ({**GOOD, "piepline": []}, r"'piepline' is not a known key; did you mean 'pipeline'\?"),
        ({**GOOD, "pipeline": "draft"}, "a.json: program 'sample': 'pipeline' should be a valid tuple"),
        ({**GOOD, "pipeline": [{"name": "x"}]}, "a.json: step 'x': 'module' is missing; 'signature' is missing"),
        ({**GOOD, "pipeline": GOOD["pipeline"] * 2}, "two steps are named 'flow'"),
        ({**GOOD, "configuration": [1]}, "a configuration maps paths to values, this is list"),
        ({**GOOD, "configuration": {"flow.darft.temperature": 1}}, "did you mean 'flow.draft.temperature'"),
        ({**GOOD, "configuration": {"flow.draft.temperature": 3}}, "flow.draft.temperature: 3 is outside 0.0..1.0"),
        (
            {**GOOD, "configuration": {"flow.draft.temperature": 1}},
            "constraint 'flow.draft.temperature <= 0.9' does not hold",
        ),
        ({**GOOD, "constraints": ["open('x')"]}, "is not allowed"),
        ({**GOOD, "constraints": 3}, "'constraints' should be a valid tuple"),
    ],
)
def test_a_malformed_file_is_one_clear_error(data: Any, complaint: str) -> None:
    with pytest.raises(ProgramError, match=complaint):
        Program.from_data(data, "a.json")


def test_a_type_that_cannot_be_enforced_is_found_when_the_file_is_read() -> None:
    data = json.loads(json.dumps(GOOD))
    data["pipeline"][1]["signature"]["outputs"][0]["type"] = {"type": "strng"}
    with pytest.raises(ProgramError, match=r"a\.json: field 'answer': its JSON Schema has the unknown type 'strng'"):
        Program.from_data(data, "a.json")


def test_mistakes_in_code_are_each_one_clear_error() -> None:
    with pytest.raises(ProgramError, match="program 'p': the pipeline is empty"):
        Program(name="p", pipeline=[])
    with pytest.raises(ProgramError, match="program 'p': two steps are named 'draft'"):
        Program(name="p", pipeline=[step(), step()])
    with pytest.raises(
        ProgramError, match=r"program 'p': 'pipeline\.0' should be a valid dictionary or instance of Step, got 'draft'"
    ):
        # Who has no type checker may write this.
        Program(name="p", pipeline=["draft"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    with pytest.raises(
        VariableError, match=r"no variable 'flow.draft.temprature'; did you mean 'flow.draft.temperature'\?"
    ):
        sample().configured({"flow.draft.temprature": 0.1})
    with pytest.raises(
        UnknownNameError, match=r"unknown step 'flwo' in path 'flwo.draft.temperature'; did you mean 'flow'\?"
    ):
        sample().overridden({"flwo.draft.temperature": 0.1})
    with pytest.raises(
        UnknownNameError, match=r"unknown step 'darft' in path 'flow.darft.temperature'; did you mean 'draft'"
    ):
        sample().overridden({"flow.darft.temperature": 0.1})
    with pytest.raises(UnknownNameError, match="unknown path 'temperature'"):
        sample().overridden({"temperature": 0.1})
    with pytest.raises(
        UnknownNameError, match=r"unknown step 'flow.dratf' in program 'sample'; did you mean 'flow.draft'"
    ):
        sample().step("flow.dratf")
