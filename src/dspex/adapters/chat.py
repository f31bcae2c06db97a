"""The chat adapter: inputs and answers as sections under `[[name]]` headers. Works with every model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dspex.adapters.dialogue import BoundDialogue, bound
from dspex.adapters.elements import read_elements
from dspex.adapters.ladder import AnswerFields, Reading
from dspex.adapters.readings import read_labels, read_object
from dspex.adapters.sections import SectionWriter, read_sections, sections_of
from dspex.kernel.ports import JSON, Capabilities
from dspex.kernel.signature import Schema


class _ChatForm:
    """Sections for one signature."""

    readings: tuple[Reading, ...] = (read_sections, read_object, read_elements, read_labels)

    def __init__(self, signature: Schema) -> None:
        self.fields = AnswerFields(signature)
        self._sections = sections_of(self.fields.everything)
        self._inputs = bool(signature.inputs)
        self._question = SectionWriter(signature.inputs, self._sections)
        self._answer = SectionWriter(signature.outputs, self._sections, answers=True)
        self._end = f"[[{self._sections.ending}]]"

    def explanation(self) -> str:
        shape = "\n\n".join(f"[[{name}]]\n..." for name in self.fields.names)
        given = "Every field" if self._inputs else "Every field of the answer"
        return (
            f"{given} stands below a header line of its own, its name in double square brackets. Write your answer in "
            f"this shape, text as it is and other values as JSON:\n\n{shape}\n\n{self._end}"
        )

    def question(self, inputs: Mapping[str, JSON]) -> str:
        return self._question(inputs)

    def answer(self, outputs: Mapping[str, JSON]) -> str:
        return f"{self._answer(outputs)}\n\n{self._end}"

    def demand(self, names: Sequence[str]) -> str:
        return f"Answer with {', '.join(f'[[{name}]]' for name in names)} and {self._end}."

    def strict(self, text: str) -> dict[str, JSON] | None:
        return self._sections.strict(text, self.fields.readers)


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
        form = _ChatForm(signature)
        return bound(form, form.fields, signature, instructions).showing(demos)
