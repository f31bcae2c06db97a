"""What the simulated worlds are made of: hashes as chances, words for tickets, and sentences taken apart."""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b
from random import Random

_WORD = re.compile(r"[a-z0-9]+(?:[-'][a-z0-9]+)*")
_SENTENCE = re.compile(r"[.;!?]+(?:\s+|$|(?=[\"'}\]\)]))|\n+|\\n")
CASE = re.compile(r"\bcase ([A-Z2-7]{7})\b")
"""How every ticket begins; the code says which one it is, in whatever format a framework shows it."""

TEAMS = (
    "billing", "technical", "accounts", "logistics", "legal", "retail", "partners", "security", "facilities",
    "training",
)  # fmt: skip
TOPICS = (
    "refund", "invoice", "password", "router", "warranty", "parcel", "coupon", "passport", "keyboard", "mortgage",
    "subscription", "thermostat", "battery", "visa", "receipt", "firmware", "courier", "deposit", "headset", "license",
    "voucher", "antenna", "customs", "statement", "printer", "pension", "scanner", "pallet", "tariff", "certificate",
    "modem", "brochure", "charger", "surcharge", "badge", "projector", "webinar", "elevator", "parking", "contract",
)  # fmt: skip
_OPENINGS = (
    "hello, I have been with you for years", "good morning", "I am writing for the second time",
    "please help me as soon as you can", "my colleague told me to write here", "this is not urgent",
)  # fmt: skip
_MATTERS = (
    "there is a problem with the {0} that we got last week", "nobody could tell me what happens with my {0}",
    "the {0} is not what was agreed", "I would like to know more about the {0}", "the {0} fails again",
)  # fmt: skip
_CLOSINGS = (
    "thank you for looking into it", "I am waiting for your answer", "you can reach me in the evening",
    "regards from the harbour office", "I hope that this can be solved",
)  # fmt: skip


def share(*parts: object) -> float:
    """A number in 0..1 that looks random and is a function of `parts`."""
    text = "\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=7).digest(), "big") / 2**56


def code(*parts: object) -> str:
    """Seven letters and digits that name a case."""
    number = int(share("code", *parts) * 32**7)
    return "".join("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[number >> 5 * place & 31] for place in range(7))


def ticket(name: str, topics: Iterable[str], rng: Random) -> str:
    """A text on these topics, in this order, that begins with the case's code."""
    matters = [rng.choice(_MATTERS).format(topic) for topic in topics]
    return f"case {name}: {rng.choice(_OPENINGS)}, {', then '.join(matters)}, {rng.choice(_CLOSINGS)}"


def words(text: str) -> frozenset[str]:
    """The words of a text, in small letters."""
    return frozenset(_WORD.findall(text.lower()))


def sentences(text: str) -> list[str]:
    """A text taken apart at full stops and line ends; empty parts are left out."""
    return [part.strip() for part in _SENTENCE.split(text) if part and part.strip()]
