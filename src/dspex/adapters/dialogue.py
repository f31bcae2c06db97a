"""An adapter bound to one signature: everything that does not change per call is written once, here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, Self

from dspex.adapters.ladder import AnswerFields, Notation, climb
from dspex.adapters.wording import field_line
from dspex.errors import CutOffError, ParseError
from dspex.kernel.ports import JSON, Completion, Message, Parsed, Settings
from dspex.kernel.signature import Schema

_SHORT = 4000
"""Characters up to which a question is repeated when it is asked again: small models answer what stands last."""


class Form(Notation, Protocol):
    """What makes one adapter differ from another, for one signature."""

    def explanation(self) -> str:
        """How inputs are shown and how the answer is to be written."""
        ...

    def question(self, inputs: Mapping[str, JSON]) -> str:
        """The inputs in this form."""
        ...

    def answer(self, outputs: Mapping[str, JSON]) -> str:
        """The outputs in this form, complete with what ends an answer."""
        ...

    def demand(self, names: Sequence[str]) -> str:
        """The closing line that asks for these fields."""
        ...


class BoundDialogue:
    """A `Dialogue` over a form. Rendering copies a list of prepared messages and writes one."""

    __slots__ = ("_closing", "_demand", "_fields", "_form", "_prefix", "settings")

    def __init__(self, form: Form, fields: AnswerFields, system: str, settings: Settings) -> None:
        self._form, self._fields, self.settings = form, fields, settings
        self._demand = form.demand(fields.names)
        self._closing = f"\n\n{self._demand}"
        self._prefix: list[Message] = [{"role": "system", "content": system}]

    def showing(self, demos: Sequence[Mapping[str, JSON]]) -> Self:
        """Itself, with demonstrations added. One that lacks some outputs asks for those it has, and shows these."""
        for demo in demos:
            given = [name for name in self._fields.names if name in demo]
            closing = f"\n\n{self._form.demand(given)}"
            asked = self._form.question(demo)
            self._prefix.append({"role": "user", "content": f"{asked}{closing}" if asked else closing.strip()})
            self._prefix.append({"role": "assistant", "content": self._form.answer(demo)})
        return self

    def render(self, inputs: Mapping[str, JSON]) -> list[Message]:
        """Messages for one call."""
        asked = self._form.question(inputs)
        content = asked + self._closing if asked else self._demand
        return [*self._prefix, {"role": "user", "content": content}]

    def parse(self, completion: Completion) -> Parsed:
        """Values of every output field. Raises ParseError or CutOffError."""
        return climb(completion, self._form, self._fields)

    def reask(self, messages: list[Message], completion: Completion, error: Exception) -> list[Message]:
        """The conversation with the answer, what is wrong with it, and the question again where it is short.

        An answer that was cut off is not shown: it may be very long, and its end is what is wrong with it.
        """
        question = messages[-1]["content"]
        if isinstance(error, CutOffError) or not completion.text.strip():
            said = "cut off before its end" if isinstance(error, CutOffError) else "empty"
            content = f"Your last answer was {said}. Answer whole, and more briefly where you can.\n\n{question}"
            return [*messages[:-1], {"role": "user", "content": content}]
        problems = error.problems if isinstance(error, ParseError) and error.problems else (str(error),)
        listed = "\n".join(f"- {problem}" for problem in problems)
        again = question if len(question) <= _SHORT else f"Answer the question above. {self._demand}"
        content = f"Your last answer could not be used:\n{listed}\n\nAnswer again, whole.\n\n{again}"
        return [*messages, {"role": "assistant", "content": completion.text}, {"role": "user", "content": content}]


def system_text(fields: str, explanation: str, instructions: str) -> str:
    """The system message: what the fields are, then the form, then the task."""
    parts = [fields, explanation, f"The task:\n{instructions}" if instructions.strip() else ""]
    return "\n\n".join(part for part in parts if part)


def bound(
    form: Form, fields: AnswerFields, signature: Schema, instructions: str, settings: Settings | None = None
) -> BoundDialogue:
    """A dialogue without demonstrations."""
    system = system_text(fields_text(signature), form.explanation(), instructions)
    return BoundDialogue(form, fields, system, settings or {})


def fields_text(signature: Schema) -> str:
    """The fields with types, constraints, admissible values and descriptions."""
    given = "\n".join(field_line(item, output=False) for item in signature.inputs)
    wanted = "\n".join(field_line(item, output=True) for item in signature.outputs)
    answers = f"You answer with these fields:\n{wanted}"
    return f"You are given these fields:\n{given}\n\n{answers}" if given else answers
