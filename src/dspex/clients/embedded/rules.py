"""Writes what examples teach into an instruction: lines of terms for each answer, and what free answers share."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dspex.clients.embedded.cases import Case
from dspex.clients.embedded.contrast import LEAST_TELLING, Strengths, discriminating
from dspex.clients.embedded.passages import Choices, Labels, headed
from dspex.clients.embedded.terms import stem, weight_of, words


@dataclass(frozen=True, slots=True)
class Style:
    """How rules are written; variants of a rewriting differ in this."""

    terms: int = 32
    """Most terms that are written for an answer at a time."""
    prior: float = 8.0
    """Examples' worth of "like everywhere else" that a term starts with."""
    failure_weight: float = 1.5
    """How many examples one that was got wrong counts for."""
    weakest: float = 0.5
    """Least strength of a term, in standard errors."""
    weakest_function_word: float = 2.5
    """The same for words like "no" or "just", which are frequent enough to seem telling by chance."""
    dropped: float = 0.0
    """Share of the terms left out by chance."""
    pairs: bool = True
    """Whether pairs of words are terms as well."""
    longest: int = 6_000
    """Most characters of the whole instruction."""


def drawn_style(draw: random.Random) -> Style:
    """A style by chance, around the default one."""
    return Style(
        terms=draw.choice((16, 24, 32, 40, 48)),
        prior=draw.choice((4.0, 8.0, 16.0)),
        failure_weight=draw.choice((1.0, 1.5, 2.5)),
        dropped=draw.choice((0.0, 0.1, 0.25)),
        pairs=draw.random() < 0.75,
    )


PLACE_STRENGTH = 4.0
"""Strength that the first term of a rule line is taken to have, in standard errors; the twenty-first has half of it."""


def chosen(strengths: Strengths, style: Style, draw: random.Random | None) -> dict[str, list[str]]:
    """The terms to write for each answer, strongest first; no two that share a telling word, for they tell the same."""
    result: dict[str, list[str]] = {}
    for answer, terms in strengths.items():
        taken: list[str] = []
        used: set[str] = set()
        for strength, surface in terms:
            telling = {stem(word) for word in surface.split()}
            if len(taken) >= style.terms or strength < style.weakest:
                break
            is_function_word = " " not in surface and weight_of(surface) < LEAST_TELLING
            if (
                telling & used
                or (is_function_word and strength < style.weakest_function_word)
                or (draw is not None and draw.random() < style.dropped)
            ):
                continue
            used |= telling
            taken.append(surface)
        result[answer] = taken
    return result


def usual(answers: Sequence[str]) -> str | None:
    """The answer that at least half of at least eight examples have, or None."""
    if len(answers) < 8:
        return None
    answer, count = Counter(answers).most_common(1)[0]
    return answer if count * 2 >= len(answers) and len(set(answers)) > 1 else None


def with_rules(
    instruction: str, cases: Sequence[Case], choices: Choices, style: Style, draw: random.Random | None
) -> str:
    """An instruction with what the cases teach: rule lines extended where it has them, written where it has none.

    The instruction's other text stays. Terms that the cases show to speak for another answer leave their line.
    """
    lines = instruction.rstrip().split("\n") if instruction.strip() else []
    labels = Labels(choices)
    several = len([field for field, _ in choices if field]) > 1
    for field, answers in choices:
        told = [
            (case.text, case.expected[field], style.failure_weight if case.failed else 1.0)
            for case in cases
            if case.expected.get(field) in answers
        ]
        strengths = discriminating(told, style.prior, style.pairs)
        terms = chosen(strengths, style, draw)
        places = _rule_lines(lines, labels, field)
        for answer, place in places.items():
            lines[place] = _extended(lines[place], terms.get(answer, []), answer, strengths, style)
        missing = [answer for answer in answers if answer not in places and terms.get(answer)]
        if missing:
            lines.extend(["", f"Signs of each {field.replace('_', ' ')}:" if field else "Signs of each answer:"])
            name = f"{field} " if several else ""
            lines.extend(f"- {name}{answer}: {', '.join(terms[answer])}" for answer in missing)
        default = usual([answer for _, answer, _ in told])
        if default is not None and not any(_is_default(line, labels, field) for line in lines):
            lines.append(
                f"Otherwise, when nothing else speaks for another one, answer {name_of(field, several)}{default}."
            )
    return shortened("\n".join(lines).strip(), style.longest)


def name_of(field: str, several: bool) -> str:
    """A field's name before an answer where an answer alone might be taken for another field's."""
    return f"{field} " if several and field else ""


def _rule_lines(lines: Sequence[str], labels: Labels, field: str) -> dict[str, int]:
    """The line that speaks for each answer of a field by its head, the first where there are several."""
    places: dict[str, int] = {}
    for number, line in enumerate(lines):
        owners, body = headed(line, labels)
        if body and len(owners) == 1 and owners[0][0] == field:
            places.setdefault(owners[0][1], number)
    return places


def _is_default(line: str, labels: Labels, field: str) -> bool:
    return line.lstrip("-* ").lower().startswith("otherwise") and any(
        m.field == field for m in labels.mentions(line, head=True)
    )


_RULE_LINE = re.compile(r"^(?P<head>.*?(?::|->|=>|→|⇒|\s[-\u2013\u2014])\s+)(?P<body>.*)$")


def _extended(line: str, terms: Sequence[str], answer: str, strengths: Strengths, style: Style) -> str:
    """A rule line with its terms and new ones, ordered anew by what is known of each.

    A term that was there counts as having the strength of its place in the list, to which the cases add what they show
    for it and from which they take what they show for other answers; one left without any is dropped, and so are the
    weakest beyond the limit. Phrases of more than three words are a person's and stay in front.
    """
    own = {surface: strength for strength, surface in strengths.get(answer, [])}
    split = _RULE_LINE.match(line)
    head, body = (split.group("head"), split.group("body")) if split else (f"{line}: ", "")
    parts = [part.strip() for part in body.rstrip(" .").split(",") if part.strip()]
    phrases = [part for part in parts if len(part.split()) > 3]
    believed: dict[str, float] = {}
    for rank, part in enumerate(part for part in parts if part not in phrases):
        believed[part] = PLACE_STRENGTH / (1.0 + rank / 20.0) + own.get(part, 0.0) - _elsewhere(part, answer, strengths)
    known = {stem(word) for part in parts for word in words(part)}
    believed.update((term, own[term]) for term in terms if not all(stem(word) in known for word in words(term)))
    kept = sorted((term for term in believed if believed[term] >= style.weakest), key=lambda term: -believed[term])
    return f"{head}{', '.join([*phrases, *kept[: style.terms * 3 // 2]])}"


def _elsewhere(term: str, answer: str, strengths: Strengths) -> float:
    """The greatest strength that a term has for another answer."""
    found = (s for other, terms in strengths.items() if other != answer for s, surface in terms if surface == term)
    return max(found, default=0.0)


def shortened(text: str, longest: int) -> str:
    """A text of at most so many characters: the longest rule lines lose their last terms first."""
    lines = text.split("\n")
    while sum(map(len, lines)) + len(lines) - 1 > longest:
        number = max(range(len(lines)), key=lambda index: len(lines[index]) if "," in lines[index] else 0)
        kept, comma, _ = lines[number].rpartition(",")
        if not comma:
            return "\n".join(lines)[:longest].rstrip()
        lines[number] = kept
    return "\n".join(lines)


def lessons(cases: Sequence[Case], fields: Mapping[str, Sequence[str]]) -> list[str]:
    """What examples with free answers have in common, as sentences that are true of all of them; [] for none."""
    found: list[str] = []
    for field, values in fields.items():
        name = field.replace("_", " ") or "answer"
        lengths = sorted(len(value.split()) for value in values)
        if all(re.fullmatch(r"[-+]?\d[\d.,]*", value.strip()) for value in values):
            found.append(f"Give the {name} as a bare number.")
        elif lengths[-1] <= 6:
            found.append(f"Keep the {name} to at most {lengths[-1]} words, without a full sentence around it.")
        else:
            found.append(f"Make the {name} about {lengths[len(lengths) // 2]} words long.")
        copied = sum(any(value.lower() in case.text.lower() for case in cases) for value in values)
        if copied == len(values) and lengths[-1] > 0:
            found.append(f"Copy the {name} word for word from the input.")
    return found
