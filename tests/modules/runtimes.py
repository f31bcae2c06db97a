"""A runtime around a scripted model, for the tests of modules."""

from __future__ import annotations

from dspex.adapters import ADAPTERS
from dspex.clients.scripted import Script, ScriptedLM
from dspex.kernel.ports import Observer, Registry, Runtime
from dspex.modules.registry import builtin_registry


def runtime(
    script: Script, *, adapter: str = "chat", observer: Observer | None = None, modules: Registry | None = None
) -> Runtime:
    return Runtime(
        lm=ScriptedLM(script),
        model="scripted/x",
        adapters=ADAPTERS,
        modules=modules or builtin_registry(),
        adapter=adapter,
        observer=observer,
    )
