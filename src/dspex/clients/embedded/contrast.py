"""Finds the terms that tell answers apart in examples: log-odds with a prior, over their standard error."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from dspex.clients.embedded.terms import stem, weight_of, word_set, words

LEAST_TELLING = 0.3
"""Weight below which a word by itself is a function word."""
_TURNING = word_set("no not never cant dont doesnt didnt wont isnt without just only too")
"""Function words that turn what follows them."""

Strengths = dict[str, list[tuple[float, str]]]
"""For each answer its terms with their strength (standard errors above 0), strongest first."""


@dataclass(frozen=True, slots=True)
class Counts:
    """In how many examples of which answer a term occurs (weighted), and how it is mostly written."""

    by_answer: Mapping[str, float]
    surface: str


def term_surfaces(text: str, pairs: bool) -> dict[str, str]:
    """The terms of a text by feature, as they are written: words, and pairs of telling ones."""
    tokens = words(text)
    found = {stem(token): token for token in tokens}
    if pairs:
        for before, after in pairwise(tokens):
            leads = before in _TURNING or (weight_of(before) >= LEAST_TELLING and before.isalpha())
            if leads and weight_of(after) >= 1.0:
                found[f"{stem(before)}_{stem(after)}"] = f"{before} {after}"
    return found


def discriminating(cases: Sequence[tuple[str, str, float]], prior: float, pairs: bool) -> Strengths:
    """Terms that occur more in the examples of an answer than in all others.

    `cases` are (text, answer, weight). The log-odds ratio is smoothed with `prior` examples (a sixth of them all, where
    they are few) in which the term is as frequent as everywhere: Monroe, Colaresi and Quinn 2008, "Fightin' Words", on
    examples instead of tokens. Where all examples have one answer there is no contrast: see `_common`.
    """
    sizes: defaultdict[str, float] = defaultdict(float)
    for _, answer, weight in cases:
        sizes[answer] += weight
    counted = _counted(cases, pairs)
    if len(sizes) == 1:
        return {answer: _common(counted) for answer in sizes}
    total = sum(sizes.values())
    strengths: Strengths = {answer: [] for answer in sizes}
    for counts in counted:
        everywhere = sum(counts.by_answer.values())
        for answer, inside in counts.by_answer.items():
            among = (inside, sizes[answer]), (everywhere - inside, total - sizes[answer])
            strength = _strength(among, everywhere / total, min(prior, total / 6.0))
            if strength > 0.5:
                strengths[answer].append((strength, counts.surface))
    for terms in strengths.values():
        terms.sort(key=lambda term: (-term[0], term[1]))
    return strengths


def _counted(cases: Sequence[tuple[str, str, float]], pairs: bool) -> list[Counts]:
    by_feature: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    written: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for text, answer, weight in cases:
        for feature, surface in term_surfaces(text, pairs).items():
            by_feature[feature][answer] += weight
            written[feature][surface] += 1
    return [
        Counts(by_answer, max(written[feature], key=lambda surface: written[feature][surface]))
        for feature, by_answer in by_feature.items()
    ]


def _strength(among: tuple[tuple[float, float], tuple[float, float]], rate: float, prior: float) -> float:
    """Log-odds ratio over its standard error; `among` are (with the term, all) for one answer and for the others."""
    odds: list[float] = []
    variance = 0.0
    for found, size in among:
        smoothed = found + prior * rate
        odds.append(smoothed / (size + prior - smoothed + 0.5))
        variance += 1.0 / smoothed
    return math.log(odds[0] / odds[1]) / math.sqrt(variance)


def _common(counted: Sequence[Counts]) -> list[tuple[float, str]]:
    """The content words that most examples share, longest first, at most sixteen."""
    found = [(sum(counts.by_answer.values()), counts.surface) for counts in counted]
    telling = [(count, surface) for count, surface in found if weight_of(surface) >= 1.0 and " " not in surface]
    telling.sort(key=lambda pair: (-pair[0], -len(pair[1]), pair[1]))
    return [(1.0, surface) for _, surface in telling[:16]]
