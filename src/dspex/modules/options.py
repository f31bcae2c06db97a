"""Checks the options of a step that calls a model, before anything is paid for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dspex.errors import ConfigurationError, UnknownNameError
from dspex.kernel.canonical import is_list, is_mapping
from dspex.kernel.ports import Runtime
from dspex.kernel.program import Step
from dspex.kernel.signature import Schema, validator_of
from dspex.kernel.validation import InvalidValuesError, Validator


def _number(low: float, high: float | None = None) -> Callable[[Any], str | None]:
    wanted = f"a number of at least {low}" if high is None else f"a number in {low}..{high}"

    def fault(value: Any) -> str | None:
        fits = isinstance(value, int | float) and not isinstance(value, bool)
        return None if fits and low <= value <= (value if high is None else high) else wanted

    return fault


def _whole(low: int | None = None) -> Callable[[Any], str | None]:
    def fault(value: Any) -> str | None:
        fits = isinstance(value, int) and not isinstance(value, bool)
        return None if fits and (low is None or value >= low) else f"a whole number{f' from {low}' if low else ''}"

    return fault


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) else "a text"


def _texts(value: Any) -> str | None:
    whole = is_list(value) and all(isinstance(item, str) for item in value)
    return None if isinstance(value, str) or whole else "a text or a list of texts"


def _mapping(value: Any) -> str | None:
    return None if isinstance(value, Mapping) else "a mapping"


def _demos(value: Any) -> str | None:
    whole = is_list(value) and all(is_mapping(item) for item in value)
    return None if whole else "a list of mappings from field to value"


_FAULTS: Mapping[str, Callable[[Any], str | None]] = {
    "temperature": _number(0),
    "top_p": _number(0, 1),
    "max_tokens": _whole(1),
    "stop": _texts,
    "seed": _whole(),
    "presence_penalty": _number(-2, 2),
    "frequency_penalty": _number(-2, 2),
    "reasoning_effort": _text,
    "extra_body": _mapping,
    "instructions": _text,
    "model": _text,
    "adapter": _text,
    "demos": _demos,
    "reask": lambda value: None if type(value) is int and value in (0, 1) else "0 or 1",
}


def check_prediction(step: Step, options: Mapping[str, Any], runtime: Runtime) -> None:
    """Raises ConfigurationError for an option of the wrong type, an unknown adapter or model, demonstrations with
    fields that the signature does not have, or a type that cannot be enforced."""
    where = f"step {step.name!r}"
    for name, value in options.items():
        wanted = _FAULTS[name](value) if name in _FAULTS else None
        if wanted is not None:
            raise ConfigurationError(f"{where}: option {name!r} needs {wanted}, got {value!r}")
    adapter = options.get("adapter", runtime.adapter)
    if adapter not in runtime.adapters:
        raise UnknownNameError("adapter", adapter, runtime.adapters, where)
    model = options.get("model", runtime.model)
    if not model:
        raise ConfigurationError(
            f"{where}: no model is set; give the step or the runtime one, such as embedded/lexical"
        )
    runtime.lm.capabilities(model)
    step.signature.answers  # noqa: B018 - built once here, so that a type that cannot be enforced is told now
    check_demos(step.signature, options.get("demos", ()), where)


def check_demos(signature: Schema, demos: Sequence[Mapping[str, Any]], where: str) -> None:
    """Raises ConfigurationError for a demonstration with an unknown field, without an output, or with a value that
    does not fit its field."""
    fields = {item.name: item for item in (*signature.inputs, *signature.outputs)}
    validators: dict[tuple[str, ...], Validator] = {}
    for number, demo in enumerate(demos, start=1):
        place = f"{where}, demonstration {number}"
        for name in demo:
            if name not in fields:
                raise UnknownNameError("field", name, fields, place)
        if not any(item.name in demo for item in signature.outputs):
            raise ConfigurationError(f"{place}: it shows none of the outputs; it has {sorted(demo)}")
        shown = tuple(name for name in fields if name in demo)
        if shown not in validators:
            validators[shown] = validator_of(fields[name] for name in shown)
        try:
            validators[shown](demo)
        except InvalidValuesError as error:
            raise ConfigurationError(f"{place}: {error}") from None
