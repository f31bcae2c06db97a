"""The kernel's loop: a reduce over the pipeline. Everything it calls is looked up once, in `prepare`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dspex.errors import InputError, ProgramError, UnknownNameError
from dspex.kernel.canonical import plain
from dspex.kernel.ports import JSON, Event, ModuleSpec, Runtime
from dspex.kernel.program import Program, Step
from dspex.kernel.signature import Schema, validator_of
from dspex.kernel.state import Record, State, StepError, check_inputs
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


@dataclass(slots=True)
class Stage:
    """A step made ready: its module found, its options resolved, its active sub-steps ready too."""

    path: str
    step: Step
    spec: ModuleSpec
    options: dict[str, Any]
    children: dict[str, Stage] = field(default_factory=dict[str, "Stage"])
    memory: dict[Any, Any] = field(default_factory=dict[Any, Any])
    names: tuple[str, ...] = ()
    optional: frozenset[str] = frozenset()
    gives: frozenset[str] = frozenset()


@dataclass(slots=True)
class Prepared:
    """A program made ready for one runtime."""

    program: Program
    stages: tuple[Stage, ...]
    questions: Validator
    required: frozenset[str]


class Context:
    """The StepContext handed to a module, for one performance of one stage."""

    __slots__ = ("_stage", "history", "inputs", "memory", "options", "path", "runtime", "sample", "step")

    def __init__(self, stage: Stage, inputs: Mapping[str, JSON], runtime: Runtime, sample: int) -> None:
        self._stage, self.inputs, self.runtime, self.sample = stage, inputs, runtime, sample
        self.path, self.step, self.memory = stage.path, stage.step, stage.memory
        self.options: Mapping[str, Any] = stage.options
        self.history: list[Record] = []

    @property
    def signature(self) -> Schema:
        return self.step.signature

    def record(self, record: Record) -> None:
        self.history.append(record)

    async def run(self, name: str, inputs: Mapping[str, JSON]) -> dict[str, JSON]:
        """Outputs of the sub-step `name` for these inputs; its history joins this step's, also when it fails."""
        if name not in self._stage.children:
            raise UnknownNameError("sub-step", name, self._stage.children, f"step {self.path!r}")
        child = self._stage.children[name]
        given = {key: plain(value, f"{child.path}, input {key!r}") for key, value in inputs.items()}
        check_inputs(given, frozenset(child.names), frozenset(child.names) - child.optional, f"step {child.path!r}")
        try:
            state = await perform(child, State(given, {}), self.runtime, self.sample)
        except StepError as error:
            self.history.extend(error.state.history)
            raise
        self.history.extend(state.history)
        return dict(state.values)


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


async def perform(stage: Stage, state: State, runtime: Runtime, sample: int) -> State:
    """One stage: call its module, fold its outputs into the state."""
    seen = {name: _seen(state, name) for name in stage.names if name in state.values or name in state.inputs}
    context = Context(stage, seen, runtime, sample)
    observer = runtime.observer
    if observer is not None:
        observer(Event("step.started", stage.path, {"module": stage.spec.name}))
    try:
        outputs = await stage.spec.run(context)
        if not stage.gives <= outputs.keys():
            raise ProgramError(f"module {stage.spec.name!r} returned no {sorted(stage.gives - outputs.keys())}")
    except Exception as error:
        if observer is not None:
            observer(Event("step.failed", stage.path, {"error": error}))
        if isinstance(error, StepError):
            raise StepError(error.step, _folded(state, {}, context), error.cause) from error.cause
        raise StepError(stage.path, _folded(state, {}, context), error) from error
    if observer is not None:
        observer(Event("step.finished", stage.path, {"outputs": outputs}))
    return _folded(state, outputs, context)


def start(prepared: Prepared, inputs: Mapping[str, Any]) -> State:
    """The state before the first step. Raises InputError naming what is missing, unknown or of the wrong type."""
    where = f"program {prepared.program.name!r}"
    given = {key: plain(value, f"{where}, input {key!r}") for key, value in inputs.items()}
    check_inputs(given, prepared.questions.names, prepared.required, where)
    try:
        return State(prepared.questions(given), {})
    except InvalidValuesError as error:
        raise InputError(f"{where}: input {error}") from None


def prepare(program: Program, runtime: Runtime) -> Prepared:
    """`program` made ready for `runtime`, remembered there by content hash.

    Raises ConfigurationErrors for what does not exist (module, option, adapter, model, key), before any payment.
    """
    found: Prepared | None = runtime.prepared.get(program.hash)
    if found is None:
        stages = tuple(_stage(step, step.name, program.values, runtime) for step in program.pipeline)
        required = frozenset(item.name for item in program.inputs if not item.optional)
        found = Prepared(program, stages, validator_of(program.inputs), required)
        if len(runtime.prepared) >= 512:
            del runtime.prepared[next(iter(runtime.prepared))]
        runtime.prepared[program.hash] = found
    return found


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
    if spec.check is not None:
        spec.check(step, options, runtime)
    chooser = step.chooser
    active: Iterable[Step] = step.steps if chooser is None else (step.child(options[chooser]),)
    children = {item.name: _stage(item, f"{path}.{item.name}", values, runtime) for item in active}
    signature = step.signature
    return Stage(
        path, step, spec, options, children,
        names=tuple(item.name for item in signature.inputs),
        optional=frozenset(item.name for item in signature.inputs if item.optional),
        gives=frozenset(item.name for item in signature.outputs),
    )  # fmt: skip


def _seen(state: State, name: str) -> JSON:
    return state.values[name] if name in state.values else state.inputs[name]


def _folded(state: State, outputs: Mapping[str, JSON], context: Context) -> State:
    if not state.values and not state.history:
        return State(state.inputs, dict(outputs), tuple(context.history))
    return replace(state, values={**state.values, **outputs}, history=(*state.history, *context.history))
