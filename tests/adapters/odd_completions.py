"""Odd answers of models, each with what it must be read as, or that it must be refused."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from dspex.kernel.shorthand import signature
from dspex.kernel.signature import Input, Output, Schema, Signature


class Route(Signature):
    """Route a ticket."""

    ticket: str = Input()
    team: Literal["billing", "technical", "account"] = Output()
    urgency: int = Output(ge=0, le=10)


class Address(BaseModel):
    street: str
    number: int
    zip: str | None = None


class Person(Signature):
    """Read a person."""

    text: str = Input()
    name: str = Output()
    address: Address = Output()
    nicknames: list[str] = Output(default=[])


class Event(Signature):
    """Read an event."""

    text: str = Input()
    day: datetime.date = Output()
    public: bool = Output()
    price: float | None = Output(default=None)


SIGNATURES: Mapping[str, Schema] = {
    "route": Route.schema_of(),
    "person": Person.schema_of(),
    "event": Event.schema_of(),
    "answer": signature("question -> answer"),
    "label": signature("text -> label: Literal['very good', 'good', 'bad']"),
    "count": signature("text -> count: int"),
    "rate": signature("text -> rate: float"),
    "flag": signature("text -> flag: bool"),
    "tags": signature("text -> tags: list[str]"),
    "thought": signature("question -> reasoning, answer"),
    "maybe": signature("text -> note: str | None, size: Literal[1, 2, 3]"),
    "code": signature("task -> code, language: Literal['python', 'c']"),
    "scores": signature("text -> scores: dict[str, int]"),
}
Refusal = Literal["refused", "cut off"]


@dataclass(frozen=True)
class Odd:
    """One answer: under which adapter and signature, and its values by which rung, or how it is refused."""

    name: str
    adapter: str
    signature: str
    text: str
    expected: dict[str, Any] | Refusal
    rung: str = ""
    finish: Literal["stop", "length", "refused"] = "stop"


BILLING = {"team": "billing", "urgency": 3}
REFUSED: Refusal = "refused"
CUT: Refusal = "cut off"

CHAT = [
    Odd("as asked", "chat", "route", "[[team]]\nbilling\n\n[[urgency]]\n3\n\n[[end]]", BILLING, "strict"),
    Odd("windows line ends", "chat", "route", "[[team]]\r\nbilling\r\n\r\n[[urgency]]\r\n3\r\n\r\n[[end]]\r\n", BILLING,
        "strict"),
    Odd("no blank lines", "chat", "route", "[[team]]\nbilling\n[[urgency]]\n3\n[[end]]", BILLING, "strict"),
    Odd("other order", "chat", "route", "[[urgency]]\n3\n[[team]]\nbilling\n[[end]]", BILLING, "strict"),
    Odd("no end marker", "chat", "route", "[[team]]\nbilling\n\n[[urgency]]\n3", BILLING, "scan"),
    Odd("prose before", "chat", "route", "Sure! Here it is:\n\n[[team]]\nbilling\n\n[[urgency]]\n3\n\n[[end]]", BILLING,
        "scan"),
    Odd("prose after the end", "chat", "route",
        "[[team]]\nbilling\n\n[[urgency]]\n3\n\n[[end]]\n\nLet me know if you need more!", BILLING, "scan"),
    Odd("a second example made up after the end", "chat", "route",
        "[[team]]\nbilling\n[[urgency]]\n3\n[[end]]\n\n[[ticket]]\nHelp\n\n[[team]]\naccount\n[[urgency]]\n9\n[[end]]",
        BILLING, "scan"),
    Odd("a second example without an end marker", "chat", "route",
        "[[team]]\nbilling\n[[urgency]]\n3\n\n[[ticket]]\nHelp\n\n[[team]]\naccount\n[[urgency]]\n9", REFUSED),
    Odd("inputs repeated first", "chat", "route",
        "[[ticket]]\nI was charged twice\n\n[[team]]\nbilling\n\n[[urgency]]\n3\n\n[[end]]", BILLING, "scan"),
    Odd("same section twice, same value", "chat", "route",
        "[[team]]\nbilling\n[[urgency]]\n3\n[[team]]\nbilling\n[[end]]", BILLING, "scan"),
    Odd("same section twice, other value", "chat", "route",
        "[[team]]\nbilling\n[[urgency]]\n3\n[[team]]\naccount\n[[end]]", REFUSED),
    Odd("header in bold", "chat", "route", "**[[team]]**\nbilling\n\n**[[urgency]]**\n3\n\n[[end]]", BILLING, "scan"),
    Odd("header in capitals", "chat", "route", "[[TEAM]]\nbilling\n\n[[Urgency]]\n3\n\n[[END]]", BILLING, "scan"),
    Odd("header as heading", "chat", "route", "## [[team]]\nbilling\n\n## [[urgency]]\n3\n\n[[end]]", BILLING, "scan"),
    Odd("value on the header's line", "chat", "route", "[[team]] billing\n[[urgency]] 3\n[[end]]", BILLING, "scan"),
    Odd("colon after the header", "chat", "route", "[[team]]: billing\n[[urgency]]: 3\n[[end]]", BILLING, "scan"),
    Odd("hashes in the header", "chat", "route",
        "[[ ## team ## ]]\nbilling\n\n[[ ## urgency ## ]]\n3\n\n[[ ## completed ## ]]", BILLING, "scan"),
    Odd("all in a code block", "chat", "route", "```\n[[team]]\nbilling\n\n[[urgency]]\n3\n\n[[end]]\n```", BILLING,
        "scan"),
    Odd("admissible value in capitals", "chat", "route", "[[team]]\nBILLING\n[[urgency]]\n3\n[[end]]", BILLING,
        "coerce"),
    Odd("admissible value with a full stop", "chat", "route", "[[team]]\nBilling.\n[[urgency]]\n3\n[[end]]", BILLING,
        "coerce"),
    Odd("admissible value quoted", "chat", "route", "[[team]]\n\"billing\"\n[[urgency]]\n3\n[[end]]", BILLING,
        "coerce"),
    Odd("admissible value in bold", "chat", "route", "[[team]]\n**billing**\n[[urgency]]\n`3`\n[[end]]", BILLING,
        "coerce"),
    Odd("number with a full stop", "chat", "route", "[[team]]\nbilling\n[[urgency]]\n3.\n[[end]]", BILLING, "coerce"),
    Odd("whole number with a point", "chat", "route", "[[team]]\nbilling\n[[urgency]]\n3.0\n[[end]]", BILLING,
        "coerce"),
    Odd("whole number rounded down", "chat", "route", "[[team]]\nbilling\n[[urgency]]\n3.7\n[[end]]", REFUSED),
    Odd("a value that is not admissible", "chat", "route", "[[team]]\nsales\n[[urgency]]\n3\n[[end]]", REFUSED),
    Odd("two admissible values", "chat", "route", "[[team]]\nbilling, account\n[[urgency]]\n3\n[[end]]", REFUSED),
    Odd("a reason behind the value", "chat", "route",
        "[[team]]\nbilling (charged twice)\n[[urgency]]\n3\n[[end]]", REFUSED),
    Odd("number out of range", "chat", "route", "[[team]]\nbilling\n[[urgency]]\n11\n[[end]]", REFUSED),
    Odd("number with its scale", "chat", "route", "[[team]]\nbilling\n[[urgency]]\n3/10\n[[end]]", REFUSED),
    Odd("number in words", "chat", "route", "[[team]]\nbilling\n[[urgency]]\nthree\n[[end]]", REFUSED),
    Odd("section missing", "chat", "route", "[[team]]\nbilling\n\n[[end]]", REFUSED),
    Odd("empty section", "chat", "route", "[[team]]\n\n[[urgency]]\n3\n\n[[end]]", REFUSED),
    Odd("stops after a header", "chat", "route", "[[team]]\nbilling\n\n[[urgency]]\n", CUT),
    Odd("stops inside a header", "chat", "thought", "[[reasoning]]\nBecause it is so.\n\n[[answ", CUT),
    Odd("stops inside a code block", "chat", "code", "[[language]]\npython\n\n[[code]]\n```python\ndef f():\n    ret",
        CUT),
    Odd("limit of tokens, though it looks whole", "chat", "route",
        "[[team]]\nbilling\n\n[[urgency]]\n3\n\n[[end]]", CUT, finish="length"),
    Odd("declined by the provider", "chat", "answer", "[[answer]]\nNo.\n\n[[end]]", REFUSED, finish="refused"),
    Odd("nothing", "chat", "route", "", REFUSED),
    Odd("white space", "chat", "answer", " \n\n\t", REFUSED),
    Odd("declined in prose", "chat", "answer", "I'm sorry, but I can't help with that.", REFUSED),
    Odd("prose for a text", "chat", "answer", "Paris is the capital of France.", REFUSED),
    Odd("bare admissible value", "chat", "label", "Very good.", {"label": "very good"}, "coerce"),
    Odd("bare admissible value inside a sentence", "chat", "label", "I would say it is good.", REFUSED),
    Odd("bare admissible value with an underscore", "chat", "label", "very_good", {"label": "very good"}, "coerce"),
    Odd("bare number", "chat", "count", "42", {"count": 42}, "scan"),
    Odd("bare truth value", "chat", "flag", "Yes.", {"flag": True}, "coerce"),
    Odd("bare doubt", "chat", "flag", "Maybe", REFUSED),
    Odd("text with quotation marks keeps them", "chat", "answer", "[[answer]]\n\"To be\"\n\n[[end]]",
        {"answer": "\"To be\""}, "strict"),
    Odd("text with a JSON object stays text", "chat", "answer", "[[answer]]\n{\"a\": 1}\n\n[[end]]",
        {"answer": "{\"a\": 1}"}, "strict"),
    Odd("indented first line of code", "chat", "code",
        "[[code]]\n    x = 1\n    y = 2\n\n[[language]]\npython\n\n[[end]]",
        {"code": "    x = 1\n    y = 2", "language": "python"}, "strict"),
    Odd("a wiki link in a text", "chat", "answer", "[[answer]]\nSee\n[[Paris]]\nfor more\n\n[[end]]",
        {"answer": "See\n[[Paris]]\nfor more"}, "strict"),
    Odd("an escaped header in a text", "chat", "answer", "[[answer]]\nWrite\n\\[[end]]\nlast\n\n[[end]]",
        {"answer": "Write\n[[end]]\nlast"}, "strict"),
    Odd("letters of many languages", "chat", "answer", "[[answer]]\nŁódź — 東京 🙂\n\n[[end]]",
        {"answer": "Łódź — 東京 🙂"}, "strict"),
    Odd("thinking first", "chat", "route",
        "<think>\n[[team]]\naccount? No.\n</think>\n\n[[team]]\nbilling\n\n[[urgency]]\n3\n\n[[end]]", BILLING, "scan"),
    Odd("thinking whose beginning is lost", "chat", "route",
        "It is about money.\n</think>\n[[team]]\nbilling\n[[urgency]]\n3\n[[end]]", BILLING, "scan"),
    Odd("thinking that never ends", "chat", "route", "<think>\nThe team is [[team]]\nbilling\n[[urgency]]\n3", CUT),
    Odd("thinking and nothing else", "chat", "answer", "<think>Hm.</think>\n", REFUSED),
    Odd("labelled lines", "chat", "route", "Team: billing\nUrgency: 3", BILLING, "scan"),
    Odd("labelled lines in bold", "chat", "route", "**Team:** billing\n**Urgency:** 3", BILLING, "scan"),
    Odd("labelled lines as bullets", "chat", "route", "- **team**: billing\n- **urgency**: 3", BILLING, "scan"),
    Odd("headings", "chat", "route", "### Team\nbilling\n\n### Urgency\n3\n", BILLING, "scan"),
    Odd("labelled lines that contradict", "chat", "route", "Team: billing\nUrgency: 3\nTeam: account", REFUSED),
    Odd("one label of two", "chat", "route", "Team: billing", REFUSED),
    Odd("a JSON object instead", "chat", "route", "{\"team\": \"billing\", \"urgency\": 3}", BILLING, "scan"),
    Odd("XML instead", "chat", "route", "<team>billing</team>\n<urgency>3</urgency>", BILLING, "scan"),
    Odd("list as bullets", "chat", "tags", "[[tags]]\n- red\n- dark green\n\n[[end]]",
        {"tags": ["red", "dark green"]}, "coerce"),
    Odd("list as numbers", "chat", "tags", "[[tags]]\n1. red\n2. green\n\n[[end]]", {"tags": ["red", "green"]},
        "coerce"),
    Odd("list with commas", "chat", "tags", "[[tags]]\nred, green\n\n[[end]]", REFUSED),
    Odd("list in a code block", "chat", "tags", "[[tags]]\n```json\n[\"red\"]\n```\n\n[[end]]", {"tags": ["red"]},
        "coerce"),
    Odd("list that stops", "chat", "tags", "[[tags]]\n[\"red\", \"gre", CUT),
    Odd("one text for a list", "chat", "tags", "[[tags]]\nred\n\n[[end]]", REFUSED),
    Odd("list in python's quotes", "chat", "tags", "[[tags]]\n['red', 'green']\n\n[[end]]", {"tags": ["red", "green"]},
        "coerce"),
    Odd("list in python's quotes with an apostrophe", "chat", "tags", "[[tags]]\n['red', 'it's']\n\n[[end]]", REFUSED),
    Odd("admissible value in brackets", "chat", "label", "[[label]]\n(Good)\n\n[[end]]", {"label": "good"}, "coerce"),
    Odd("labelled lines of YAML in a code block", "chat", "thought",
        "```yaml\nreasoning: \"Because: so\"\nanswer: Paris\n```", {"reasoning": "Because: so", "answer": "Paris"},
        "scan"),
    Odd("sections in a code block without an end", "chat", "thought",
        "```\n[[reasoning]]\nSo.\n\n[[answer]]\nParis\n```", {"reasoning": "So.", "answer": "Paris"}, "scan"),
    Odd("a mark of the server's at the end", "chat", "answer", "[[answer]]\nParis<|im_end|>", {"answer": "Paris"},
        "scan"),
    Odd("null for what may be null", "chat", "maybe", "[[note]]\nnull\n\n[[size]]\n2\n\n[[end]]",
        {"note": None, "size": 2}, "strict"),
    Odd("the text null, quoted", "chat", "maybe", "[[note]]\n\"null\"\n\n[[size]]\n2\n\n[[end]]",
        {"note": "null", "size": 2}, "strict"),
    Odd("left out what may be left out", "chat", "maybe", "[[size]]\n2\n\n[[end]]", {"note": None, "size": 2},
        "strict"),
    Odd("number outside the admissible ones", "chat", "maybe", "[[note]]\nx\n\n[[size]]\n4\n\n[[end]]", REFUSED),
]  # fmt: skip

OBJECTS = [
    Odd("a decimal without its nought", "json", "rate", "{\"rate\": .5}", {"rate": 0.5}, "repair"),
    Odd("a bare list", "json", "tags", "[\"red\", \"green\"]", {"tags": ["red", "green"]}, "scan"),
    Odd("a mark of the server's at the end", "json", "route", "{\"team\": \"billing\", \"urgency\": 3}<|im_end|>",
        BILLING, "scan"),
    Odd("escaped as a whole", "json", "route", "{\\\"team\\\": \\\"billing\\\", \\\"urgency\\\": 3}", BILLING,
        "repair"),
    Odd("no braces", "json", "route", "\"team\": \"billing\",\n\"urgency\": 3", BILLING, "coerce"),
    Odd("as asked", "json", "route", "{\"team\": \"billing\", \"urgency\": 3}", BILLING, "strict"),
    Odd("over several lines", "json", "route", "{\n  \"team\": \"billing\",\n  \"urgency\": 3\n}\n", BILLING, "strict"),
    Odd("code block", "json", "route", "```json\n{\"team\": \"billing\", \"urgency\": 3}\n```", BILLING, "scan"),
    Odd("code block that is not closed", "json", "route", "```json\n{\"team\": \"billing\", \"urgency\": 3}", BILLING,
        "scan"),
    Odd("prose around", "json", "route", "Here:\n{\"team\": \"billing\", \"urgency\": 3}\nHope it helps {you}!",
        BILLING, "scan"),
    Odd("draft, then the answer", "json", "route",
        "First {\"team\": \"account\", \"urgency\": 5}. On reflection:\n{\"team\": \"billing\", \"urgency\": 3}",
        BILLING, "scan"),
    Odd("the answer is wrong, the draft was not", "json", "route",
        "{\"team\": \"account\", \"urgency\": 5}\n{\"team\": \"sales\", \"urgency\": 3}", REFUSED),
    Odd("a list of two answers", "json", "route",
        "[{\"team\": \"account\", \"urgency\": 5}, {\"team\": \"billing\", \"urgency\": 3}]", REFUSED),
    Odd("a list of one answer", "json", "route", "[{\"team\": \"billing\", \"urgency\": 3}]", BILLING, "scan"),
    Odd("wrapped", "json", "route", "{\"answer\": {\"team\": \"billing\", \"urgency\": 3}}", BILLING, "scan"),
    Odd("wrapped twice", "json", "route", "{\"output\": {\"result\": {\"team\": \"billing\", \"urgency\": 3}}}",
        BILLING, "scan"),
    Odd("wrapped like a call of a tool", "json", "route",
        "{\"name\": \"route\", \"arguments\": {\"team\": \"billing\", \"urgency\": 3}}", BILLING, "scan"),
    Odd("wrapped in a text", "json", "route",
        "{\"arguments\": \"{\\\"team\\\": \\\"billing\\\", \\\"urgency\\\": 3}\"}", BILLING, "scan"),
    Odd("a wrapper with two answers", "json", "route",
        "{\"a\": {\"team\": \"billing\", \"urgency\": 3}, \"b\": {\"team\": \"account\", \"urgency\": 3}}", REFUSED),
    Odd("extra keys", "json", "route", "{\"team\": \"billing\", \"urgency\": 3, \"confidence\": 0.9}", BILLING, "scan"),
    Odd("keys in capitals", "json", "route", "{\"Team\": \"billing\", \"URGENCY\": 3}", BILLING, "coerce"),
    Odd("two spellings of a key", "json", "route", "{\"Team\": \"account\", \"team\": \"billing\", \"urgency\": 3}",
        REFUSED),
    Odd("one key twice", "json", "route", "{\"team\": \"account\", \"urgency\": 3, \"team\": \"billing\"}", REFUSED),
    Odd("one key twice, same value", "json", "route", "{\"team\": \"billing\", \"urgency\": 3, \"team\": \"billing\"}",
        BILLING, "strict"),
    Odd("single quotes", "json", "route", "{'team': 'billing', 'urgency': 3}", BILLING, "repair"),
    Odd("no quotes around keys", "json", "route", "{team: \"billing\", urgency: 3}", BILLING, "repair"),
    Odd("comma at the end", "json", "route", "{\"team\": \"billing\", \"urgency\": 3,}", BILLING, "repair"),
    Odd("typographic quotes", "json", "route", "{“team”: “billing”, “urgency”: 3}", BILLING, "repair"),
    Odd("a comment", "json", "route", "{\"team\": \"billing\", // money\n \"urgency\": 3}", BILLING, "repair"),
    Odd("python's words", "json", "event", "{'day': '2024-02-29', 'public': True, 'price': None}",
        {"day": "2024-02-29", "public": True, "price": None}, "repair"),
    Odd("quotation marks inside a text", "json", "thought",
        "{\"reasoning\": \"He said \"no\" to it\", \"answer\": \"no\"}",
        {"reasoning": "He said \"no\" to it", "answer": "no"}, "repair"),
    Odd("an apostrophe between single quotes", "json", "thought", "{'reasoning': 'it's so', 'answer': 'no'}",
        {"reasoning": "it's so", "answer": "no"}, "repair"),
    Odd("line breaks inside a text", "json", "thought", "{\"reasoning\": \"one\ntwo\", \"answer\": \"no\"}",
        {"reasoning": "one\ntwo", "answer": "no"}, "repair"),
    Odd("escaped line breaks", "json", "thought", "{\"reasoning\": \"one\\ntwo\", \"answer\": \"no\"}",
        {"reasoning": "one\ntwo", "answer": "no"}, "strict"),
    Odd("braces inside a text", "json", "thought", "Well: {\"reasoning\": \"} and {\", \"answer\": \"{x\"}",
        {"reasoning": "} and {", "answer": "{x"}, "scan"),
    Odd("a number in quotes", "json", "route", "{\"team\": \"billing\", \"urgency\": \"3\"}", BILLING, "coerce"),
    Odd("null for what must be there", "json", "route", "{\"team\": \"billing\", \"urgency\": null}", REFUSED),
    Odd("truth value for a number", "json", "route", "{\"team\": \"billing\", \"urgency\": true}", REFUSED),
    Odd("key missing", "json", "route", "{\"team\": \"billing\"}", REFUSED),
    Odd("empty object", "json", "route", "{}", REFUSED),
    Odd("stops in a key", "json", "route", "{\"team\": \"billing\", \"urg", CUT),
    Odd("stops before the brace", "json", "route", "{\"team\": \"billing\", \"urgency\": 3", CUT),
    Odd("stops in a number, perhaps", "json", "route", "```json\n{\"team\": \"billing\", \"urgency\": 1", CUT),
    Odd("stops in a list of answers", "json", "route", "[{\"team\": \"billing\", \"urgency\": 3}, {\"te", CUT),
    Odd("stops in a wrapper", "json", "route", "{\"answer\": {\"team\": \"billing\", \"urgency\": 3}", CUT),
    Odd("stops with whole objects inside", "json", "route",
        "{\"steps\": [{\"team\": \"billing\", \"urgency\": 3}, {\"team\": \"acc", CUT),
    Odd("limit of tokens", "json", "route", "{\"team\": \"billing\", \"urgency\": 3}", CUT, finish="length"),
    Odd("not a number", "json", "rate", "{\"rate\": NaN}", REFUSED),
    Odd("percent", "json", "rate", "{\"rate\": \"45%\"}", REFUSED),
    Odd("percent without quotes", "json", "rate", "{\"rate\": 45%}", REFUSED),
    Odd("thousands separator", "json", "count", "{\"count\": \"1,000\"}", REFUSED),
    Odd("thousands separator without quotes", "json", "count", "{\"count\": 1,000}", REFUSED),
    Odd("decimal comma", "json", "rate", "{\"rate\": \"0,5\"}", REFUSED),
    Odd("unit", "json", "count", "{\"count\": \"12 kg\"}", REFUSED),
    Odd("currency", "json", "rate", "{\"rate\": \"$12.50\"}", REFUSED),
    Odd("about", "json", "count", "{\"count\": \"~12\"}", REFUSED),
    Odd("range", "json", "count", "{\"count\": \"10-12\"}", REFUSED),
    Odd("whole number for a decimal", "json", "rate", "{\"rate\": 1}", {"rate": 1.0}, "strict"),
    Odd("large whole number", "json", "count", "{\"count\": 123456789012345678901234567890}",
        {"count": 123456789012345678901234567890}, "strict"),
    Odd("yes for a truth value", "json", "flag", "{\"flag\": \"Yes\"}", {"flag": True}, "coerce"),
    Odd("one for a truth value", "json", "flag", "{\"flag\": 1}", REFUSED),
    Odd("number for a text", "json", "answer", "{\"answer\": 42}", {"answer": "42"}, "coerce"),
    Odd("decimal for a text", "json", "answer", "{\"answer\": 1.50}", REFUSED),
    Odd("object for a text", "json", "answer", "{\"answer\": {\"text\": \"x\"}}", REFUSED),
    Odd("nested object", "json", "person",
        "{\"name\": \"Ann\", \"address\": {\"street\": \"Main\", \"number\": 5, \"zip\": \"01234\"}, "
        "\"nicknames\": []}",
        {"name": "Ann", "address": {"street": "Main", "number": 5, "zip": "01234"}, "nicknames": []}, "strict"),
    Odd("nested keys in capitals and a number in quotes", "json", "person",
        "{\"name\": \"Ann\", \"address\": {\"Street\": \"Main\", \"Number\": \"5\"}}",
        {"name": "Ann", "address": {"street": "Main", "number": 5, "zip": None}, "nicknames": []}, "coerce"),
    Odd("nested object as a text", "json", "person",
        "{\"name\": \"Ann\", \"address\": \"{\\\"street\\\": \\\"Main\\\", \\\"number\\\": 5}\"}",
        {"name": "Ann", "address": {"street": "Main", "number": 5, "zip": None}, "nicknames": []}, "coerce"),
    Odd("nested key missing", "json", "person", "{\"name\": \"Ann\", \"address\": {\"street\": \"Main\"}}", REFUSED),
    Odd("null for what may be left out", "json", "person",
        "{\"name\": \"Ann\", \"address\": {\"street\": \"Main\", \"number\": 5}, \"nicknames\": null}",
        {"name": "Ann", "address": {"street": "Main", "number": 5, "zip": None}, "nicknames": []}, "coerce"),
    Odd("another way to write a day", "json", "event", "{\"day\": \"29.2.2024\", \"public\": true}", REFUSED),
    Odd("a day that does not exist", "json", "event", "{\"day\": \"2023-02-29\", \"public\": true}", REFUSED),
    Odd("a text with keys of the signature", "json", "thought",
        "{\"reasoning\": \"\\\"answer\\\": 1\", \"answer\": \"answer\"}",
        {"reasoning": "\"answer\": 1", "answer": "answer"}, "strict"),
    Odd("sections instead", "json", "route", "[[team]]\nbilling\n\n[[urgency]]\n3\n\n[[end]]", BILLING, "scan"),
    Odd("a quotation and a comma inside a text", "json", "thought",
        "{\"reasoning\": \"He said \"no\", then left\", \"answer\": \"no\"}", REFUSED),
    Odd("a key and a value inside a text", "json", "thought",
        "{\"reasoning\": \"set \"key\": \"value\" here\", \"answer\": \"no\"}", REFUSED),
    Odd("two texts side by side", "json", "thought", "{\"reasoning\": \"x\" \"y\", \"answer\": \"no\"}", REFUSED),
    Odd("two texts joined", "json", "thought", "{\"reasoning\": \"x\" + \"y\", \"answer\": \"no\"}", REFUSED),
    Odd("a quotation mark forgotten before an optional member", "json", "maybe",
        "{\"size\": 2, \"note\": \"a, \"size\": 2}", REFUSED),
    Odd("thinking with JSON in it", "json", "route",
        "<thinking>{\"team\": \"account\", \"urgency\": 9}</thinking>{\"team\": \"billing\", \"urgency\": 3}",
        BILLING, "scan"),
    Odd("free keys", "json", "scores", "{\"scores\": {\"a\": 1, \"B\": \"2\"}}", {"scores": {"a": 1, "B": 2}},
        "coerce"),
    Odd("formula before the answer", "json", "route",
        "\\frac{1}{2} and {x are fine: {\"team\": \"billing\", \"urgency\": 3}", BILLING, "scan"),
]  # fmt: skip

ELEMENTS = [
    Odd("a table", "xml", "route", "| team | urgency |\n|---|---|\n| billing | 3 |", REFUSED),
    Odd("as asked", "xml", "route", "<team>billing</team>\n<urgency>3</urgency>", BILLING, "strict"),
    Odd("over several lines", "xml", "route", "<team>\nbilling\n</team>\n\n<urgency>\n3\n</urgency>\n", BILLING,
        "strict"),
    Odd("wrapped", "xml", "route", "<answer>\n<team>billing</team>\n<urgency>3</urgency>\n</answer>", BILLING, "scan"),
    Odd("prose and a code block", "xml", "route",
        "Here:\n```xml\n<team>billing</team>\n<urgency>3</urgency>\n```\nDone.", BILLING, "scan"),
    Odd("attributes", "xml", "route", "<team type=\"enum\">billing</team><urgency type='int'>3</urgency>", BILLING,
        "scan"),
    Odd("capitals", "xml", "route", "<Team>billing</Team><URGENCY>3</URGENCY>", BILLING, "scan"),
    Odd("declaration", "xml", "route", "<?xml version=\"1.0\"?>\n<team>billing</team><urgency>3</urgency>", BILLING,
        "scan"),
    Odd("references", "xml", "answer", "<answer>R&amp;D &lt;b&gt; &#233;&#x21; &quot;x&quot;</answer>",
        {"answer": "R&D <b> é! \"x\""}, "strict"),
    Odd("an ampersand as it is", "xml", "answer", "<answer>AT&T, a < b && c?x=1&copy=2</answer>",
        {"answer": "AT&T, a < b && c?x=1&copy=2"}, "strict"),
    Odd("unparsed section", "xml", "answer", "<answer><![CDATA[if a < b & c: <b>]]></answer>",
        {"answer": "if a < b & c: <b>"}, "strict"),
    Odd("other tags inside a text", "xml", "answer", "<answer>Use <b>bold</b> and <br/></answer>",
        {"answer": "Use <b>bold</b> and <br/>"}, "strict"),
    Odd("stops inside an element", "xml", "route", "<team>billing</team>\n<urgency>3", CUT),
    Odd("stops inside a closing tag", "xml", "route", "<team>billing</team>\n<urgency>3</urg", CUT),
    Odd("a closing tag forgotten", "xml", "route", "<team>billing\n<urgency>3</urgency>", CUT),
    Odd("element missing", "xml", "route", "<team>billing</team>", REFUSED),
    Odd("element twice, other value", "xml", "route",
        "<team>billing</team><urgency>3</urgency><team>account</team>", REFUSED),
    Odd("empty element", "xml", "route", "<team/><urgency>3</urgency>", REFUSED),
    Odd("unknown element beside", "xml", "route", "<note>x</note><team>billing</team><urgency>3</urgency>", BILLING,
        "scan"),
    Odd("JSON in an element", "xml", "person",
        "<name>Ann</name><address>{\"street\": \"Main\", \"number\": 5}</address>",
        {"name": "Ann", "address": {"street": "Main", "number": 5, "zip": None}, "nicknames": []}, "strict"),
    Odd("elements in an element", "xml", "person",
        "<name>Ann</name><address><street>Main</street><number>5</number></address>", REFUSED),
    Odd("list items as elements", "xml", "tags", "<tags><item>red</item></tags>", REFUSED),
    Odd("a JSON object instead", "xml", "route", "{\"team\": \"billing\", \"urgency\": 3}", BILLING, "scan"),
    Odd("percent", "xml", "rate", "<rate>45%</rate>", REFUSED),
    Odd("number in an odd dress", "xml", "rate", "<rate> **0.45** </rate>", {"rate": 0.45}, "coerce"),
    Odd("limit of tokens", "xml", "route", "<team>billing</team>\n<urgency>3</urgency>", CUT, finish="length"),
]  # fmt: skip

ODD = [*CHAT, *OBJECTS, *ELEMENTS]
