"""What changed between two programs, path by path and word by word."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Literal, TypeGuard

from dspex.kernel.difference import Change
from dspex.kernel.ports import JSON

_PIECES = re.compile(r"\s+|[^\s]+")
Kind = Literal["same", "gone", "new"]


def word_pieces(before: str, after: str) -> Iterator[tuple[Kind, str]]:
    """`after`, with what went before it, as runs of words that are the same, gone or new."""
    old, new = _PIECES.findall(before), _PIECES.findall(after)
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        gone, came = "".join(old[a:b]), "".join(new[c:d])
        if kind == "equal":
            yield "same", came
            continue
        if gone.strip():
            yield "gone", gone
        if came:
            yield ("new" if came.strip() else "same"), came


def word_difference(before: str, after: str) -> str:
    """`after` with what is new in {+braces+} and what is gone in [-brackets-]."""
    forms = {"same": "{}", "gone": "[-{}-]", "new": "{{+{}+}}"}
    return "".join(forms[kind].format(text) for kind, text in word_pieces(before, after))


def described(change: Change) -> str:
    """One change in words: texts word by word, demonstrations one on a line, all else old and new."""
    if (texts := texts_of(change)) is not None:
        return f"{change.path}:\n{indented(word_difference(*texts))}"
    if shown := demonstrations(change.after):
        rows = "\n".join(map(short, shown))
        return f"{change.path}: {len(demonstrations(change.before))} -> {len(shown)} demonstrations\n{indented(rows)}"
    return f"{change.path}: {short(change.before)} -> {short(change.after)}"


def texts_of(change: Change) -> tuple[str, str] | None:
    """Both texts of a change that is worth showing word by word; None for any other."""
    before, after = change.before, change.after
    if isinstance(after, str) and (isinstance(before, str) or before is None) and (len(after) > 40 or "\n" in after):
        return before or "", after
    return None


def demonstrations(value: JSON) -> list[JSON]:
    """A list of mappings; empty for anything else."""
    return value if _is_list(value) and all(isinstance(item, dict) for item in value) else []


def indented(text: str) -> str:
    """Every line two columns in."""
    return "\n".join(f"  {line}" for line in text.splitlines())


def short(value: JSON) -> str:
    """A value as JSON on one line, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 160 else f"{text[:157]}..."


def _is_list(value: JSON) -> TypeGuard[list[JSON]]:
    return isinstance(value, list)
