"""Scores admissible answers by what speaks for them: instructions by matched terms, demonstrations by likeness."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dspex.clients.embedded.passages import Claim
from dspex.clients.embedded.terms import features, letter_groups, norm, stem, weight_of, words

RULE_WEIGHT = 1.0
"""What one matched term of a rule is worth, on the scale of the scores (differences of log-odds)."""
DEMO_WEIGHT = 16.0
"""What a likeness of 1 (cosine) above the average likeness is worth on the same scale."""
DEFAULT_WEIGHT = 0.8
"""What it is worth to be named as the answer for want of a better one."""
DOUBT = 2.0
"""How many demonstrations it takes for half of their likeness to be believed: one alone may be like by chance."""
LISTED_WEIGHT = 0.3
"""Least weight of a word that a rule lists by itself, function words included."""
NEAREST, COMBINED = 12.0, 3.0
"""Sharpness of the mean over an answer's demonstrations: high follows the nearest, low weighs all of them alike."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Scores of a field's answers in their order, and the terms that matched for each."""

    scores: tuple[float, ...]
    matched: tuple[tuple[str, ...], ...]

    @property
    def evident(self) -> bool:
        """Whether anything at all told the answers apart."""
        return max(self.scores) - min(self.scores) > 1e-9


class Evidence:
    """Everything in a prompt that speaks for the answers of one field, indexed by feature. Immutable once built."""

    def __init__(self, answers: Sequence[str], claims: Sequence[Claim], shown: Sequence[tuple[str, str]]) -> None:
        """`shown` are demonstrations as (text of the inputs, answer); answers that are not admissible are left out."""
        self.answers = tuple(answers)
        place = {answer: index for index, answer in enumerate(self.answers)}
        self._rules = _rule_index([claim for claim in claims if claim.answer in place], place)
        self._defaults = [0.0] * len(self.answers)
        for claim in claims:
            if claim.default and claim.answer in place:
                self._defaults[place[claim.answer]] = DEFAULT_WEIGHT
        self._labels = [features(words(answer.replace("_", " "))) for answer in self.answers]
        self._owners: list[int] = []
        self._index: dict[str, list[tuple[int, float]]] = {}
        self._rarity: dict[str, float] = {}
        self._show([(text, place[answer]) for text, answer in shown if answer in place])

    def _show(self, shown: Sequence[tuple[str, int]]) -> None:
        vectors = [features(words(text)) for text, _ in shown]
        self._owners = [owner for _, owner in shown]
        counts = Counter(feature for vector in vectors for feature in vector)
        self._rarity = {feature: math.log(1.0 + len(vectors) / count) for feature, count in counts.items()}
        for number, vector in enumerate(vectors):
            weighted = {feature: value * self._rarity[feature] for feature, value in vector.items()}
            length = norm(weighted)
            for feature, value in weighted.items():
                self._index.setdefault(feature, []).append((number, value / length))

    def judge(self, query: Mapping[str, float], combined: bool) -> Verdict:
        """Scores for the features of a query. `combined`: all matching passages count, not only the nearest."""
        likeness = self._likeness(query, combined)
        points, matched = self._matches(query, combined)
        scores = [
            DEMO_WEIGHT * like + RULE_WEIGHT * point + default
            for like, point, default in zip(likeness, points, self._defaults, strict=True)
        ]
        return Verdict(tuple(scores), matched)

    def by_label(self, query: Mapping[str, float]) -> tuple[float, ...]:
        """How far the words of each label themselves occur in the query: the tie-break where nothing else speaks."""
        return tuple(
            sum(value * query[feature] for feature, value in label.items() if feature in query) / norm(label)
            for label in self._labels
        )

    def nearest(self, query: Mapping[str, float]) -> tuple[float, int] | None:
        """The likeness (0..1) and the number of the demonstration most like the query."""
        sims = self._similarities(query)
        return max((value, -number) for number, value in enumerate(sims)) if sims else None

    def _similarities(self, query: Mapping[str, float]) -> list[float]:
        sims = [0.0] * len(self._owners)
        unseen = math.log(1.0 + len(sims))
        length = 0.0
        for feature, value in query.items():
            weighted = value * self._rarity.get(feature, unseen)
            length += weighted * weighted
            for number, part in self._index.get(feature, ()):
                sims[number] += weighted * part
        scale = length**0.5 or 1.0
        return [value / scale for value in sims]

    def _likeness(self, query: Mapping[str, float], combined: bool) -> list[float]:
        """Likeness of the query to each answer's demonstrations, relative to the average over answers.

        A soft maximum of the mean, so that the number of an answer's demonstrations by itself counts for nothing; an
        answer without any is taken to be as like as the average. Where only one answer has any, likeness speaks for it.
        """
        if not self._owners:
            return [0.0] * len(self.answers)
        sharpness = COMBINED if combined else NEAREST
        groups: list[list[float]] = [[] for _ in self.answers]
        for owner, value in zip(self._owners, self._similarities(query), strict=True):
            groups[owner].append(math.exp(sharpness * value))
        likes = [math.log(sum(group) / len(group)) / sharpness if group else None for group in groups]
        known = [like for like in likes if like is not None]
        mean = sum(known) / len(known) if len(known) > 1 else 0.0
        return [
            0.0 if like is None else (like - mean) * len(group) / (len(group) + DOUBT)
            for like, group in zip(likes, groups, strict=True)
        ]

    def _matches(self, query: Mapping[str, float], combined: bool) -> tuple[list[float], tuple[tuple[str, ...], ...]]:
        """Points of matched rule terms for each answer, and these terms, strongest first."""
        hits: list[list[tuple[float, str]]] = [[] for _ in self.answers]
        for feature in query:
            for owner, value, shown in self._rules.get(feature, ()):
                hits[owner].append((value, shown))
        points: list[float] = []
        for found in hits:
            found.sort(key=lambda hit: -hit[0])
            points.append(sum(value for value, _ in (found if combined else found[:3])))
        return points, tuple(tuple(dict.fromkeys(shown for _, shown in found if shown)) for found in hits)


def _rule_index(claims: Sequence[Claim], place: Mapping[str, int]) -> dict[str, list[tuple[int, float, str]]]:
    """Feature to (answer, points, term as written). A term that speaks for many answers tells little; earlier ones
    in a list count a little more, as they do to a reader."""
    strongest: dict[tuple[str, int], tuple[float, str]] = {}
    for claim in claims:
        for rank, phrase in enumerate(claim.phrases):
            for feature, value, shown in _phrase_features(phrase):
                points = value / (1.0 + rank / 20.0)
                key = (feature, place[claim.answer])
                if points > strongest.get(key, (0.0, ""))[0]:
                    strongest[key] = (points, shown)
    spread = Counter(feature for feature, _ in strongest)
    total = len(place)
    index: dict[str, list[tuple[int, float, str]]] = {}
    for (feature, owner), (points, shown) in strongest.items():
        rarity = math.log((total + 1) / (spread[feature] + 0.5)) / math.log((total + 1) / 1.5)
        index.setdefault(feature, []).append((owner, points * rarity, shown))
    return index


def _phrase_features(phrase: Sequence[str]) -> list[tuple[str, float, str]]:
    """Features of one phrase of a rule: its words, its pairs, and letter groups against typing errors."""
    found: list[tuple[str, float, str]] = []
    share = 1.0 if len(phrase) == 1 else 0.6
    roots = [stem(word) for word in phrase]
    for word, root in zip(phrase, roots, strict=True):
        # Who lists a function word by itself means it.
        weight = weight_of(word) if len(phrase) > 1 else max(weight_of(word), LISTED_WEIGHT)
        found.append((root, weight * share, word))
        if weight_of(word) >= 1.0:
            groups = letter_groups(root)
            found.extend((group, 0.3 * share / len(groups), "") for group in groups)
    for before, after, first, second in zip(roots, roots[1:], phrase, phrase[1:], strict=False):
        found.append((f"{before}_{after}", 1.0, f"{first} {second}"))
    return found
