"""A step: a registered module applied to a signature, with its options and its sub-steps, as data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, ModelWrapValidatorHandler, field_serializer, field_validator, model_validator

from dspex.errors import ProgramError, UnknownNameError
from dspex.kernel.canonical import is_mapping
from dspex.kernel.faults import refusing
from dspex.kernel.ports import JSON
from dspex.kernel.read_only import ReadOnlyDict
from dspex.kernel.signature import IDENTIFIER, Frozen, Schema
from dspex.kernel.space import Dimension
from dspex.kernel.variables import Choice, Variable, read, written


class Step(Frozen):
    """One stage: a registered module applied to a signature.

    `options` hold JSON values or variables. `steps` are named sub-steps of composite modules; where an option is a
    `Choice` with `steps=True`, only the sub-step it names is active.
    """

    name: str
    module: str
    signature: Schema
    options: dict[str, Any] = Field(default_factory=ReadOnlyDict)
    steps: tuple[Step, ...] = ()

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            name: str,
            module: str,
            signature: Schema,
            options: Mapping[str, Any] = ...,
            steps: Sequence[Step] = ...,
        ) -> None: ...

    @model_validator(mode="wrap")
    @classmethod
    def _refused(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        made: Self = refusing(cls, data, handler, ProgramError, "step")
        return made

    @field_validator("name")
    @classmethod
    def _named(cls, name: str) -> str:
        if not IDENTIFIER.fullmatch(name):
            raise ProgramError(f"step name {name!r}: use letters, digits and _, not starting with a digit")
        return name

    @field_validator("options", mode="wrap")
    @classmethod
    def _typed(cls, options: Any, _: Any) -> ReadOnlyDict:
        if not is_mapping(options):
            raise ProgramError(f"options of a step are a mapping, not {type(options).__name__}")
        return ReadOnlyDict({str(key): read(value, f"option {key!r}") for key, value in options.items()})

    @field_serializer("options")
    def _written(self, options: dict[str, Any]) -> dict[str, JSON]:
        return {key: written(value) for key, value in options.items()}

    @model_validator(mode="after")
    def _whole(self) -> Self:
        names = [item.name for item in self.steps]
        require_unique(names, f"step {self.name!r}")
        choosers = [key for key, value in self.options.items() if isinstance(value, Choice) and value.steps]
        if len(choosers) > 1:
            raise ProgramError(f"step {self.name!r}: options {choosers} both choose among its sub-steps; keep one")
        for key, value in self.options.items():
            if key in names:
                raise ProgramError(
                    f"step {self.name!r}: option {key!r} has the name of one of its sub-steps; rename one"
                )
            if not IDENTIFIER.fullmatch(key):
                raise ProgramError(f"step {self.name!r}: option {key!r} is not a name; use letters, digits and _")
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


def require_unique(names: Iterable[str], where: str) -> None:
    """Raises ProgramError when a name is there twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ProgramError(f"{where}: two steps are named {name!r}; give one another name (name=...)")
        seen.add(name)


def dimensions(step: Step, path: str, conditions: tuple[tuple[str, JSON], ...] = ()) -> Iterator[Dimension]:
    """The variables of a step and of all below it; those of a sub-step that may not be chosen are conditional."""
    chooser = step.chooser
    for key, value in step.options.items():
        if isinstance(value, Variable):
            yield Dimension(f"{path}.{key}", value, conditions)
    for item in step.steps:
        inner = conditions if chooser is None else (*conditions, (f"{path}.{chooser}", item.name))
        yield from dimensions(item, f"{path}.{item.name}", inner)


def with_option(steps: tuple[Step, ...], names: list[str], option: str, value: Any, path: str) -> tuple[Step, ...]:
    """`steps` with one option of the step at `names` set. Raises UnknownNameError for a step that does not exist."""
    known = [step.name for step in steps]
    if not names:
        raise UnknownNameError("path", path, [f"{name}.<option>" for name in known])
    if names[0] not in known:
        raise UnknownNameError("step", names[0], known, f"path {path!r}")
    index = known.index(names[0])
    step = steps[index]
    if len(names) == 1:
        changed = _changed(step, {**step.options, option: value}, step.steps)
    else:
        changed = _changed(step, step.options, with_option(step.steps, names[1:], option, value, path))
    return (*steps[:index], changed, *steps[index + 1 :])


def _changed(step: Step, options: Mapping[str, Any], steps: tuple[Step, ...]) -> Step:
    return Step(name=step.name, module=step.module, signature=step.signature, options=options, steps=steps)
