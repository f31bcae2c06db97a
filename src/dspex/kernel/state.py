"""What flows from step to step, the history it gathers, and the error that carries it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar, overload

from pydantic import ValidationError

from dspex.errors import DspexError, InputError, UnknownNameError
from dspex.kernel.ports import JSON, NO_USAGE, Message, Settings, Usage
from dspex.kernel.signature import Signature

S = TypeVar("S", bound=Signature)


@dataclass(frozen=True, slots=True)
class Record:
    """One entry of the history: a step performed, or one model call of it."""

    step: str
    """Path of the step."""
    module: str
    inputs: Mapping[str, JSON]
    outputs: Mapping[str, JSON] | None
    """None where the step failed."""
    model: str | None = None
    settings: Settings = field(default_factory=dict[str, JSON])
    messages: tuple[Message, ...] = ()
    completion: str | None = None
    """The raw text of the answer."""
    rung: str | None = None
    """The rung of the parse ladder that read it: strict, scan, repair or coerce."""
    notes: tuple[str, ...] = ()
    usage: Usage = NO_USAGE
    seconds: float = 0.0
    error: str | None = None
    call: str = ""
    """Identity of the model call in the call store; empty without one."""


@dataclass(frozen=True, slots=True)
class State:
    """Inputs, the outputs so far, and how they came about. Values are JSON; `outputs(Route)` gives them typed."""

    inputs: Mapping[str, JSON]
    values: Mapping[str, JSON]
    """Outputs of all steps so far, by field name."""
    history: tuple[Record, ...] = ()

    def __getitem__(self, name: str) -> JSON:
        if name in self.values:
            return self.values[name]
        if name in self.inputs:
            return self.inputs[name]
        raise UnknownNameError("output", name, {**self.inputs, **self.values})

    def get(self, name: str, default: JSON = None) -> JSON:
        """The value of an output, or `default`."""
        return self.values.get(name, default)

    @overload
    def outputs(self) -> dict[str, JSON]: ...

    @overload
    def outputs(self, signature: type[S]) -> S: ...

    def outputs(self, signature: type[S] | None = None) -> S | dict[str, JSON]:
        """The outputs as a mapping of JSON, or as an instance of `signature` with its types."""
        if signature is None:
            return dict(self.values)
        try:
            return signature.named(**{**self.inputs, **self.values})
        except ValidationError as error:
            fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
            where = ".".join(str(part) for part in fault["loc"])
            raise InputError(f"the outputs are not a {signature.__name__}: {where}: {fault['msg']}") from error

    @property
    def usage(self) -> Usage:
        """The sum over the history."""
        return sum((item.usage for item in self.history), NO_USAGE)


class StepError(DspexError):
    """A step failed. `step` is its path, `state` what was there by then (history included), `cause` the reason."""

    def __init__(self, step: str, state: State, cause: Exception) -> None:
        self.step, self.state, self.cause = step, state, cause
        self.transient = bool(getattr(cause, "transient", False))
        self.infrastructure = bool(getattr(cause, "infrastructure", False))
        text = str(cause) or type(cause).__name__
        label = "" if isinstance(cause, DspexError) else f"{type(cause).__name__}: "
        super().__init__(f"step {step!r}: {label}{text}")
