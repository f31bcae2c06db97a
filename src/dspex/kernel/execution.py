"""The kernel's loop: a reduce over the pipeline. Everything it calls is looked up once, in `prepare`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from dspex.errors import InputError, ProgramError, UnknownNameError
from dspex.kernel.canonical import plain
from dspex.kernel.ports import JSON, Event, ModuleSpec, Runtime
from dspex.kernel.program import Program, Step
from dspex.kernel.quick import quick
from dspex.kernel.signature import Schema, validator_of
from dspex.kernel.state import Record, State, StepError
from dspex.kernel.validation import InvalidValuesError, Validator
from dspex.kernel.variables import Variable

WIRE_SETTINGS: Mapping[str, str] = {
    "temperature": "sampling temperature, 0 or more",
    "top_p": "nucleus sampling, 0..1",
    "max_tokens": "most tokens of an answer",
    "stop": "texts that end an answer",
    "seed": "sampling seed, where the server has one",
    "presence_penalty": "-2..2",
    "frequency_penalty": "-2..2",
    "reasoning_effort": "how long a reasoning model thinks",
    "extra_body": "further keys of the request, provider-specific",
}
"""Options that every module that calls a model takes and that go into the request."""
_REMEMBERED = 512  # prepared programs a runtime keeps
_state, _event = quick(State), quick(Event)


@dataclass(slots=True)
class Stage:
    """A step made ready: its module found, its options resolved, its active sub-steps ready too."""

    path: str
    step: Step
    spec: ModuleSpec
    options: dict[str, Any]
    children: dict[str, Stage]
    names: tuple[str, ...]
    """Of its inputs."""
    gives: tuple[str, ...]
    """Names of its outputs."""
    questions: Validator
    memory: dict[Any, Any] = field(default_factory=dict[Any, Any])


@dataclass(slots=True)
class Prepared:
    """A program made ready for one runtime."""

    program: Program
    stages: tuple[Stage, ...]
    questions: Validator
    required: frozenset[str]
    """Inputs that have no default."""
    where: str


class Context:
    """The StepContext handed to a module, for one performance of one stage.

    A module may perform sub-steps side by side. Its history is in the order in which they were asked for, and what a
    task asks for one after the other stays together: so it is the same whichever of them is answered first.
    """

    __slots__ = ("_entries", "_stage", "inputs", "runtime", "sample")

    def __init__(self, stage: Stage, inputs: Mapping[str, JSON], runtime: Runtime, sample: int) -> None:
        self._stage, self.inputs, self.runtime, self.sample = stage, inputs, runtime, sample
        self._entries: list[tuple[int, list[Record]]] = []
        """What was done, as it was begun: what its task had done before, by its number here (-1: nothing), and how."""

    @property
    def history(self) -> list[Record]:
        """Records of what was done so far."""
        if len(self._entries) == 1:
            return self._entries[0][1]
        following: dict[int, list[int]] = {}
        for number, (before, _) in enumerate(self._entries):
            following.setdefault(before, []).append(number)
        found: list[Record] = []
        waiting = following.pop(-1, [])[::-1]
        while waiting:
            number = waiting.pop()
            found.extend(self._entries[number][1])
            waiting.extend(following.get(number, ())[::-1])
        return found

    @property
    def path(self) -> str:
        return self._stage.path

    @property
    def step(self) -> Step:
        return self._stage.step

    @property
    def options(self) -> Mapping[str, Any]:
        return self._stage.options

    @property
    def memory(self) -> dict[Any, Any]:
        return self._stage.memory

    @property
    def signature(self) -> Schema:
        return self._stage.step.signature

    def record(self, record: Record) -> None:
        self._begun([record])

    def _begun(self, records: list[Record]) -> int:
        latest = _latest.get()
        self._entries.append((latest[1] if latest is not None and latest[0] is self else -1, records))
        return len(self._entries) - 1

    async def run(self, name: str, inputs: Mapping[str, JSON]) -> dict[str, JSON]:
        """Outputs of the sub-step `name` for these inputs; its history joins this step's, also when it fails."""
        child = self._stage.children.get(name)
        if child is None:
            raise UnknownNameError("sub-step", name, self._stage.children, f"step {self.path!r}")
        state = _state(_checked(child.questions, inputs, f"step {child.path!r}"), {})
        records: list[Record] = []
        place = self, self._begun(records)
        try:
            state = await perform(child, state, self.runtime, self.sample)
        except StepError as error:
            records.extend(error.state.history)
            raise
        finally:
            _latest.set(place)
        records.extend(state.history)
        return dict(state.values)


_latest = ContextVar[tuple[Context, int] | None]("_latest", default=None)
"""What the present task has last performed: tasks that it starts from here on go on from that."""


async def execute(
    program: Program,
    inputs: Mapping[str, Any],
    runtime: Runtime,
    *,
    overrides: Mapping[str, Any] | None = None,
    sample: int = 0,
) -> State:
    """Run `program` once. `overrides` set flat paths for this run; `sample` is the index of the draw.

    Raises InputError before the first step, StepError (with the state so far) from a step that fails, and
    ConfigurationErrors from preparing.
    """
    prepared = prepare(program.overridden(overrides) if overrides else program, runtime)
    state = start(prepared, inputs)
    for stage in prepared.stages:
        state = await perform(stage, state, runtime, sample)
    return state


def start(prepared: Prepared, inputs: Mapping[str, Any]) -> State:
    """The state before the first step. Raises InputError naming what is missing, unknown or of the wrong type."""
    return _state(_checked(prepared.questions, inputs, prepared.where), {})


async def perform(stage: Stage, state: State, runtime: Runtime, sample: int) -> State:
    """One stage: call its module, fold its outputs into the state."""
    inputs, values = state.inputs, state.values
    seen = {
        name: values[name] if name in values else inputs[name]
        for name in stage.names
        if name in values or name in inputs
    }
    context = Context(stage, seen, runtime, sample)
    observer = runtime.observer
    if observer is not None:
        observer(_event("step.started", stage.path, {"module": stage.spec.name}))
    try:
        outputs = await stage.spec.run(context)
        for name in stage.gives:
            if name not in outputs:
                raise ProgramError(f"module {stage.spec.name!r} returned no {name!r}, only {sorted(outputs)}")
    except Exception as error:
        if observer is not None:
            observer(Event("step.failed", stage.path, {"error": error}))
        so_far = State(inputs, values, (*state.history, *context.history))
        if isinstance(error, StepError):
            raise StepError(error.step, so_far, error.cause) from error.cause
        raise StepError(stage.path, so_far, error) from error
    if observer is not None:
        observer(_event("step.finished", stage.path, {"outputs": outputs}))
    return _state(inputs, {**values, **outputs}, (*state.history, *context.history))


def prepare(program: Program, runtime: Runtime) -> Prepared:
    """`program` made ready for `runtime`, remembered there by content hash.

    Raises ConfigurationErrors for what does not exist (module, option, adapter, model, key), before any payment.
    """
    found: Prepared | None = runtime.prepared.get(program.hash)
    if found is None:
        stages = tuple(_stage(step, step.name, program.values, runtime) for step in program.pipeline)
        required = frozenset(item.name for item in program.inputs if not item.optional)
        questions = validator_of(program.inputs, "forbid")
        found = Prepared(program, stages, questions, required, f"program {program.name!r}")
        if len(runtime.prepared) >= _REMEMBERED:
            del runtime.prepared[next(iter(runtime.prepared))]
        runtime.prepared[program.hash] = found
    return found


def _checked(questions: Validator, inputs: Mapping[str, Any], where: str) -> dict[str, JSON]:
    """Inputs as JSON. Raises InputError naming what is missing, unknown or of the wrong type."""
    try:
        return questions(inputs)
    except InvalidValuesError:
        # Dates, models, enums and tuples are not JSON yet; those that are come here only to be refused.
        given = {str(key): plain(value, f"{where}, input {key!r}") for key, value in inputs.items()}
    try:
        return questions(given)
    except InvalidValuesError as error:
        raise InputError(f"{where}: input {error}") from None


def _stage(step: Step, path: str, values: Mapping[str, JSON], runtime: Runtime) -> Stage:
    spec = runtime.modules.get(step.module)
    known = [*spec.options, *(WIRE_SETTINGS if spec.calls_model else ())]
    options: dict[str, Any] = {}
    for key, value in step.options.items():
        if key not in known and not spec.any_option:
            raise UnknownNameError("option", key, known, f"step {path!r} (module {spec.name!r})")
        resolved = values[f"{path}.{key}"] if isinstance(value, Variable) else value
        if resolved is not None:
            options[key] = resolved
    if step.steps and not spec.composite:
        raise ProgramError(f"step {path!r} has sub-steps, but module {spec.name!r} takes none")
    if spec.check is not None:
        spec.check(step, options, runtime)
    chooser = step.chooser
    active: Iterable[Step] = step.steps if chooser is None else (step.child(options[chooser]),)
    return Stage(
        path=path,
        step=step,
        spec=spec,
        options=options,
        children={item.name: _stage(item, f"{path}.{item.name}", values, runtime) for item in active},
        names=tuple(item.name for item in step.signature.inputs),
        gives=tuple(item.name for item in step.signature.outputs),
        questions=step.signature.questions,
    )
