"""Programs: a pipeline with typed holes, and a configuration that fills them, as data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, ModelWrapValidatorHandler, field_validator, model_validator

from dspex.errors import ConfigurationError, ProgramError, UnknownNameError
from dspex.kernel.canonical import identity, is_mapping, plain, sha256
from dspex.kernel.constraints import Constraint
from dspex.kernel.faults import refusing
from dspex.kernel.ports import JSON
from dspex.kernel.read_only import ReadOnlyDict, read_only
from dspex.kernel.signature import FieldSchema, Frozen
from dspex.kernel.space import Configuration, Space
from dspex.kernel.step import Step, dimensions, require_unique, with_option
from dspex.kernel.variables import Variable

__all__ = ["SCHEMA_VERSION", "Program", "Step"]

SCHEMA_VERSION: Literal[1] = 1


class Program(Frozen):
    """A pipeline of steps and a configuration of its variables. JSON in and out; holds no client and no callable."""

    schema_version: Literal[1] = SCHEMA_VERSION
    name: str
    description: str = ""
    pipeline: tuple[Step, ...]
    configuration: dict[str, JSON] = Field(default_factory=ReadOnlyDict)
    """Values of variables by flat path; those absent have their initial value. It cannot be changed in place."""
    constraints: tuple[str, ...] = ()
    """Comparisons over paths that every configuration must keep."""

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            name: str,
            pipeline: Sequence[Step],
            description: str = "",
            configuration: Configuration = ...,
            constraints: Sequence[str] = (),
        ) -> None: ...

    @model_validator(mode="wrap")
    @classmethod
    def _refused(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        made: Self = refusing(cls, data, handler, ProgramError, "program")
        return made

    @field_validator("configuration", mode="wrap")
    @classmethod
    def _plain(cls, configuration: Any, _: Any) -> ReadOnlyDict:
        if not is_mapping(configuration):
            raise ProgramError(f"a configuration maps paths to values, this is {type(configuration).__name__}")
        return ReadOnlyDict(
            {str(path): read_only(plain(value, f"configuration {path!r}")) for path, value in configuration.items()}
        )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not self.pipeline:
            raise ProgramError(f"program {self.name!r}: the pipeline is empty; give it at least one step")
        require_unique([step.name for step in self.pipeline], f"program {self.name!r}")
        self.space.validate(self.configuration)
        return self

    @cached_property
    def space(self) -> Space:
        """The variables of the pipeline by path, derived."""
        found = [dimension for step in self.pipeline for dimension in dimensions(step, step.name)]
        return Space(tuple(found), tuple(Constraint.parse(text) for text in self.constraints))

    @cached_property
    def values(self) -> Mapping[str, JSON]:
        """The value of every active variable; cannot be changed in place."""
        values: Mapping[str, JSON] = read_only(self.space.complete(self.configuration))
        return values

    @cached_property
    def hash(self) -> str:
        """SHA-256 of what the program does: pipeline, constraints and values; not its name or description.

        What has its default is left out, so that fields which later versions add do not change it.
        """
        data = self.model_dump(mode="json", include={"pipeline", "constraints"}, exclude_defaults=True)
        return sha256(identity({**data, "values": self.values}))

    @cached_property
    def inputs(self) -> tuple[FieldSchema, ...]:
        """What the caller has to bring: inputs of steps that no earlier step produces."""
        needed: dict[str, FieldSchema] = {}
        made: set[str] = set()
        for step in self.pipeline:
            for item in step.signature.inputs:
                if item.name not in made and (item.name not in needed or needed[item.name].optional):
                    needed[item.name] = item
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

        Only the key named changes; its siblings stay. A value may be a variable, which opens a new hole.
        Raises UnknownNameError for a step that does not exist.
        """
        configuration = dict(self.configuration)
        pipeline = self.pipeline
        for path, value in settings.items():
            if path in self.space and not isinstance(value, Variable):
                configuration[path] = value
            else:
                configuration.pop(path, None)
                *steps, option = path.split(".")
                pipeline = with_option(pipeline, steps, option, value, path)
        return Program(
            name=self.name,
            description=self.description,
            pipeline=pipeline,
            configuration=configuration,
            constraints=self.constraints,
        )

    def step(self, path: str) -> Step:
        """The step at a path, `flow.draft`. Raises UnknownNameError."""
        found = dict(self.walk())
        if path not in found:
            raise UnknownNameError("step", path, found, f"program {self.name!r}")
        return found[path]

    def walk(self) -> Iterator[tuple[str, Step]]:
        """Every step with its path, parents first."""
        stack = [(step.name, step) for step in reversed(self.pipeline)]
        while stack:
            path, step = stack.pop()
            yield path, step
            stack.extend((f"{path}.{item.name}", item) for item in reversed(step.steps))

    def to_data(self) -> dict[str, JSON]:
        """The program as JSON data, what `Program.from_data` takes. What has its default is left out."""
        return {"schema_version": self.schema_version, **self.model_dump(mode="json", exclude_defaults=True)}

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
            program = cls.model_validate(dict(data))
            for _, step in program.walk():
                _ = step.signature.questions, step.signature.answers  # what cannot be enforced is refused here
        except ConfigurationError as error:
            raise ProgramError(f"{where}: {error}") from error
        return program

    def __hash__(self) -> int:
        return hash(self.hash)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Program) and self.hash == other.hash and self.name == other.name
