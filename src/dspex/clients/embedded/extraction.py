"""Answers by extraction: sentences, spans, numbers and dates out of the text that was given."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from dspex.clients.embedded.sections import Section, plain_key
from dspex.clients.embedded.terms import features, is_content, stem, word_set, words

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_NUMBER = re.compile(
    r"(?<![\w.,])[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\w]|\.\d)|(?<![\w.])[-+]?\d+(?:[.,]\d+)?"
)
_DATE = re.compile(
    r"\b\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2})?)?|\b\d{1,2}[./]\d{1,2}[./]\d{2,4}\b"
    r"|\b\d{1,2}(?:st|nd|rd|th)? (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?(?: \d{4})?"
    r"|\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.? \d{1,2}(?:st|nd|rd|th)?(?:,? \d{4})?"
    r"|\b(?:1[0-9]|20)\d{2}\b"
)
_MONTHS = {
    m: i
    for i, m in enumerate(("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), start=1)
}
_PROPER = re.compile(r"\b[A-Z][\w'’.-]*(?:\s+(?:of|the|de|van|von|da)?\s*[A-Z][\w'’.-]*)*")  # noqa: RUF001
_ASKING = word_set("question query q ask request claim topic instruction prompt message")


def sentences(text: str) -> list[str]:
    """The sentences and lines of a text, without blank ones."""
    return [part.strip() for part in _SENTENCE.split(text) if part and part.strip()]


def ranked(candidates: Sequence[str], topic: str) -> list[tuple[float, str]]:
    """Texts with their likeness to a topic (rare words count more), best first, ties in the given order."""
    vectors = [features(words(candidate)) for candidate in candidates]
    counts = Counter(feature for vector in vectors for feature in vector)
    wanted = features(words(topic))
    scored: list[tuple[float, str]] = []
    for candidate, vector in zip(candidates, vectors, strict=True):
        shared = sum(
            wanted[feature] * value * math.log(1.0 + len(vectors) / counts[feature])
            for feature, value in vector.items()
            if feature in wanted
        )
        scored.append((shared / (1.0 + 0.02 * len(vector)), candidate))
    return sorted(scored, key=lambda pair: -pair[0])


def question_and_context(query: Sequence[Section]) -> tuple[str, str]:
    """What is asked and the text to answer it from: the shortest input, or the one named so, against all others."""
    if len(query) < 2:
        text = query[0].text if query else ""
        return text, ""
    asking = next((s for s in query if plain_key(s.key) in _ASKING), min(query, key=lambda s: len(s.text)))
    return asking.text, "\n".join(section.text for section in query if section is not asking)


def span(question: str, sentence: str) -> str:
    """The part of a sentence that a question asks for: a number, a date, a name, or what the question did not say."""
    asked = question.lower()
    if re.search(r"\b(?:when|what (?:year|date|day))\b", asked) and (found := _DATE.search(sentence)):
        return found.group()
    if re.search(r"\b(?:how (?:many|much|old|long|far)|what (?:number|percentage|price))\b", asked):
        numbers = _NUMBER.findall(sentence)
        if numbers:
            return str(numbers[0])
    known = {stem(word) for word in words(question)}
    names = [name for name in _PROPER.findall(sentence) if not {stem(w) for w in words(name)} <= known]
    names = [name for name in names if any(is_content(word) for word in words(name))]
    if names and re.search(r"\b(?:who|whose|whom|where|which|what)\b", asked):
        return str(names[0]).strip(" .,'")
    new = [word for word in sentence.split() if any(is_content(w) and stem(w) not in known for w in words(word))]
    return " ".join(new[-3:]).strip(" .,;:!?") if new else sentence


def numbers_in(text: str) -> list[tuple[float, str]]:
    """Numbers of a text with the words around each, in order; thousands separators are read, no percent is divided."""
    found: list[tuple[float, str]] = []
    for match in _NUMBER.finditer(text):
        digits = match.group()
        if re.fullmatch(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?", digits):
            digits = digits.replace(",", "")
        around = f"{text[max(0, match.start() - 30) : match.start()]} {text[match.end() : match.end() + 20]}"
        found.append((float(digits.replace(",", ".")), around))
    return found


def date_in(text: str, with_time: bool = False) -> str | None:
    """The first date of a text as YYYY-MM-DD (month and day 1 where it names none), or None."""
    for match in _DATE.finditer(text):
        year, month, day = _parts(match.group())
        if year is not None and 1 <= month <= 12 and 1 <= day <= 31:
            date = f"{year:04d}-{month:02d}-{day:02d}"
            return f"{date}T00:00:00" if with_time else date
    return None


def _parts(written: str) -> tuple[int | None, int, int]:
    digits = [int(part) for part in re.findall(r"\d+", written)]
    named = re.search(r"[A-Za-z]{3,}", written)
    if named is not None:
        month = _MONTHS.get(named.group()[:3].lower(), 0)
        year = next((part for part in digits if part > 31), None)
        return year, month, next((part for part in digits if part <= 31), 1)
    if len(digits) == 1:
        return digits[0], 1, 1
    if digits[0] > 31:
        return digits[0], digits[1], digits[2]
    return (digits[2] + 2000 if digits[2] < 100 else digits[2]), digits[1], digits[0]


def keywords(text: str, count: int) -> list[str]:
    """The longest content words of a text, at most `count`, in the order of the text."""
    seen = dict.fromkeys(word for word in words(text) if is_content(word))
    chosen = set(sorted(seen, key=lambda word: (-len(word), word))[:count])
    return [word for word in seen if word in chosen]
