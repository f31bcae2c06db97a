"""The JSON adapter: one JSON object as the answer, constrained by the server where it can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dspex.adapters.dialogue import BoundDialogue, bound
from dspex.adapters.elements import read_elements
from dspex.adapters.ladder import AnswerFields, Reading
from dspex.adapters.readings import exact_object, read_labels, read_object
from dspex.adapters.response_schema import response_format
from dspex.adapters.sections import SectionWriter, read_sections, sections_of
from dspex.adapters.values import encode
from dspex.kernel.ports import JSON, Capabilities, Settings
from dspex.kernel.signature import Schema


class _JSONForm:
    """Inputs as sections, where long texts stay readable; the answer as a JSON object."""

    readings: tuple[Reading, ...] = (read_object, read_sections, read_elements, read_labels)

    def __init__(self, signature: Schema) -> None:
        self.fields = AnswerFields(signature)
        self._inputs = bool(signature.inputs)
        self._question = SectionWriter(signature.inputs, sections_of(self.fields.everything))

    def explanation(self) -> str:
        shape = ", ".join(f"{encode(name)}: ..." for name in self.fields.names)
        given = "Every given field stands below a header line, its name in double square brackets. "
        return f"{given if self._inputs else ''}Write your answer as one JSON object of this shape:\n\n{{{shape}}}"

    def question(self, inputs: Mapping[str, JSON]) -> str:
        return self._question(inputs)

    def answer(self, outputs: Mapping[str, JSON]) -> str:
        return encode({name: outputs[name] for name in self.fields.names if name in outputs})

    def demand(self, names: Sequence[str]) -> str:
        keys = ", ".join(encode(name) for name in names)
        return f"Answer with one JSON object and nothing else; {'key' if len(names) == 1 else 'keys'}: {keys}."

    def strict(self, text: str) -> dict[str, JSON] | None:
        return exact_object(text, self.fields)


class JSONAdapter:
    """One JSON object."""

    name = "json"

    def bind(
        self,
        signature: Schema,
        instructions: str,
        demos: Sequence[Mapping[str, JSON]],
        capabilities: Capabilities,
    ) -> BoundDialogue:
        """The dialogue; its settings ask the server for the best `response_format` it has."""
        settings: Settings = {}
        if capabilities.json_schema:
            settings = response_format(signature)
        elif capabilities.json_object:
            settings = {"response_format": {"type": "json_object"}}
        form = _JSONForm(signature)
        return bound(form, form.fields, signature, instructions, settings).showing(demos)
