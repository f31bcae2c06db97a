"""A small program and models for it, shared by the tests of this folder."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from dspex.adapters import ADAPTERS
from dspex.clients.scripted import Answer, Script, ScriptedLM
from dspex.evaluation.dataset import Dataset
from dspex.kernel.ports import Request, Runtime
from dspex.kernel.program import Program
from dspex.kernel.signature import Input, Output, Signature
from dspex.modules.prediction import predict
from dspex.modules.registry import builtin_registry

TEAMS = ("billing", "technical", "account")


class Route(Signature):
    """Route a support ticket to the team that can solve it."""

    ticket: str = Input()
    team: Literal["billing", "technical", "account"] = Output()


def route() -> Program:
    """One step that asks for a team."""
    return Program(name="route", pipeline=(predict(Route),))


def tickets(count: int) -> Dataset:
    """Tickets that name their number and their team."""
    return Dataset.of(({"ticket": f"no. {n}", "team": TEAMS[n % 3]} for n in range(count)), name="tickets")


def number_in(request: Request) -> int:
    """The number of the ticket a request is about."""
    return int(re.findall(r"no\. (\d+)", request.messages[-1]["content"])[-1])


def section(**outputs: object) -> str:
    """A completion in the format of the chat adapter."""
    return "\n\n".join(f"[[{name}]]\n{value}" for name, value in {**outputs, "end": ""}.items())


def right(request: Request) -> Answer:
    """Answers every ticket correctly."""
    return section(team=TEAMS[number_in(request) % 3])


def runtime(script: Script = right) -> Runtime:
    """A runtime whose model is a function."""
    return Runtime(lm=ScriptedLM(script), model="scripted/x", adapters=ADAPTERS, modules=builtin_registry())


def always(answer: Answer) -> Callable[[Request], Answer]:
    """Gives the same answer to everything."""
    return lambda request: answer


def raising(error: Exception) -> Callable[[Request], Answer]:
    """Fails every call."""

    def script(request: Request) -> Answer:
        raise error

    return script
