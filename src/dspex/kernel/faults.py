"""What pydantic found wrong, in the words of this project: where, what, and the nearest known name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ModelWrapValidatorHandler, ValidationError

from dspex.errors import ConfigurationError, suggestion
from dspex.kernel.canonical import is_mapping

_SHOWN = 80


def faults(error: ValidationError, known: Iterable[str] = ()) -> tuple[tuple[str, str], ...]:
    """One (path, message) pair for each fault. `known` are the names that the outermost mapping may have."""
    return tuple(
        (".".join(str(part) for part in fault["loc"]), _message(fault, known))
        for fault in error.errors(include_url=False, include_context=False)
    )


def sentence(found: Iterable[tuple[str, str]]) -> str:
    """The faults in one line."""
    return "; ".join(f"{path!r} {message}" if path else message for path, message in found)


def refusing(
    model: type[BaseModel],
    data: Any,
    handler: ModelWrapValidatorHandler[Any],
    error: type[ConfigurationError],
    noun: str,
) -> Any:
    """Body of a wrapping validator of `model`: its faults raised as `error`, which names the `noun` and its name."""
    try:
        return handler(data)
    except ValidationError as fault:
        if not is_mapping(data):
            raise  # whoever holds it knows where it stands
        name = data.get("name")
        label = f"{noun} {name!r}" if name is not None else noun
        raise error(f"{label}: {sentence(faults(fault, model.model_fields))}") from None


def _message(fault: Any, known: Iterable[str]) -> str:
    kind, where = fault["type"], fault["loc"]
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return f"is not a known key{suggestion(str(where[-1]), known) if len(where) == 1 else ''}"
    message = str(fault["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if message.startswith("Input should"):
        message = message.removeprefix("Input ")
    elif message.startswith("String should"):
        message = message.removeprefix("String ")
    elif message[:1].isupper() and message[1:2].islower():
        message = f"is wrong: {message[0].lower()}{message[1:]}"
    shown = repr(fault["input"])
    return f"{message}, got {shown if len(shown) <= _SHOWN else shown[:_SHOWN] + '...'}"
