"""What can be counted about texts and demonstrations, and how alike two of them are by it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence

from dspex.kernel.canonical import canonical
from dspex.kernel.ports import JSON

_OUTPUT_RULE = re.compile(
    r"\b(answer|respond|reply|output|return|give|print|write)\b[^.\n]*\b(only|just|exactly|with|as|in)\b"
)
_STEPS = re.compile(r"(?m)^\s*(?:\d+[.)]|[-*])\s|\bstep by step\b|\bfirst\b.*\bthen\b")
_FAILURES = re.compile(r"\b(for example|e\.g\.|such as|mistake|wrong|incorrect|confus\w*|avoid|beware)\b")
_CONSTRAINTS = re.compile(
    r"\b(must|never|always|only|do not|don't|at most|at least|no more than|should|unless|except)\b"
)
_WORD = re.compile(r"\w+")


def text_features(text: str) -> tuple[float, ...]:
    """Has an output rule, has steps, shows failures, length, number of constraints; each about 0..2."""
    lower = text.lower()
    return (
        float(_OUTPUT_RULE.search(lower) is not None),
        min(2.0, math.log1p(len(_STEPS.findall(lower)))),
        min(2.0, math.log1p(len(_FAILURES.findall(lower)))),
        math.log1p(len(text)) / 3,
        min(2.0, math.log1p(len(_CONSTRAINTS.findall(lower))) / 1.5),
    )


def demonstration_features(shown: Sequence[Mapping[str, JSON]], most: int) -> tuple[float, ...]:
    """Their number as a share of `most`, and the mean pairwise likeness of their words; each in 0..1."""
    bags = [words_of(item) for item in shown]
    pairs = [overlap(one, other) for index, one in enumerate(bags) for other in bags[:index]]
    return (len(shown) / max(1, most), sum(pairs) / len(pairs) if pairs else 0.0)


def words_of(value: Mapping[str, JSON]) -> frozenset[str]:
    """The words of all fields."""
    return frozenset(_WORD.findall(json.dumps(list(value.values()), ensure_ascii=False).lower()))


def members(shown: Sequence[JSON]) -> frozenset[str]:
    """A list as a set of texts."""
    return frozenset(map(canonical, shown))


def overlap(one: frozenset[str], other: frozenset[str]) -> float:
    """The share of members in common (Jaccard); two empty sets are alike."""
    union = len(one | other)
    return len(one & other) / union if union else 1.0
