"""Names to modules: the standard ones, those marked with `@module`, and those that installed packages bring."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import entry_points

from dspex.errors import ConfigurationError, UnknownNameError
from dspex.kernel.ports import Module, ModuleSpec
from dspex.modules.flow import CALL, CHOOSE
from dspex.modules.functions import FUNCTION
from dspex.modules.prediction import CHAIN_OF_THOUGHT, PREDICT

GROUP = "dspex.modules"
"""The entry-point group; each entry names a `ModuleSpec`, such as `@module` makes."""
_marked: dict[str, ModuleSpec] = {}


class ModuleRegistry:
    """A kernel `Registry`. Entry points are read when a name is not found otherwise, or all names are asked for."""

    def __init__(self, specs: Iterable[ModuleSpec] = (), *, marked: Mapping[str, ModuleSpec] | None = None) -> None:
        self._specs = {spec.name: spec for spec in specs}
        self._marked: Mapping[str, ModuleSpec] = {} if marked is None else marked
        self._installed: dict[str, ModuleSpec] | None = None

    def get(self, name: str) -> ModuleSpec:
        """The module of that name. Raises UnknownNameError with a suggestion."""
        spec = self._specs.get(name) or self._marked.get(name) or self._entries().get(name)
        if spec is None:
            raise UnknownNameError("module", name, self.names())
        return spec

    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted({*self._specs, *self._marked, *self._entries()}))

    def _entries(self) -> dict[str, ModuleSpec]:
        if self._installed is None:
            found: dict[str, ModuleSpec] = {}
            for entry in entry_points(group=GROUP):
                spec = entry.load()
                if not isinstance(spec, ModuleSpec):
                    raise ConfigurationError(
                        f"entry point {entry.name!r} of {GROUP} is a {type(spec).__name__}, not a ModuleSpec; "
                        "mark the function with @dspex.module"
                    )
                found[spec.name] = spec
            self._installed = found
        return self._installed


def module(
    name: str | None = None,
    *,
    options: Mapping[str, str] | None = None,
    calls_model: bool = False,
    pure: bool = True,
    composite: bool = False,
) -> Callable[[Module], ModuleSpec]:
    """Mark an async function of a StepContext as a module, known by `name` (or its own) to every runtime here.

    Raises ConfigurationError where another function has the name already.
    """

    def mark(run: Module) -> ModuleSpec:
        known = name or str(getattr(run, "__name__", ""))
        spec = ModuleSpec(known, run, dict(options or {}), calls_model=calls_model, pure=pure, composite=composite)
        before = STANDARD.get(known) or _marked.get(known)
        if not known or (before is not None and _origin(before.run) != _origin(run)):
            raise ConfigurationError(f"a module named {known!r} is there already; give this one another name")
        _marked[known] = spec
        return spec

    return mark


def builtin_registry() -> ModuleRegistry:
    """The standard modules, those marked in this process, and those of installed packages."""
    return ModuleRegistry(STANDARD.values(), marked=_marked)


def _origin(run: Module) -> tuple[str, str]:
    """Where a function was written: defining it again, as in a notebook, replaces it."""
    return str(getattr(run, "__module__", "")), str(getattr(run, "__qualname__", repr(run)))


STANDARD: Mapping[str, ModuleSpec] = {spec.name: spec for spec in (PREDICT, CHAIN_OF_THOUGHT, CHOOSE, CALL, FUNCTION)}
"""The modules that come with DSPEx, by name."""
