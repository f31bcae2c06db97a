"""The task that `dspex demo` and `dspex init` start from: support tickets, and a plain first program for them."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, Literal

from dspex.evaluation.metrics import ExactMatch, Weighted
from dspex.kernel.program import Program
from dspex.kernel.signature import Input, Output, Signature
from dspex.kernel.variables import Demos, Float, Text
from dspex.modules.prediction import predict


class Ticket(Signature):
    """Read a support ticket to a company that sells home-network routers and a cloud subscription, and route it.
    Team: billing for invoices and payments, technical for devices and apps that do not work, account for sign-in and
    profile, shipping for parcels, sales for questions before a purchase.
    Urgency: high for harm now, normal for a usual problem, low for a wish or curiosity."""

    ticket: str = Input("what the customer wrote")
    team: Literal["billing", "technical", "account", "shipping", "sales"] = Output("who should answer")
    urgency: Literal["low", "normal", "high"] = Output("how soon")


FIELDS = ("team", "urgency")
"""What a ticket's row expects."""
CHANCE = (1 / 5 + 1 / 3) / 2
"""The score of answers drawn blindly from the admissible ones."""


def rows() -> list[dict[str, Any]]:
    """The tickets that come with the package, in the order of their file."""
    text = (files("dspex.cli") / "demo" / "tickets.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def program() -> Program:
    """What somebody would write first: every label with a word or two of what it is for, no rules, no examples."""
    step = predict(Ticket, name="route", instructions=Text(), demos=Demos(max=16), temperature=Float(0, 1, default=0))
    return Program(name="tickets", description="Which team answers a support ticket, and how soon.", pipeline=(step,))


def metric() -> Weighted:
    """The share of the two fields that are right."""
    return Weighted(*((ExactMatch(name), 1.0) for name in FIELDS), name="exact:team,urgency")
