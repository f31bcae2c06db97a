"""Functions as steps: registered, named in a program by reference, run on a thread unless they are async."""

from __future__ import annotations

import asyncio
import importlib
import inspect
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from time import perf_counter
from typing import Any, TypeVar, cast, get_type_hints

from pydantic import create_model

from dspex.errors import AnswerError, ConfigurationError, SignatureError, UnknownNameError, suggestion
from dspex.kernel.canonical import plain
from dspex.kernel.containing import contained
from dspex.kernel.ports import JSON, ModuleSpec, Runtime, StepContext
from dspex.kernel.program import Step
from dspex.kernel.shorthand import as_schema
from dspex.kernel.signature import Input, Output, Schema, Signature
from dspex.kernel.state import Record
from dspex.kernel.validation import InvalidValuesError

F = TypeVar("F", bound=Callable[..., Any])
_functions: dict[str, Callable[..., Any]] = {}


def registered(name: str | None = None) -> Callable[[F], F]:
    """Decorator: let programs name this function, by `name` or by its import path `package.module:qualname`."""

    def mark(given: F) -> F:
        reference(given, name)
        return given

    return mark


def reference(given: Callable[..., Any], name: str | None = None) -> str:
    """Register a function, and the name under which a program refers to it.

    Raises ConfigurationError for a name that stands for another function: defining a module's function again, as in a
    notebook, replaces it, but two functions made inside functions need names of their own.
    """
    path = f"{given.__module__}:{given.__qualname__}"
    known = name or path
    before = _functions.get(known)
    if before is not None and before is not given:
        same = f"{before.__module__}:{before.__qualname__}" == path and "<" not in given.__qualname__
        if not same:
            raise ConfigurationError(f"another function is registered as {known!r} already; pass name= with a new one")
    _functions[known] = given
    return known


def resolve(name: str) -> Callable[..., Any]:
    """The registered function of that name; an import path has its module imported first.

    Raises ConfigurationError: only what was registered is found, never just anything that can be imported.
    """
    if name in _functions:
        return _functions[name]
    module, colon, _ = name.partition(":")
    if not colon:
        raise UnknownNameError("function", name, _functions)
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise ConfigurationError(f"function {name!r}: its module cannot be imported: {error}") from error
    if name not in _functions:
        raise ConfigurationError(
            f"function {name!r} is not registered when its module is imported{suggestion(name, _functions)}; "
            "make its step (dspex.function, dspex.call) at the top level of that module"
        )
    return _functions[name]


def also_known(module: str, name: str) -> None:
    """Let programs name the registered functions of `module` as if the module were called `name`."""
    for path, given in list(_functions.items()):
        head, colon, rest = path.partition(":")
        if colon and head == module:
            _functions.setdefault(f"{name}:{rest}", given)


class FunctionStep(Step):
    """A step that performs a registered function. Calling it calls the function itself."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return resolve(self.options["function"])(*args, **kwargs)


def function(
    given: Callable[..., Any],
    signature: type[Signature] | Schema | str | None = None,
    *,
    name: str | None = None,
    **options: Any,
) -> FunctionStep:
    """A step that performs a pure function of the inputs; also a decorator.

    Without `signature` it follows from the annotations: parameters are inputs (those with a default may be left out),
    and the return type is the output, named after the function; a Signature class as return type names several.
    `options` are further arguments of the function, values or variables. `name` is the step's name.
    """
    known = reference(given)
    named = name or given.__name__
    schema = _annotated(given, options) if signature is None else as_schema(signature)
    return FunctionStep(name=named, module="function", signature=schema, options={"function": known, **options})


async def perform_function(context: StepContext) -> Mapping[str, JSON]:
    """Call the function with the inputs and the step's further options; what it returns is checked."""
    given = resolve(context.options["function"])
    arguments = {**context.inputs, **{key: value for key, value in context.options.items() if key != "function"}}
    # A user's synchronous code must not hold up the event loop.
    calling = partial(given, **arguments)
    running = calling() if inspect.iscoroutinefunction(given) else asyncio.to_thread(contained, calling)
    return await recorded(context, running)


async def recorded(context: StepContext, running: Awaitable[Any]) -> Mapping[str, JSON]:
    """What `running` returns as checked outputs, with one record of the step, also when it fails."""
    started = perf_counter()
    try:
        outputs = as_outputs(await running, context.signature, context.path)
    except Exception as error:
        _record(context, None, perf_counter() - started, f"{type(error).__name__}: {error}")
        raise
    _record(context, outputs, perf_counter() - started, None)
    return outputs


def _record(context: StepContext, outputs: dict[str, JSON] | None, seconds: float, error: str | None) -> None:
    context.record(Record(context.path, context.step.module, context.inputs, outputs, seconds=seconds, error=error))


def as_outputs(returned: Any, signature: Schema, path: str) -> dict[str, JSON]:
    """What a function returned as checked outputs: a mapping, a model, or the value itself where there is one output.

    Raises AnswerError where it is not what the signature says.
    """
    value = plain(returned, f"step {path!r}: what the function returned")
    names = [item.name for item in signature.outputs]
    whole = isinstance(value, dict) and (len(names) > 1 or names[0] in value)
    if not whole and len(names) > 1:
        raise AnswerError(f"step {path!r}: the function has to return a mapping with {names}, it returned {value!r}")
    given: dict[str, JSON] = cast("dict[str, JSON]", value) if whole else {names[0]: value}
    try:
        return signature.answers(given)
    except InvalidValuesError as error:
        raise AnswerError(f"step {path!r}: what the function returned does not fit: {error}") from None


def check_function(step: Step, options: Mapping[str, Any], runtime: Runtime) -> None:
    """Raises ConfigurationError for a function that is not registered, or that does not take what it would be given."""
    where = f"step {step.name!r}"
    name = options.get("function")
    if not isinstance(name, str):
        raise ConfigurationError(f"{where}: option 'function' needs the name of a registered function, got {name!r}")
    check_parameters(resolve(name), [item.name for item in step.signature.inputs], options, where)


def check_parameters(
    given: Callable[..., Any], inputs: list[str], options: Mapping[str, Any], where: str, first: int = 0
) -> None:
    """Raises UnknownNameError for an input or option that `given` has no parameter for; `first` are positional."""
    parameters = list(inspect.signature(given).parameters.values())[first:]
    if any(item.kind is inspect.Parameter.VAR_KEYWORD for item in parameters):
        return
    known = [item.name for item in parameters]
    for kind, names in (("input", inputs), ("option", [key for key in options if key != "function"])):
        for name in names:
            if name not in known:
                raise UnknownNameError(kind, name, known, f"{where} (the function {given.__qualname__} takes these)")


FUNCTION = ModuleSpec(
    "function",
    perform_function,
    {"function": "the name of a registered function"},
    any_option=True,
    check=check_function,
)


def _annotated(given: Callable[..., Any], options: Mapping[str, Any]) -> Schema:
    """The signature that a function's annotations tell."""
    where = f"function {given.__qualname__}"
    try:
        hints = get_type_hints(given, include_extras=True)
    except (NameError, TypeError) as error:
        raise SignatureError(f"{where}: its annotations do not resolve ({error}); pass signature=") from error
    fields: dict[str, Any] = {}
    for item in inspect.signature(given).parameters.values():
        if item.name in options:
            continue
        if item.name not in hints or item.kind in (item.VAR_KEYWORD, item.VAR_POSITIONAL, item.POSITIONAL_ONLY):
            raise SignatureError(f"{where}: parameter {item.name!r} needs an annotation and a name; or pass signature=")
        required = item.default is inspect.Parameter.empty
        fields[item.name] = (hints[item.name], Input() if required else Input(default=item.default))
    returns = hints.get("return")
    if returns is None or returns is type(None):
        raise SignatureError(f"{where}: it needs a return annotation, or signature=")
    if isinstance(returns, type) and issubclass(returns, Signature):
        outputs = returns.schema_of().outputs
        made = create_model(given.__name__, __base__=_Placeholder, **fields).schema_of()
        return made.model_copy(update={"outputs": outputs})
    fields[given.__name__] = (returns, Output())
    return create_model(given.__name__, __base__=Signature, __doc__=inspect.getdoc(given), **fields).schema_of()


class _Placeholder(Signature):
    placeholder: str = Output()
