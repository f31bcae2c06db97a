"""The offline model works under every adapter, with and without demonstrations, and answers in the form asked for."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest

from dspex.adapters import ADAPTERS
from dspex.clients.embedded.lexical import Lexical
from dspex.kernel.ports import Request
from dspex.kernel.signature import Input, Output, Signature


class Route(Signature):
    """Say who solves a ticket. Charges, invoices and refunds are billing. Crashes and errors are technical."""

    ticket: str = Input()
    team: Literal["billing", "technical"] = Output("who solves it")
    urgent: bool = Output()
    topic: str = Output("what it is about")


DEMOS = [
    {"ticket": "Where is my refund?", "team": "billing", "urgent": False, "topic": "refund"},
    {"ticket": "The parrot screams, production is down!", "team": "technical", "urgent": True, "topic": "parrot"},
]


@pytest.mark.parametrize("adapter", sorted(ADAPTERS))
@pytest.mark.parametrize(
    ("ticket", "demos", "team"),
    [
        ("There is a wrong charge on my invoice", [], "billing"),
        ("An error, then it crashes", [], "technical"),
        ("The parrot screams again", DEMOS, "technical"),
    ],
)
def test_embedded_model_answers_in_every_form(
    adapter: str, ticket: str, demos: list[dict[str, object]], team: str
) -> None:
    lm = Lexical()
    schema = Route.schema_of()
    dialogue = ADAPTERS[adapter].bind(schema, schema.instructions, demos, lm.capabilities("embedded/lexical"))
    request = Request("embedded/lexical", dialogue.render({"ticket": ticket}), dialogue.settings)
    parsed = dialogue.parse(asyncio.run(lm.complete(request)))
    assert parsed.rung == "strict"
    assert parsed.values["team"] == team
