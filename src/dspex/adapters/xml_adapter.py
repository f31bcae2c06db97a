"""The XML adapter: inputs and answers as elements named after the fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dspex.adapters.dialogue import BoundDialogue, bound
from dspex.adapters.elements import Elements, read_elements
from dspex.adapters.ladder import AnswerFields, Reading
from dspex.adapters.readings import read_labels, read_object
from dspex.adapters.sections import read_sections
from dspex.adapters.values import Write, writer_of
from dspex.kernel.ports import JSON, Capabilities
from dspex.kernel.signature import FieldSchema, Schema

_Writers = list[tuple[str, Write]]


def _writers(fields: Sequence[FieldSchema]) -> _Writers:
    return [(item.name, writer_of(item.type)) for item in fields]


class _XMLForm:
    """Elements for one signature."""

    readings: tuple[Reading, ...] = (read_elements, read_object, read_sections, read_labels)

    def __init__(self, signature: Schema) -> None:
        self.fields = AnswerFields(signature)
        self._elements = Elements(self.fields.everything)
        self._inputs = _writers(signature.inputs)
        self._outputs = _writers(signature.outputs)

    def explanation(self) -> str:
        shape = "\n".join(f"<{name}>...</{name}>" for name in self.fields.names)
        given = "Every given field is an XML element named after it. " if self._inputs else ""
        how = "Write your answer as XML elements of this shape, text as it is and other values as JSON:"
        return f"{given}{how}\n\n{shape}"

    def question(self, inputs: Mapping[str, JSON]) -> str:
        return self._written(self._inputs, inputs)

    def answer(self, outputs: Mapping[str, JSON]) -> str:
        return self._written(self._outputs, outputs)

    def _written(self, writers: _Writers, values: Mapping[str, JSON]) -> str:
        write = self._elements.write
        return "\n".join([write(name, text(values[name])) for name, text in writers if name in values])

    def demand(self, names: Sequence[str]) -> str:
        wanted = ", ".join(f"<{name}>...</{name}>" for name in names)
        return f"Answer with {wanted} and nothing else."

    def strict(self, text: str) -> dict[str, JSON] | None:
        return self._elements.strict(text, self.fields)


class XMLAdapter:
    """XML elements."""

    name = "xml"

    def bind(
        self,
        signature: Schema,
        instructions: str,
        demos: Sequence[Mapping[str, JSON]],
        capabilities: Capabilities,
    ) -> BoundDialogue:
        """The dialogue for this signature; what the server offers beyond messages is not used."""
        form = _XMLForm(signature)
        return bound(form, form.fields, signature, instructions).showing(demos)
