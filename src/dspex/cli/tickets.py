"""The task that `dspex demo` and `dspex init` start from: support tickets, their rows and a plain program for them."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, Literal

from dspex.kernel.program import Program
from dspex.kernel.signature import Input, Output, Signature
from dspex.kernel.variables import Demos, Float, Text
from dspex.modules.prediction import predict


class Ticket(Signature):
    """Read a support ticket to a company that sells home-network routers and a cloud subscription.
    Say which team should answer it: billing, technical, account, shipping or sales.
    Say how urgent it is: low, normal or high."""

    ticket: str = Input("what the customer wrote")
    team: Literal["billing", "technical", "account", "shipping", "sales"] = Output("who should answer")
    urgency: Literal["low", "normal", "high"] = Output("how soon")


FIELDS = ("team", "urgency")
"""What a ticket's row expects."""


def rows() -> list[dict[str, Any]]:
    """The tickets that come with the package, in the order of their file."""
    text = (files("dspex.cli") / "demo" / "tickets.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def program() -> Program:
    """A plain program that names every label and nothing else: no rule and no example of the answers."""
    step = predict(Ticket, name="route", instructions=Text(), demos=Demos(max=8), temperature=Float(0, 1, default=0))
    return Program(name="tickets", description="Which team answers a support ticket, and how soon.", pipeline=(step,))
