"""What proposers ask of a program: its variables by kind, the step each belongs to, and what data fits that step."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from dspex.errors import VariableError
from dspex.kernel.ports import JSON
from dspex.kernel.program import Program, Step
from dspex.kernel.signature import Example
from dspex.kernel.space import Configuration, Dimension
from dspex.kernel.validation import InvalidValuesError
from dspex.kernel.variables import Variable


@dataclass(frozen=True, slots=True)
class Hole:
    """An active variable and the step whose option it is."""

    dimension: Dimension
    path: str
    """Of the step."""
    step: Step

    @property
    def option(self) -> str:
        return self.dimension.path.rpartition(".")[2]


def holes(program: Program, values: Configuration, *kinds: str) -> list[Hole]:
    """The active variables of these kinds, in pipeline order."""
    steps = dict(program.walk())
    found: list[Hole] = []
    for dimension in program.space:
        path = dimension.path.rpartition(".")[0]
        if dimension.path in values and kind_of(dimension) in kinds:
            found.append(Hole(dimension, path, steps[path]))
    return found


def kind_of(dimension: Dimension) -> str:
    """`text`, `demos`, `float` ..."""
    return str(getattr(dimension.variable, "kind", ""))


def require_kinds(program: Program, strategy: str, wanted: Collection[str]) -> None:
    """Raises VariableError where the program has no variable of these kinds."""
    there = {kind_of(item) for item in program.space}
    if there.isdisjoint(wanted):
        raise VariableError(
            f"strategy {strategy!r} varies {_listed(wanted)}, and program {program.name!r} has only "
            f"{_listed(there)}; add such a variable, or use strategy='auto'"
        )


def text_of(hole: Hole, values: Configuration) -> str:
    """The text of a Text variable; without one it is the signature's own instructions."""
    text = values.get(hole.dimension.path)
    return text if isinstance(text, str) else hole.step.signature.instructions


def worked(step: Step, values: Mapping[str, JSON]) -> dict[str, JSON] | None:
    """The fields of `step` out of `values` as a demonstration; None where one that is required is absent, or any does
    not fit its type."""
    signature = step.signature
    given = {item.name: values[item.name] for item in signature.inputs if item.name in values}
    answered = {item.name: values[item.name] for item in signature.outputs if item.name in values}
    try:
        signature.questions(given)
        signature.answers(answered)
    except InvalidValuesError:
        return None
    return {**given, **answered}


def setting_of(hole: Hole, values: Configuration, option: str) -> JSON:
    """What another option of the same step is set to, as a variable or plainly; None where it is not."""
    return setting(hole.path, hole.step, values, option)


def setting(path: str, step: Step, values: Configuration, option: str) -> JSON:
    """What an option of the step at `path` is set to, as a variable or plainly; None where it is not."""
    value = step.options.get(option)
    return values.get(f"{path}.{option}") if isinstance(value, Variable) else value


@dataclass(frozen=True, slots=True)
class Worked:
    """The fields of a step with their values, and the example they come from: a demonstration."""

    example: str
    values: Mapping[str, JSON]


def labelled(step: Step, examples: Sequence[Example]) -> list[Worked]:
    """Those examples that say all of what `step` takes and gives."""
    return [Worked(item.id, shown) for item in examples if (shown := worked(step, item.values)) is not None]


def transplanted(program: Program, values: Configuration, donor: Configuration) -> dict[str, JSON]:
    """`values`, with texts and demonstrations of `donor` moved to the steps that took their steps' place.

    Where another branch of a choice is active in `values`, a text or demonstrations written for the old branch serve
    the new one as long as the fields are the same.
    """
    moved = dict(values)
    given = holes(program, donor, "text", "demos")
    for hole in holes(program, values, "text", "demos"):
        if hole.dimension.path in donor:
            continue
        for other in given:
            fits = other.option == hole.option and other.path not in values and _same_fields(other.step, hole.step)
            value = donor[other.dimension.path]
            if fits and hole.dimension.variable.problem(value) is None:
                moved[hole.dimension.path] = value
                break
    return moved


def _same_fields(one: Step, other: Step) -> bool:
    names = [{item.name for item in (*s.signature.inputs, *s.signature.outputs)} for s in (one, other)]
    return names[0] == names[1]


def _listed(kinds: Collection[str]) -> str:
    return ", ".join(sorted(kinds)) or "none"
