"""The chat adapter: inputs and answers as sections under `[[name]]` headers. Works with every model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dspex.adapters.dialogue import BoundDialogue, bound
from dspex.adapters.elements import read_elements
from dspex.adapters.ladder import AnswerFields, Reading
from dspex.adapters.readings import read_labels, read_object
from dspex.adapters.sections import Sections, read_sections, sections_of
from dspex.adapters.values import writer_of
from dspex.kernel.ports import JSON, Capabilities
from dspex.kernel.signature import FieldSchema, Schema


class SectionWriter:
    """Fields of one side of a signature as sections; headers and writers are looked up once."""

    __slots__ = ("_fields", "_sections")

    def __init__(self, fields: Sequence[FieldSchema], sections: Sections) -> None:
        self._sections = sections
        self._fields = [(item.name, f"[[{item.name}]]\n", writer_of(item.type)) for item in fields]

    def __call__(self, values: Mapping[str, JSON]) -> str:
        guarded = self._sections.guarded
        return "\n\n".join(
            [head + guarded(write(values[name])) for name, head, write in self._fields if name in values]
        )


class _ChatForm:
    """Sections for one signature."""

    readings: tuple[Reading, ...] = (read_sections, read_object, read_elements, read_labels)

    def __init__(self, signature: Schema) -> None:
        self._fields = AnswerFields(signature)
        self._sections = sections_of(self._fields.everything)
        self.question = SectionWriter(signature.inputs, self._sections)
        self._answer = SectionWriter(signature.outputs, self._sections)
        self._end = f"[[{self._sections.ending}]]"

    def explanation(self) -> str:
        shape = "\n\n".join(f"[[{name}]]\n..." for name in self._fields.names)
        return (
            "Every field stands below a header line of its own, its name in double square brackets. Write your answer "
            f"in this shape, text as it is and other values as JSON:\n\n{shape}\n\n{self._end}"
        )

    def answer(self, outputs: Mapping[str, JSON]) -> str:
        return f"{self._answer(outputs)}\n\n{self._end}"

    def demand(self, names: Sequence[str]) -> str:
        return f"Answer with {', '.join(f'[[{name}]]' for name in names)} and {self._end}."

    def strict(self, text: str) -> dict[str, JSON] | None:
        return self._sections.strict(text, self._fields.readers)


class ChatAdapter:
    """Sections under header lines."""

    name = "chat"

    def bind(
        self,
        signature: Schema,
        instructions: str,
        demos: Sequence[Mapping[str, JSON]],
        capabilities: Capabilities,
    ) -> BoundDialogue:
        """The dialogue for this signature; what the server offers beyond messages is not used."""
        dialogue = bound(_ChatForm(signature), signature, instructions)
        dialogue.show(demos)
        return dialogue
