"""What a step takes and gives: signatures as classes, as shorthand, and as data (`Schema`); examples."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from inspect import cleandoc
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, model_validator
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic.fields import FieldInfo

from dspex.errors import SignatureError, suggestion
from dspex.kernel.canonical import canonical, digest, is_mapping, plain
from dspex.kernel.description import field_schemas
from dspex.kernel.faults import refusing
from dspex.kernel.ports import JSON
from dspex.kernel.read_only import ReadOnlyJSON, ReadOnlyMapping
from dspex.kernel.validation import InvalidValuesError, Validator

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
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
        raise SignatureError(f"a field has no constraint {unknown[0]!r}{suggestion(unknown[0], known)}")
    return Field(default=default, description=description or None, json_schema_extra={_ROLE: role}, **constraints)


class Frozen(BaseModel):
    """Data that crosses a boundary: immutable, and nothing in it that is not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FieldSchema(Frozen):
    """One field as data."""

    name: str
    type: ReadOnlyMapping
    """Its JSON Schema, self-contained (`$defs` inside)."""
    description: str | None = None
    optional: bool = False
    """An optional field may be absent; then it takes `default`."""
    default: ReadOnlyJSON = None

    @model_validator(mode="wrap")
    @classmethod
    def _refused(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        made: Self = refusing(cls, data, handler, SignatureError, "field")
        return made


class Schema(Frozen):
    """A signature as data: what a `Step` stores, shows, hashes and sends."""

    name: str = "signature"
    instructions: str = ""
    inputs: tuple[FieldSchema, ...] = ()
    outputs: tuple[FieldSchema, ...] = ()

    @model_validator(mode="wrap")
    @classmethod
    def _refused(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        made: Self = refusing(cls, data, handler, SignatureError, "signature")
        names = [item.name for item in (*made.inputs, *made.outputs)]
        for name in names:
            if not IDENTIFIER.fullmatch(name):
                raise SignatureError(f"signature {made.name!r}: {name!r} is not a field name (letters, digits and _)")
            if names.count(name) > 1:
                raise SignatureError(f"signature {made.name!r}: field {name!r} is there twice")
        return made

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As pydantic's, but checked, and without what was computed from the old content."""
        return type(self)(**{**{name: getattr(self, name) for name in type(self).model_fields}, **(update or {})})

    @cached_property
    def answers(self) -> Validator:
        """Checks a mapping of output values; strict, so every coercion is somebody's explicit step."""
        return validator_of(self.outputs)

    @cached_property
    def questions(self) -> Validator:
        """Checks a mapping of input values; other names in it are faults."""
        return validator_of(self.inputs, "forbid")

    @cached_property
    def fingerprint(self) -> str:
        """Content hash, for caches of what is precomputed per signature."""
        return digest(self.model_dump(mode="json", exclude_defaults=True))

    def with_output(self, field: FieldSchema, *, first: bool = False) -> Schema:
        """The same with one more output, unless there is one of that name."""
        if any(item.name == field.name for item in self.outputs):
            return self
        outputs = (field, *self.outputs) if first else (*self.outputs, field)
        return self.model_copy(update={"outputs": outputs})


def validator_of(fields: Iterable[FieldSchema], extra: Literal["ignore", "forbid"] = "ignore") -> Validator:
    """A validator of a mapping with these fields."""
    return Validator({item.name: (item.type, item.optional, item.default) for item in fields}, extra)


class Signature(BaseModel):
    """Write a class: its docstring is the instructions, its annotations the fields.

        class Route(Signature):
            \"\"\"Route a support ticket to the team that can solve it.\"\"\"

            ticket: str = Input()
            team: Literal["billing", "technical"] = Output("who should answer")

    A subclass has the fields of its parent too, and its docstring unless it brings one.
    Field types are anything pydantic can describe as a JSON Schema; that description is what is stored, shown to models
    and enforced. Python validators that JSON Schema cannot express run when you read `state.outputs(Route)`.
    """

    # Built below, so that what is wrong is said as a SignatureError; unknown types reach the JSON Schema generator, and
    # fields without a type reach `_require_fields`.
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        arbitrary_types_allowed=True,
        defer_build=True,
        ignored_types=(FieldInfo,),
        protected_namespaces=(),
    )
    _described: ClassVar[Schema | None] = None

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls._described = None
        _require_fields(cls)
        try:
            built = cls.model_rebuild(raise_errors=False)
        except PydanticUserError as error:
            raise SignatureError(f"signature {cls.__name__}: {error.message.partition(chr(10))[0]}") from error
        if built is not False and "output" in map(_role, cls.model_fields.values()):
            cls._described = _describe(cls)

    @classmethod
    def schema_of(cls) -> Schema:
        """This signature as data. Raises SignatureError when it gives nothing, or names a type that does not exist."""
        if cls._described is None:
            try:
                cls.model_rebuild()
            except PydanticUndefinedAnnotation as error:
                raise SignatureError(
                    f"signature {cls.__name__}: the type {error.name!r} does not exist; define it, or import it, "
                    "before the signature is first used"
                ) from error
            cls._described = _describe(cls)
        return cls._described

    @classmethod
    def named(cls, **values: Any) -> Self:
        """An instance from checked JSON values; defaults fill what is absent, other names are left out."""
        return cls.model_validate_json(canonical({key: values[key] for key in cls.model_fields if key in values}))


def _require_fields(cls: type[Signature]) -> None:
    """What pydantic has not taken for a field has no type, or a name it may not have."""
    for name, value in cls.__dict__.items():
        if isinstance(value, FieldInfo):
            fault = f"has no type; write `{name}: str = {str(_role(value)).title()}()`"
            if name.startswith("_"):
                fault = f"starts with an underscore; name it {name.strip('_')!r}"
            raise SignatureError(f"signature {cls.__name__}: field {name!r} {fault}")


def _describe(cls: type[Signature]) -> Schema:
    where = f"signature {cls.__name__}"
    sides: dict[str, list[FieldSchema]] = {"input": [], "output": []}
    for name, info in cls.model_fields.items():
        role = _role(info)
        if role is None:
            raise SignatureError(f"{where}: field {name!r} needs `= Input()` or `= Output()`")
        if info.alias or info.validation_alias or info.serialization_alias:
            raise SignatureError(f"{where}: field {name!r} has an alias; name the field itself so")
    schemas = field_schemas(cls, where)
    for name, info in cls.model_fields.items():
        sides[str(_role(info))].append(_field_schema(where, name, info, schemas[name]))
    if not sides["output"]:
        raise SignatureError(f"{where}: it gives nothing; add a field with `= Output()`")
    return Schema(
        name=cls.__name__,
        instructions=_instructions(cls, sides["input"], sides["output"]),
        inputs=tuple(sides["input"]),
        outputs=tuple(sides["output"]),
    )


def _field_schema(where: str, name: str, info: FieldInfo, prop: Mapping[str, Any]) -> FieldSchema:
    schema = {key: value for key, value in prop.items() if key not in (_ROLE, "description", "default")}
    if not schema and _role(info) == "output":
        raise SignatureError(
            f"{where}: the type of output {name!r} is open (Any), which cannot be described to a model; name a type"
        )
    if info.is_required():
        field = FieldSchema(name=name, type=schema, description=info.description)
        validator_of([field])
        return field
    default = plain(info.get_default(call_default_factory=True), f"{where}: the default of {name!r}")
    field = FieldSchema(name=name, type=schema, description=info.description, optional=True, default=default)
    try:
        validator_of([field])({name: default})
    except InvalidValuesError as error:
        raise SignatureError(f"{where}: the default of {error}; give one of its type, or add `| None`") from None
    return field


def _instructions(cls: type[Signature], inputs: list[FieldSchema], outputs: list[FieldSchema]) -> str:
    for owner in cls.__mro__[: cls.__mro__.index(Signature)]:
        if text := cleandoc(owner.__dict__.get("__doc__") or "").strip():
            return "\n".join(line.rstrip() for line in text.splitlines())
    given = ", ".join(f"`{item.name}`" for item in inputs)
    wanted = ", ".join(f"`{item.name}`" for item in outputs)
    return f"Given {given}, produce {wanted}." if given else f"Produce {wanted}."


def _role(info: FieldInfo) -> str | None:
    extra = info.json_schema_extra
    role = extra.get(_ROLE) if is_mapping(extra) else None
    return role if isinstance(role, str) else None


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
