"""Steps made of steps: `choose` makes the choice among steps a variable, `call` runs a function over named steps."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Self

from dspex.errors import ConfigurationError, ProgramError, UnknownNameError
from dspex.kernel.ports import JSON, ModuleSpec, Runtime, StepContext
from dspex.kernel.program import Step
from dspex.kernel.shorthand import as_schema
from dspex.kernel.signature import FieldSchema, Schema, Signature
from dspex.kernel.variables import Choice
from dspex.modules.functions import FunctionStep, check_parameters, recorded, reference, resolve

Flow = Callable[..., Awaitable[Any]]


def choose(*steps: Step, name: str | None = None, default: str | None = None) -> Step:
    """A step that performs one of `steps`; which one is the variable `choice`, at first `default` or the first.

    Steps of the same name get a suffix, `predict`, `predict_2`. It takes what any of them takes and promises what all
    of them give; what only the chosen one gives is passed on too. Raises ProgramError where they share no output.
    """
    if not steps:
        raise ProgramError("choose() needs at least one step")
    named: list[Step] = []
    for step in steps:
        taken = {item.name for item in named}
        number = 2
        wanted = step.name
        while wanted in taken:
            wanted = f"{step.name}_{number}"
            number += 1
        named.append(step if wanted == step.name else step.model_copy(update={"name": wanted}))
    names = [item.name for item in named]
    if default is not None and default not in names:
        raise UnknownNameError("step", default, names, "default of choose()")
    choice = Choice(*names, default=default, steps=True)
    return Step(
        name=name or "choose", module="choose", signature=_shared(named), options={"choice": choice}, steps=tuple(named)
    )


def _shared(steps: list[Step]) -> Schema:
    """What is needed by any of the steps and given by all of them."""
    inputs: dict[str, FieldSchema] = {}
    for step in steps:
        for item in step.signature.inputs:
            before = inputs.setdefault(item.name, item)
            if before.type != item.type:
                raise ProgramError(f"choose(): the steps take {item.name!r} as different types; rename one")
            if before.optional and not item.optional:
                inputs[item.name] = item
    first, *others = (step.signature for step in steps)
    outputs = tuple(
        item for item in first.outputs if all(_same_output(item, signature.outputs) for signature in others)
    )
    if not outputs:
        raise ProgramError("choose(): no output is given by all of the steps; they need one in common")
    return Schema(name=first.name, instructions=first.instructions, inputs=tuple(inputs.values()), outputs=outputs)


def _same_output(item: FieldSchema, among: tuple[FieldSchema, ...]) -> bool:
    return any(other.name == item.name and other.type == item.type for other in among)


async def _choose(context: StepContext) -> Mapping[str, JSON]:
    name = context.options["choice"]
    wanted = context.memory.get(name)
    if wanted is None:
        wanted = context.memory[name] = frozenset(item.name for item in context.step.child(name).signature.inputs)
    return await context.run(name, {key: value for key, value in context.inputs.items() if key in wanted})


class Steps:
    """The sub-steps of a `call`, each an async function of its inputs: `await steps.draft(question=...)`.

    Returns the outputs of the sub-step by name. Also `steps["draft"]`, for names that are no attributes. Several may be
    awaited side by side; where one fails, those under way come to their end, and no other is begun.
    """

    __slots__ = ("_context", "_ended", "_under_way")

    def __init__(self, context: StepContext) -> None:
        self._context, self._ended = context, False
        self._under_way = set[asyncio.Future[None]]()

    def __getitem__(self, name: str) -> Callable[..., Awaitable[dict[str, JSON]]]:
        names = [item.name for item in self._context.step.steps]
        if name not in names:
            raise UnknownNameError("sub-step", name, names, f"step {self._context.path!r}")

        def performed(**inputs: JSON) -> Awaitable[dict[str, JSON]]:
            return self._performed(name, inputs)

        return performed

    async def _performed(self, name: str, inputs: Mapping[str, JSON]) -> dict[str, JSON]:
        if self._ended:
            raise ProgramError(f"step {self._context.path!r} has failed; {name!r} is not performed any more")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._under_way.add(done)
        try:
            return await self._context.run(name, inputs)
        finally:
            self._under_way.discard(done)
            done.set_result(None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        """After a failure begin no more, and wait for what is under way: it is paid for, and belongs to the history."""
        if isinstance(error, Exception):
            self._ended = True
            while self._under_way:
                await asyncio.wait(self._under_way)

    def __getattr__(self, name: str) -> Callable[..., Awaitable[dict[str, JSON]]]:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]


def call(
    function: Flow,
    signature: type[Signature] | Schema | str,
    *,
    steps: Mapping[str, Step],
    name: str | None = None,
    **options: Any,
) -> FunctionStep:
    """A step that runs `async def flow(steps, **inputs)` over named sub-steps, so that any control flow stays data.

    The function is registered by its import path; it returns a mapping of outputs, or the value of the only one.
    `options` are further arguments of it, values or variables; paths of sub-steps are `flow.draft.temperature`.
    """
    if not inspect.iscoroutinefunction(function):
        raise ConfigurationError(f"call() needs an async function, `async def {_name_of(function)}(steps, ...)`")
    inner = tuple(step.model_copy(update={"name": key}) for key, step in steps.items())
    return FunctionStep(
        name=name or _name_of(function),
        module="call",
        signature=as_schema(signature),
        options={"function": reference(function), **options},
        steps=inner,
    )


def _name_of(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", "flow"))


async def _call(context: StepContext) -> Mapping[str, JSON]:
    flow = resolve(context.options["function"])
    extra = {key: value for key, value in context.options.items() if key != "function"}
    async with Steps(context) as steps:
        return await recorded(context, flow(steps, **context.inputs, **extra))


def _check_call(step: Step, options: Mapping[str, Any], runtime: Runtime) -> None:
    where = f"step {step.name!r}"
    name = options.get("function")
    if not isinstance(name, str):
        raise ConfigurationError(f"{where}: option 'function' needs the name of a registered function, got {name!r}")
    flow = resolve(name)
    if not inspect.iscoroutinefunction(flow):
        raise ConfigurationError(f"{where}: {name!r} is no async function of (steps, ...)")
    check_parameters(flow, [item.name for item in step.signature.inputs], options, where, first=1)


CHOOSE = ModuleSpec("choose", _choose, {"choice": "which sub-step to perform"}, composite=True)
CALL = ModuleSpec(
    "call",
    _call,
    {"function": "the name of a registered async function over the sub-steps"},
    composite=True,
    any_option=True,
    check=_check_call,
)
