"""Steps and programs: a pipeline with typed holes, and a configuration that fills them, as data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_serializer, field_validator, model_validator

from dspex.errors import ProgramError, UnknownNameError
from dspex.kernel.canonical import digest, is_mapping, plain
from dspex.kernel.constraints import Constraint
from dspex.kernel.ports import JSON
from dspex.kernel.signature import IDENTIFIER, FieldSchema, Frozen, Schema
from dspex.kernel.space import Configuration, Dimension, Space
from dspex.kernel.variables import VARIABLE_ADAPTER, Choice, Variable

SCHEMA_VERSION: Literal[1] = 1


class Step(Frozen):
    """One stage: a registered module applied to a signature.

    `options` hold JSON values or variables. `steps` are named sub-steps of composite modules; where an option is a
    `Choice` with `steps=True`, only the sub-step it names is active.
    """

    name: str
    module: str
    signature: Schema
    options: dict[str, Any] = Field(default_factory=dict)
    steps: tuple[Step, ...] = ()

    @field_validator("name")
    @classmethod
    def _named(cls, name: str) -> str:
        if not IDENTIFIER.fullmatch(name):
            raise ProgramError(f"step name {name!r}: use letters, digits and _, not starting with a digit")
        return name

    @field_validator("options", mode="before")
    @classmethod
    def _typed(cls, options: Any) -> Any:
        if not is_mapping(options):
            raise ProgramError(f"options of a step are a mapping, not {type(options).__name__}")
        return {str(key): _option(str(key), value) for key, value in options.items()}

    @field_serializer("options")
    def _written(self, options: dict[str, Any]) -> dict[str, JSON]:
        return {key: written(value) for key, value in options.items()}

    @model_validator(mode="after")
    def _whole(self) -> Self:
        _unique([item.name for item in self.steps], f"step {self.name!r}")
        names = [item.name for item in self.steps]
        for key, value in self.options.items():
            if key in names:
                raise ProgramError(
                    f"step {self.name!r}: option {key!r} has the name of one of its sub-steps; rename one"
                )
            if isinstance(value, Choice) and value.steps and (absent := [n for n in value.values if n not in names]):
                raise UnknownNameError("sub-step", str(absent[0]), names, f"step {self.name!r}, option {key!r}")
        return self

    @property
    def chooser(self) -> str | None:
        """The option that chooses among the sub-steps, if there is one."""
        return next((k for k, v in self.options.items() if isinstance(v, Choice) and v.steps), None)

    def child(self, name: str) -> Step:
        """The sub-step of that name. Raises UnknownNameError."""
        for item in self.steps:
            if item.name == name:
                return item
        raise UnknownNameError("sub-step", name, [item.name for item in self.steps], f"step {self.name!r}")


class Program(Frozen):
    """A pipeline of steps and a configuration of its variables. JSON in and out; holds no client and no callable."""

    schema_version: Literal[1] = SCHEMA_VERSION
    name: str
    description: str = ""
    pipeline: tuple[Step, ...]
    configuration: dict[str, JSON] = Field(default_factory=dict)
    """Values of variables by flat path; those absent have their initial value."""
    constraints: tuple[str, ...] = ()
    """Comparisons over paths that every configuration must keep."""

    @field_validator("configuration", mode="before")
    @classmethod
    def _plain(cls, configuration: Any) -> Any:
        return {str(k): plain(v, f"configuration {k!r}") for k, v in dict(configuration).items()}

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not self.pipeline:
            raise ProgramError(f"program {self.name!r}: the pipeline is empty; give it at least one step")
        _unique([step.name for step in self.pipeline], f"program {self.name!r}")
        self.space.validate(self.configuration)
        return self

    @cached_property
    def space(self) -> Space:
        """The variables of the pipeline by path, derived."""
        found = [dim for step in self.pipeline for dim in _dimensions(step, step.name, ())]
        return Space(tuple(found), tuple(Constraint.parse(text) for text in self.constraints))

    @cached_property
    def values(self) -> dict[str, JSON]:
        """The value of every active variable."""
        return self.space.complete(self.configuration)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of what the program does: pipeline, constraints and values; not its name or description."""
        data = self.model_dump(mode="json", include={"schema_version", "pipeline", "constraints"})
        return digest({**data, "values": self.values})

    @cached_property
    def inputs(self) -> tuple[FieldSchema, ...]:
        """What the caller has to bring: inputs of steps that no earlier step produces."""
        needed: dict[str, FieldSchema] = {}
        made: set[str] = set()
        for step in self.pipeline:
            for item in step.signature.inputs:
                if item.name not in made:
                    needed.setdefault(item.name, item)
            made.update(item.name for item in step.signature.outputs)
        return tuple(needed.values())

    @cached_property
    def outputs(self) -> tuple[FieldSchema, ...]:
        """Everything the steps give, the last of each name."""
        return tuple({item.name: item for step in self.pipeline for item in step.signature.outputs}.values())

    def configured(self, configuration: Configuration) -> Program:
        """The same pipeline with these values over its present ones. Raises VariableError naming every problem."""
        return Program(
            name=self.name,
            description=self.description,
            pipeline=self.pipeline,
            configuration={**self.configuration, **configuration},
            constraints=self.constraints,
        )

    def overridden(self, settings: Mapping[str, Any]) -> Program:
        """The same with flat paths set: `{"flow.draft.temperature": 0.2}`, whether variable or plain option.

        Only the key named changes; its siblings stay. Raises UnknownNameError for a step that does not exist.
        """
        variables = {item.path for item in self.space}
        configuration = {path: value for path, value in settings.items() if path in variables}
        pipeline = self.pipeline
        for path, value in settings.items():
            if path not in variables:
                *steps, option = path.split(".")
                pipeline = _with_option(pipeline, steps, option, value, path)
        return self.model_copy(update={"pipeline": pipeline}).configured(configuration) if settings else self

    def walk(self) -> Iterator[tuple[str, Step]]:
        """Every step with its path, parents first."""
        stack = [(step.name, step) for step in reversed(self.pipeline)]
        while stack:
            path, step = stack.pop()
            yield path, step
            stack.extend((f"{path}.{item.name}", item) for item in reversed(step.steps))

    def to_data(self) -> dict[str, JSON]:
        """The program as JSON data, what `Program.from_data` takes."""
        return self.model_dump(mode="json")

    @classmethod
    def from_data(cls, data: Any, where: str = "program") -> Program:
        """A program from JSON data. Raises ProgramError saying where and what; a newer version is refused."""
        if not is_mapping(data):
            raise ProgramError(f"{where}: a program is a mapping, this is {type(data).__name__}")
        version = data.get("schema_version", SCHEMA_VERSION)
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise ProgramError(
                f"{where}: schema_version {version} is newer than this DSPEx reads ({SCHEMA_VERSION}); upgrade DSPEx"
            )
        try:
            return cls.model_validate(dict(data))
        except ValidationError as error:
            faults = [
                f"{'.'.join(str(part) for part in item['loc']) or 'program'}: {item['msg']}"
                for item in error.errors(include_url=False, include_context=False, include_input=False)
            ]
            raise ProgramError(f"{where}: {'; '.join(faults)}") from error

    def __hash__(self) -> int:
        return hash(self.hash)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Program) and self.hash == other.hash and self.name == other.name


def program_json_schema() -> dict[str, JSON]:
    """The published JSON Schema of a program file (draft 2020-12), variables included."""
    schema = Program.model_json_schema()
    variables = VARIABLE_ADAPTER.json_schema(ref_template="#/$defs/{model}")
    definitions = variables.pop("$defs")
    schema["$defs"] = {**schema["$defs"], **definitions, "Variable": variables}
    schema["$defs"]["Step"]["properties"]["options"] = {
        "type": "object",
        "additionalProperties": {
            "anyOf": [{"$ref": "#/$defs/Variable"}, {"not": {"required": ["$variable"], "type": "object"}}]
        },
        "description": "Values, or variables: objects with the key $variable.",
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "DSPEx program", **schema}


def written(value: Any) -> JSON:
    """An option as JSON: a variable without what is default."""
    if isinstance(value, Variable):
        data = value.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return {"$variable": getattr(value, "kind", ""), **{k: v for k, v in data.items() if k != "$variable"}}
    return value


def _option(name: str, value: Any) -> Any:
    if isinstance(value, Variable):
        return value
    if is_mapping(value) and "$variable" in value:
        try:
            return VARIABLE_ADAPTER.validate_python(dict(value))
        except (ValidationError, TypeError) as error:
            kind = value["$variable"]
            raise ProgramError(f"option {name!r}: not a variable of kind {kind!r}: {_first_line(error)}") from error
    return plain(value, f"option {name!r}")


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        return f"{'.'.join(str(part) for part in fault['loc'][1:])} {fault['msg']}".strip()
    return str(error)


def _unique(names: Iterable[str], where: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ProgramError(f"{where}: two steps are named {name!r}; give one another name (name=...)")
        seen.add(name)


def _dimensions(step: Step, path: str, conditions: tuple[tuple[str, JSON], ...]) -> Iterator[Dimension]:
    chooser = step.chooser
    for key, value in step.options.items():
        if isinstance(value, Variable):
            yield Dimension(f"{path}.{key}", value, conditions)
    for item in step.steps:
        inner = conditions if chooser is None else (*conditions, (f"{path}.{chooser}", item.name))
        yield from _dimensions(item, f"{path}.{item.name}", inner)


def _with_option(steps: tuple[Step, ...], names: list[str], option: str, value: Any, path: str) -> tuple[Step, ...]:
    known = [step.name for step in steps]
    if not names:
        raise UnknownNameError("path", path, [f"{name}.<option>" for name in known])
    if names[0] not in known:
        raise UnknownNameError("step", names[0], known, f"path {path!r}")
    index = known.index(names[0])
    step = steps[index]
    if len(names) == 1:
        changed = step.model_copy(update={"options": {**step.options, option: _option(option, value)}})
    else:
        changed = step.model_copy(update={"steps": _with_option(step.steps, names[1:], option, value, path)})
    return (*steps[:index], changed, *steps[index + 1 :])
