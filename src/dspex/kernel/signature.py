"""What a step takes and gives: signatures as classes, as shorthand, and as data (`Schema`); examples."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self, cast

from pydantic import BaseModel, ConfigDict, Field
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUndefinedAnnotation, PydanticUserError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from dspex.errors import SignatureError
from dspex.kernel.canonical import digest, is_list, is_mapping, plain
from dspex.kernel.ports import JSON
from dspex.kernel.validation import Validator

_ROLE = "dspex-role"


def Input(description: str = "", *, default: Any = ..., **constraints: Any) -> Any:  # noqa: N802
    """An input field. `constraints` are pydantic's: ge, le, gt, lt, multiple_of, min_length, max_length, pattern."""
    return _field("input", description, default, constraints)


def Output(description: str = "", *, default: Any = ..., **constraints: Any) -> Any:  # noqa: N802
    """An output field. A default makes it optional; constraints are enforced on what the model answers."""
    return _field("output", description, default, constraints)


def _field(role: str, description: str, default: Any, constraints: dict[str, Any]) -> Any:
    known = {"ge", "le", "gt", "lt", "multiple_of", "min_length", "max_length", "pattern", "examples"}
    if unknown := sorted(set(constraints) - known):
        raise SignatureError(f"unknown constraint {unknown[0]!r} of a field; known: {', '.join(sorted(known))}")
    return Field(default=default, description=description or None, json_schema_extra={_ROLE: role}, **constraints)


class Frozen(BaseModel):
    """Data that crosses a boundary: immutable, and nothing in it that is not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FieldSchema(Frozen):
    """One field as data."""

    name: str
    type: dict[str, JSON]
    """Its JSON Schema, self-contained (`$defs` inside)."""
    description: str | None = None
    optional: bool = False
    """An optional output may be absent from an answer; then it takes `default`."""
    default: JSON = None


class Schema(Frozen):
    """A signature as data: what a `Step` stores, shows, hashes and sends."""

    name: str = "signature"
    instructions: str = ""
    inputs: tuple[FieldSchema, ...] = ()
    outputs: tuple[FieldSchema, ...] = ()

    @cached_property
    def answers(self) -> Validator:
        """Checks a mapping of output values; strict, so every coercion is somebody's explicit step."""
        return validator_of(self.outputs)

    @cached_property
    def questions(self) -> Validator:
        """Checks a mapping of input values."""
        return validator_of(self.inputs)

    @cached_property
    def fingerprint(self) -> str:
        """Content hash, for caches of what is precomputed per signature."""
        return digest(self.model_dump(mode="json"))

    def with_output(self, field: FieldSchema, *, first: bool = False) -> Schema:
        """The same with one more output, unless there is one of that name."""
        if any(item.name == field.name for item in self.outputs):
            return self
        outputs = (field, *self.outputs) if first else (*self.outputs, field)
        return self.model_copy(update={"outputs": outputs})


def validator_of(fields: tuple[FieldSchema, ...]) -> Validator:
    """A validator of a mapping with these fields."""
    return Validator({item.name: (item.type, item.optional, item.default) for item in fields})


class Signature(BaseModel):
    """Write a class: its docstring is the instructions, its annotations the fields.

        class Route(Signature):
            \"\"\"Route a support ticket to the team that can solve it.\"\"\"

            ticket: str = Input()
            team: Literal["billing", "technical"] = Output("who should answer")

    Field types are anything pydantic can describe as a JSON Schema; that description is what is stored, shown to models
    and enforced. Python validators that JSON Schema cannot express run when you read `state.outputs(Route)`.
    """

    # Unknown types reach the JSON Schema generator, whose refusal becomes a SignatureError.
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
    _described: ClassVar[Schema | None] = None

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls._described = None
        if cls.__pydantic_complete__:
            cls._described = _describe(cls)

    @classmethod
    def schema_of(cls) -> Schema:
        """This signature as data."""
        if cls._described is None:
            try:
                cls.model_rebuild()
            except PydanticUndefinedAnnotation as error:
                raise SignatureError(f"signature {cls.__name__}: {error.message}") from error
            cls._described = _describe(cls)
        return cls._described

    @classmethod
    def named(cls, **values: Any) -> Self:
        """An instance from checked values; defaults fill what is absent."""
        return cls.model_validate({key: value for key, value in values.items() if key in cls.model_fields})


def _describe(cls: type[Signature]) -> Schema:
    try:
        whole = cls.model_json_schema(by_alias=False)
    except PydanticInvalidForJsonSchema as error:
        name = _culprit(cls)
        raise SignatureError(
            f"signature {cls.__name__}: the type of {name} cannot be described to a model ({error.message}); "
            "use a type that has a JSON Schema: str, int, float, bool, Literal, an Enum, list, dict, a pydantic model"
        ) from error
    except PydanticUserError as error:
        raise SignatureError(f"signature {cls.__name__}: {error.message}") from error
    definitions = whole.get("$defs", {})
    sides: dict[str, list[FieldSchema]] = {"input": [], "output": []}
    for name, info in cls.model_fields.items():
        role = _role(info)
        if role is None:
            raise SignatureError(f"signature {cls.__name__}: field {name!r} needs `= Input()` or `= Output()`")
        sides[role].append(_field_schema(cls.__name__, name, info, whole["properties"][name], definitions))
    if not sides["output"]:
        raise SignatureError(f"signature {cls.__name__}: it gives nothing; add a field with `= Output()`")
    return Schema(
        name=cls.__name__,
        instructions=_instructions(cls, sides["input"], sides["output"]),
        inputs=tuple(sides["input"]),
        outputs=tuple(sides["output"]),
    )


def _instructions(cls: type[Signature], inputs: list[FieldSchema], outputs: list[FieldSchema]) -> str:
    text = cls.__dict__.get("__doc__") or ""
    if text.strip():
        lines = text.strip().splitlines()
        return "\n".join([lines[0].strip(), *(line.strip() for line in lines[1:])]).strip()
    given = ", ".join(f"`{item.name}`" for item in inputs)
    wanted = ", ".join(f"`{item.name}`" for item in outputs)
    return f"Given {given}, produce {wanted}." if given else f"Produce {wanted}."


def _role(info: FieldInfo) -> str | None:
    extra = info.json_schema_extra
    role = extra.get(_ROLE) if is_mapping(extra) else None
    return role if isinstance(role, str) else None


def _culprit(cls: type[Signature]) -> str:
    """The field whose type has no JSON Schema: the first that fails alone."""
    from pydantic import TypeAdapter  # noqa: PLC0415 - only on the way to an error

    for name, info in cls.model_fields.items():
        try:
            TypeAdapter[Any](
                cast("Any", info.annotation), config=ConfigDict(arbitrary_types_allowed=True)
            ).json_schema()
        except PydanticUserError:
            return f"field {name!r}"
    return "a field"


def _field_schema(owner: str, name: str, info: FieldInfo, prop: dict[str, Any], defs: dict[str, Any]) -> FieldSchema:
    schema = {key: value for key, value in prop.items() if key not in (_ROLE, "description", "default", "title")}
    schema = _untitled(schema)
    if not schema and _role(info) == "output":
        raise SignatureError(
            f"signature {owner}: the type of output {name!r} is open (Any), which cannot be described to a model; "
            "name a type"
        )
    if used := _reachable(schema, defs):
        schema["$defs"] = {key: _untitled(defs[key]) for key in sorted(used)}
    required = info.default is PydanticUndefined and info.default_factory is None
    default = None if required else plain(info.get_default(call_default_factory=True), f"default of {owner}.{name}")
    return FieldSchema(name=name, type=schema, description=info.description, optional=not required, default=default)


def _untitled(schema: Any) -> Any:
    """Without the `title`s pydantic makes from names: they say nothing and differ between its versions."""
    if is_mapping(schema):
        named = schema.get("properties")
        out = {k: _untitled(v) for k, v in schema.items() if not (k == "title" and isinstance(v, str))}
        if is_mapping(named):
            out["properties"] = {k: _untitled(v) for k, v in named.items()}
        return out
    return [_untitled(item) for item in schema] if is_list(schema) else schema


def _reachable(schema: Any, defs: dict[str, Any]) -> set[str]:
    found: set[str] = set()
    stack: list[Any] = [schema]
    while stack:
        item = stack.pop()
        if is_mapping(item):
            ref = item.get("$ref")
            if isinstance(ref, str) and (name := ref.rsplit("/", 1)[-1]) in defs and name not in found:
                found.add(name)
                stack.append(defs[name])
            stack.extend(item.values())
        elif is_list(item):
            stack.extend(item)
    return found


@dataclass(frozen=True, slots=True)
class Example:
    """One row of data: the values of its fields, inputs and expected outputs alike, as JSON."""

    id: str
    values: Mapping[str, JSON]

    @classmethod
    def of(cls, values: Mapping[str, Any], id: str | None = None) -> Example:
        """An example whose id, unless given, is the hash of its content."""
        data = {str(key): plain(value, f"field {key!r}") for key, value in values.items()}
        return cls(digest(data, 16) if id is None else id, data)

    def __getitem__(self, name: str) -> JSON:
        return self.values[name]

    def get(self, name: str, default: JSON = None) -> JSON:
        """The value of a field, or `default` where the row has none."""
        return self.values.get(name, default)


IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
