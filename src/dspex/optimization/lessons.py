"""What one run of a program, or two runs of the same example, teach the next candidate: a demonstration, or advice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from dspex.adapters import ADAPTERS
from dspex.errors import AnswerError
from dspex.kernel.ports import JSON, Capabilities, Completion, Dialogue
from dspex.kernel.signature import Input, Output, Signature
from dspex.kernel.space import Configuration
from dspex.kernel.variables import Demos
from dspex.optimization.buckets import dropped
from dspex.optimization.credit import blamed
from dspex.optimization.deciding import SearchView
from dspex.optimization.evidence import call_of, remark
from dspex.optimization.rows import Candidate, Evaluation
from dspex.optimization.stages import holes, text_of, worked
from dspex.optimization.wording import answered, line

LONGEST_INPUT = 100_000
"""Characters of one input in a demonstration."""


class Advising(Signature):
    """Two runs of a language-model program on the same input were scored, one higher than the other.

    Compare them: what did the modules of the better run do that those of the worse did not, and what would have made
    the worse run better? Then write advice for those modules that should act otherwise. The advice is added to a
    module's instructions and has to hold for other inputs of the same kind: say when it applies and what to do then.
    Leave out modules that did their part.
    """

    program: str = Input(description="the modules in order, with what they take and give and their instructions")
    module_names: list[str] = Input()
    example_inputs: str = Input()
    labels: str = Input(description="what the data says of the example; the program does not see it")
    better_run: str = Input(description="what each module was given and gave")
    better_result: str = Input(description="score in 0..1 and feedback")
    worse_run: str = Input()
    worse_result: str = Input()
    where_they_part: str = Input(description="the module that explains the difference, as far as it can be told")
    discussion: str = Output(description="what made the difference")
    module_advice: dict[str, str] = Output(description="advice for modules, by name; concrete and short")


class _Plainly(Signature):
    """The same, where a model gives its advice without the name of a module."""

    module_advice: str = Output()


@dataclass(frozen=True, slots=True)
class Lesson:
    """Two runs of one example to learn from, as far as they are of use."""

    example: str
    better: Evaluation | None
    worse: Evaluation | None


def without_some(search: SearchView, source: Candidate, rng: Random) -> dict[str, JSON]:
    """The values of a candidate with some demonstrations of each step taken out."""
    values = dict(source.values)
    for hole in holes(search.problem.program, source.values, "demos"):
        kept = list(values[hole.dimension.path])
        variable = hole.dimension.variable
        gone = dropped(len(kept), variable.max if isinstance(variable, Demos) else len(kept), rng)
        values[hole.dimension.path] = [item for index, item in enumerate(kept) if index not in gone]
    return values


def with_demonstration(search: SearchView, values: Configuration, run: Evaluation) -> dict[str, JSON] | None:
    """`values` with the last call of each step of a run as one more demonstration; None where no step has one."""
    found, added = dict(values), False
    for hole in holes(search.problem.program, values, "demos"):
        calls = [item for item in run.trace if item.step == hole.path and item.outputs is not None]
        if not calls:
            continue
        given = {name: _cut(value) for name, value in calls[-1].inputs.items()}
        shown = worked(hole.step, {**given, **(calls[-1].outputs or {})})
        present = found[hole.dimension.path]
        demos = [*present, shown]
        if shown is not None and shown not in present and hole.dimension.variable.problem(demos) is None:
            found[hole.dimension.path], added = demos, True
    return found if added else None


async def with_advice(search: SearchView, values: Configuration, lesson: Lesson, sample: int) -> dict[str, JSON] | None:
    """`values` with advice from two runs appended to the instructions of some steps; None where none can be used."""
    wanted = holes(search.problem.program, values, "text")
    messages = _dialogue(Advising).render(_told(search, values, lesson))
    said = await answered(search, messages, temperature=1.0, sample=sample)
    if said is None:
        return None
    advice = _advice_in(said, [hole.path for hole in wanted], _parting(search, lesson))
    found, added = dict(values), False
    for hole in wanted:
        text = (advice.get(hole.path) or "").strip()
        longer = f"{text_of(hole, values)}\n\n{text}"
        if text and text not in text_of(hole, values) and hole.dimension.variable.problem(longer) is None:
            found[hole.dimension.path], added = longer, True
    return found if added else None


def _dialogue(signature: type[Signature]) -> Dialogue:
    schema = signature.schema_of()
    return ADAPTERS["json"].bind(schema, schema.instructions, (), Capabilities())


def _advice_in(said: str, modules: Sequence[str], parting: Sequence[str]) -> Mapping[str, str]:
    """Advice by module. Where a model names none, it is for the only one, or for the one at which the runs part."""
    named = _read(Advising, said)
    if named is not None:
        return dict(named)
    meant = modules if len(modules) == 1 else [item for item in parting if item in modules]
    plain = _read(_Plainly, said)
    return {meant[0]: str(plain)} if plain is not None and len(meant) == 1 else {}


def _read(signature: type[Signature], said: str) -> JSON:
    try:
        return _dialogue(signature).parse(Completion(said)).values["module_advice"]
    except AnswerError:
        return None


def _parting(search: SearchView, lesson: Lesson) -> list[str]:
    """The steps that explain why the worse run is worse."""
    return [] if lesson.worse is None else list(blamed(search, lesson.worse, lesson.better))


def _told(search: SearchView, values: Configuration, lesson: Lesson) -> dict[str, JSON]:
    better, worse = lesson.better, lesson.worse
    example = search.problem.examples[lesson.example]
    taken = {item.name for item in search.problem.program.inputs}
    wanted = holes(search.problem.program, values, "text")
    modules = [
        {
            "module": hole.path,
            "takes": [item.name for item in hole.step.signature.inputs],
            "gives": [item.name for item in hole.step.signature.outputs],
            "instructions": text_of(hole, values),
        }
        for hole in wanted
    ]
    parting = _parting(search, lesson)
    return {
        "program": "\n".join(line(item) for item in modules),
        "module_names": [hole.path for hole in wanted],
        "example_inputs": line({name: value for name, value in example.values.items() if name in taken}),
        "labels": line({name: value for name, value in example.values.items() if name not in taken}),
        "better_run": _trajectory(better),
        "better_result": _result(better),
        "worse_run": _trajectory(worse),
        "worse_result": _result(worse),
        "where_they_part": ", ".join(parting) or "unknown",
    }


def _trajectory(run: Evaluation | None) -> str:
    if run is None:
        return "not available"
    steps: dict[str, JSON] = {}
    for trace in run.trace:
        call = call_of(run, trace.step)
        if call is not None and trace.step not in steps:
            gave = call.error if call.outputs is None else dict(call.outputs)
            steps[trace.step] = {"module": trace.step, "inputs": dict(call.inputs), "outputs": gave}
    return "\n".join(line(item) for item in steps.values())


def _result(run: Evaluation | None) -> str:
    if run is None:
        return "not available"
    said = remark(run)
    return said if said.startswith("score") else f"score {run.score:.2f}; {said}"


def _cut(value: JSON) -> JSON:
    return value[:LONGEST_INPUT] if isinstance(value, str) else value
