"""Names to modules."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from dspex.errors import ConfigurationError, UnknownNameError
from dspex.kernel.execution import execute, prepare
from dspex.kernel.ports import ModuleSpec, StepContext
from dspex.kernel.program import Program, Step
from dspex.kernel.shorthand import signature
from dspex.modules import registry
from dspex.modules.registry import ModuleRegistry, builtin_registry, module
from tests.modules.runtimes import runtime


@module("tests.echo", options={"times": "how often"})
async def echo(context: StepContext) -> Mapping[str, Any]:
    return {"answer": context.inputs["question"] * context.options.get("times", 1)}


def step(**options: Any) -> Program:
    made = Step(name="echo", module="tests.echo", signature=signature("question -> answer"), options=options)
    return Program(name="p", pipeline=(made,))


def test_the_standard_modules_are_there() -> None:
    assert {"call", "chain_of_thought", "choose", "function", "predict"} <= set(builtin_registry().names())


def test_a_marked_function_is_a_module() -> None:
    using = runtime(lambda request: "")
    assert asyncio.run(execute(step(times=2), {"question": "a"}, using))["answer"] == "aa"
    with pytest.raises(UnknownNameError, match="did you mean 'times'"):
        prepare(step(time=2), using)


def test_an_unknown_module_gets_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="unknown module 'predct'; did you mean 'predict'"):
        builtin_registry().get("predct")


def test_a_name_stands_for_one_module() -> None:
    async def other(context: StepContext) -> Mapping[str, Any]:
        return {}

    for taken in ("predict", "tests.echo"):
        with pytest.raises(ConfigurationError, match="there already"):
            module(taken)(other)
    assert builtin_registry().get("tests.echo") is echo


def test_installed_packages_bring_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    def listed(group: str) -> list[EntryPoint]:
        return [EntryPoint("echo", f"{__name__}:echo", group)]

    monkeypatch.setattr(registry, "entry_points", listed)
    assert ModuleRegistry().get("tests.echo") is echo
    assert ModuleRegistry().names() == ("tests.echo",)


def test_an_entry_point_that_is_no_module_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def listed(group: str) -> list[EntryPoint]:
        return [EntryPoint("step", f"{__name__}:step", group)]

    monkeypatch.setattr(registry, "entry_points", listed)
    with pytest.raises(ConfigurationError, match=r"entry point 'step' .*mark the function with @dspex.module"):
        ModuleRegistry().get("anything")


def test_a_registry_of_its_own_holds_what_it_is_given() -> None:
    spec = ModuleSpec("tests.own", echo.run)
    assert ModuleRegistry([spec]).get("tests.own") is spec
