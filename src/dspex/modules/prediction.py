"""Steps that ask a model: `predict`, and `chain_of_thought`, which has it reason first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from dspex.errors import AnswerError, DspexError, RefusedError, SignatureError, UnknownNameError
from dspex.kernel.execution import WIRE_SETTINGS
from dspex.kernel.ports import (
    JSON,
    NO_USAGE,
    Completion,
    Dialogue,
    Event,
    Message,
    ModuleSpec,
    Parsed,
    Request,
    Settings,
    StepContext,
)
from dspex.kernel.program import Step
from dspex.kernel.quick import quick
from dspex.kernel.shorthand import as_schema
from dspex.kernel.signature import FieldSchema, Schema, Signature
from dspex.kernel.state import Record
from dspex.modules.options import check_prediction

OPTIONS: Mapping[str, str] = {
    "instructions": "what to do, in place of the signature's own",
    "demos": "demonstrations: a list of mappings from field to value",
    "model": "provider/name, in place of the runtime's",
    "adapter": "chat, json or xml, in place of the runtime's",
    "reask": "how often to ask again, showing what was wrong with an answer: 0 or 1",
}
_request, _record_of, _event = quick(Request), quick(Record), quick(Event)
REASONING = FieldSchema(
    name="reasoning", type={"type": "string"}, description="the steps that lead to the answer, before it is given"
)


@dataclass(frozen=True, slots=True)
class _Call:
    """What does not change between the calls of one stage."""

    dialogue: Dialogue
    model: str
    settings: Settings
    reask: int
    limited: bool
    """Whether the step limits the tokens of an answer, so that a second one would be cut off as the first."""


async def _predict(context: StepContext) -> Mapping[str, JSON]:
    """Ask, read the answer, and ask once more where it cannot be read.

    Not asked again: what the provider declined, and what was cut off at the step's own `max_tokens`.
    """
    call: _Call | None = context.memory.get("call")
    if call is None:
        call = context.memory["call"] = _prepared(context)
    messages = call.dialogue.render(context.inputs)
    completion, outcome = await _asked(context, call, messages)
    if isinstance(outcome, Parsed):
        return outcome.values
    if not call.reask or isinstance(outcome, RefusedError) or (completion.finish_reason == "length" and call.limited):
        raise outcome
    messages = call.dialogue.reask(messages, completion, outcome)
    _, outcome = await _asked(context, call, messages)
    if isinstance(outcome, Parsed):
        return outcome.values
    raise outcome


async def _asked(context: StepContext, call: _Call, messages: list[Message]) -> tuple[Completion, Parsed | DspexError]:
    """One model call, recorded: the completion, and its values or what is wrong with it."""
    started = perf_counter()
    try:
        completion = await context.runtime.lm.complete(_request(call.model, messages, call.settings, context.sample))
    except Exception as error:
        _record(context, call, messages, perf_counter() - started, None, error)
        raise
    seconds = perf_counter() - started
    outcome: Parsed | DspexError
    try:
        outcome = call.dialogue.parse(completion)
    except AnswerError as error:
        refused = completion.finish_reason == "refused"
        outcome = RefusedError(f"{call.model} declined to answer") if refused else error
    _record(context, call, messages, seconds, completion, outcome)
    return completion, outcome


def _prepared(context: StepContext) -> _Call:
    options, runtime = context.options, context.runtime
    model = options.get("model", runtime.model)
    adapter = runtime.adapters[options.get("adapter", runtime.adapter)]
    dialogue = adapter.bind(
        context.signature,
        options.get("instructions", context.signature.instructions),
        options.get("demos", ()),
        runtime.lm.capabilities(model),
    )
    wire = {name: options[name] for name in WIRE_SETTINGS if name in options}
    return _Call(dialogue, model, {**dialogue.settings, **wire}, options.get("reask", 1), "max_tokens" in options)


def _record(
    context: StepContext,
    call: _Call,
    messages: list[Message],
    seconds: float,
    completion: Completion | None,
    outcome: Parsed | Exception,
) -> None:
    """Append one model call to the history, answered or not, and tell the observer."""
    parsed, error = (outcome, None) if isinstance(outcome, Parsed) else (None, outcome)
    record = _record_of(
        context.path,
        context.step.module,
        context.inputs,
        None if parsed is None else parsed.values,
        call.model,
        call.settings,
        tuple(messages),
        None if completion is None else completion.text,
        None if parsed is None else parsed.rung,
        () if parsed is None else parsed.notes,
        NO_USAGE if completion is None else completion.usage,
        seconds,
        None if error is None else f"{type(error).__name__}: {error}",
        "" if completion is None else completion.key,
    )
    context.record(record)
    observer = context.runtime.observer
    if observer is not None:
        observer(_event("call.failed" if error is not None else "call.finished", context.path, {"record": record}))


def _spec(name: str) -> ModuleSpec:
    return ModuleSpec(name, _predict, OPTIONS, calls_model=True, check=check_prediction)


PREDICT = _spec("predict")
CHAIN_OF_THOUGHT = _spec("chain_of_thought")


def predict(signature: type[Signature] | Schema | str, *, name: str | None = None, **options: Any) -> Step:
    """A step that asks a model for the outputs of `signature`.

    `options`: those of OPTIONS and of the wire (temperature, max_tokens, ...); each may be a variable.
    """
    return _step(PREDICT, as_schema(signature), name, options)


def chain_of_thought(signature: type[Signature] | Schema | str, *, name: str | None = None, **options: Any) -> Step:
    """`predict` with a text output `reasoning` before the others."""
    schema = as_schema(signature)
    if any(item.name == REASONING.name for item in schema.inputs):
        raise SignatureError(f"signature {schema.name}: chain_of_thought adds an output 'reasoning'; rename that input")
    return _step(CHAIN_OF_THOUGHT, schema.with_output(REASONING, first=True), name, options)


def _step(spec: ModuleSpec, schema: Schema, name: str | None, options: dict[str, Any]) -> Step:
    known = (*spec.options, *WIRE_SETTINGS)
    for key in options:
        if key not in known:
            raise UnknownNameError("option", key, known, f"{spec.name}({schema.name})")
    return Step(name=name or spec.name, module=spec.name, signature=schema, options=options)
