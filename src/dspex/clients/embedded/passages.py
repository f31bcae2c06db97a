"""Reads the instructions for what they say about each admissible answer: "claims" that words speak for an answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dspex.clients.embedded.sections import is_array, is_object, json_values
from dspex.clients.embedded.terms import fold, word_set, words

Choices = tuple[tuple[str, tuple[str, ...]], ...]
"""Field name and its admissible answers, in the prompt's order."""

_BULLET = re.compile(r"^\s*(?:[-*•+]|\d{1,2}[.)])\s+")
_HEADED = re.compile(r"^(?P<head>[^\n]{1,80}?)\s*(?::|->|=>|→|⇒|\s[-\u2013\u2014]\s)\s+(?P<body>\S.*)$")
_BARE_HEAD = re.compile(r"^[\s#*_`>\-•\d.)]*(?P<head>[^\n]{1,60}?)[\s*_`]*:?[\s*_`]*$")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'`“*])")
_CLAUSE = re.compile(r"[;,]\s+|\s+(?:and|but|while|whereas|or)\s+|\s+[-\u2013—]\s+|[()]")
_NEGATION = re.compile(
    r"\b(?:not|never|no|don't|dont|doesn't|isn't|rather than|instead of|unless|except)\W+(?:\w+\W+)?$"
)
_DEFAULT = re.compile(
    r"\b(?:otherwise|by default|default|in doubt|unsure|unclear|nothing else|none of (?:these|them|the|this)"
    r"|nothing (?:of (?:these|this)|applies|fits|matches|else speaks)|everything else|anything else"
    r"|all other|any other)\b"
)
_WEAK = word_set("yes no true false none other high low a b c d e i in on it is an or good bad new old")


@dataclass(frozen=True, slots=True)
class Claim:
    """Words that, by the prompt, speak for an answer of a field; one tuple of folded words a phrase, in order."""

    field: str
    answer: str
    phrases: tuple[tuple[str, ...], ...]
    default: bool = False
    """Whether the passage names the answer for want of a better one ("otherwise ...")."""


@dataclass(frozen=True, slots=True)
class Mention:
    """An answer named in a text, between two positions."""

    field: str
    answer: str
    start: int
    end: int
    negated: bool


class Labels:
    """Finds the admissible answers of all fields in a text."""

    def __init__(self, choices: Choices) -> None:
        self._owners: dict[str, list[tuple[str, str]]] = {}
        for field, answers in choices:
            for answer in answers:
                self._owners.setdefault(fold(answer), []).append((field, answer))
        self._fields = [field for field, _ in choices if field]
        names = "|".join(re.escape(name) for name in sorted(self._owners, key=len, reverse=True) if name)
        self._pattern = re.compile(rf"(?<![\w-])(?:{names})(?![\w-])") if names else None
        one = rf"[\"'`“*]*(?<![\w-])(?:{names})(?![\w-])[\"'`”*]*"
        between = r"(?:\s*[,;/|]\s*(?:or\s+|and\s+)?|\s+(?:or|and|vs\.?)\s+)"
        self._listing = re.compile(rf"{one}(?:{between}{one})+", re.IGNORECASE) if names else None
        self._named = {
            field: re.compile(rf"\b{re.escape(fold(field)).replace('_', '[_ ]')}\b") for field in self._fields
        }

    def field_words(self) -> set[str]:
        """Words of which the fields' names are made; they are no evidence for any answer."""
        return {word for field in self._fields for word in words(field.replace("_", " "))}

    def without_listings(self, text: str) -> str:
        """A text without enumerations of answers ("low, normal or high"): these say what is admissible, not when."""
        return text if self._listing is None else self._listing.sub(" ", text)

    def mentions(self, text: str, head: bool = False) -> list[Mention]:
        """Answers named in a text. Where an answer belongs to several fields, a field named in the text decides.

        Labels that are everyday words count in running text only when marked as answers: quoted, after an equals
        sign, a colon or a word like "answer", or after their field's name; in the `head` of a rule they always count.
        """
        if self._pattern is None:
            return []
        folded = fold(text)
        named = [field for field in self._fields if self._named[field].search(folded)]
        found: list[Mention] = []
        for match in self._pattern.finditer(folded):
            before = folded[: match.start()]
            if not head and match.group() in _WEAK and not self._marked(before, folded[match.end() :]):
                continue
            owners = self._owners[match.group()]
            chosen = [owner for owner in owners if owner[0] in named] if len(owners) > 1 else owners
            negated = _NEGATION.search(before[-40:]) is not None
            for field, answer in chosen or owners:
                found.append(Mention(field, answer, match.start(), match.end(), negated))
        return found

    def _marked(self, before: str, after: str) -> bool:
        if before[-1:] in {"'", '"', "`", "“", "*", "="} or after[:1] in {"'", '"', "`", "”"}:
            return True
        lead = before.rstrip()
        if lead.endswith((":", "=", "->", "→", "=>")):
            return True
        last = re.findall(r"[\w-]+", lead)[-2:]
        saying = {
            "answer",
            "choose",
            "label",
            "say",
            "pick",
            "select",
            "return",
            "output",
            "respond",
            "is",
            "as",
            "with",
        }
        return bool(saying & set(last)) or any(self._named[field].search(" ".join(last)) for field in self._fields)


def claims(guidance: str, choices: Choices) -> tuple[Claim, ...]:
    """What the instructions say for each admissible answer, in their order."""
    labels = Labels(choices)
    ignored = labels.field_words()
    found: list[Claim] = []
    current: list[tuple[str, str]] = []
    for line in _without_json(guidance).split("\n"):
        if not line.strip():
            continue
        owners, body = headed(line, labels)
        if owners:
            if body:
                found.extend(_claim(owner, body, line, ignored) for owner in owners)
            current = owners if not body else []
            continue
        spoken = list(_sentences(line, labels, ignored))
        if spoken:
            found.extend(spoken)
        elif current and (_BULLET.match(line) or line.startswith((" ", "\t"))):
            found.extend(_claim(owner, line, "", ignored) for owner in current)
        elif current and not labels.mentions(line):
            found.extend(_claim(owner, line, "", ignored) for owner in current)
            current = []
    return tuple(claim for claim in found if claim.phrases or claim.default)


def _without_json(text: str) -> str:
    """A text whose JSON values are replaced by the descriptions in them: their keys and types claim nothing."""
    parts: list[str] = []
    position = 0
    for start, end, value in json_values(text):
        parts.extend((text[position:start], "\n", "\n".join(_descriptions(value)), "\n"))
        position = end
    return "".join((*parts, text[position:])) if parts else text


def _descriptions(value: object) -> Iterator[str]:
    if is_object(value):
        for key, item in value.items():
            if key == "description" and isinstance(item, str):
                yield item
            else:
                yield from _descriptions(item)
    elif is_array(value):
        for item in value:
            yield from _descriptions(item)


def headed(line: str, labels: Labels) -> tuple[list[tuple[str, str]], str]:
    """The answers in a line's head and the body after it; a head names one answer a field, body "" for a heading."""
    bare = _BULLET.sub("", line).strip()
    found = _HEADED.match(bare)
    while found is not None:
        mentions = labels.mentions(found.group("head"), head=True)
        if mentions:
            return _owners(mentions, found.group("head")), found.group("body")
        # "team: billing: refund, invoice": the label may stand after the field's name.
        rest = _HEADED.match(found.group("body"))
        if (
            rest is None
            or len(found.group("head").split()) > 3
            or not labels.mentions(bare[: found.start("body") + rest.end("head")], head=True)
        ):
            break
        mentions = labels.mentions(f"{found.group('head')} {rest.group('head')}", head=True)
        return _owners(mentions, rest.group("head")), rest.group("body")
    heading = _BARE_HEAD.match(line)
    if heading is not None and (line.rstrip().endswith((":", "*")) or line.lstrip().startswith("#")):
        mentions = labels.mentions(heading.group("head"), head=True)
        return _owners(mentions, heading.group("head")), ""
    return [], ""


def _owners(mentions: Sequence[Mention], head: str) -> list[tuple[str, str]]:
    """The answers a head stands for: none when it lists several answers of a field or says much besides."""
    owners = list(dict.fromkeys((mention.field, mention.answer) for mention in mentions))
    fields = {field for field, _ in owners}
    named = {answer for _, answer in owners}
    if len(named) > len(fields) or any(mention.negated for mention in mentions) or len(head.split()) > 8:
        return []
    return owners


def _claim(owner: tuple[str, str], body: str, line: str, ignored: set[str]) -> Claim:
    field, answer = owner
    parts = re.split(r"[,;/]\s*|\s+or\s+|[()\"“”]|\.\s|\.$", _BULLET.sub("", body))
    phrases = (tuple(word for word in words(part) if word not in ignored) for part in parts)
    default = _DEFAULT.search(fold(line or body)) is not None
    return Claim(field, answer, () if default else tuple(dict.fromkeys(filter(None, phrases))), default)


def _sentences(line: str, labels: Labels, ignored: set[str]) -> Iterator[Claim]:
    for sentence in _SENTENCE.split(_BULLET.sub("", line)):
        yield from _of_passage(sentence, labels, ignored, True)


def _of_passage(text: str, labels: Labels, ignored: set[str], divide: bool) -> Iterator[Claim]:
    """Claims of a sentence; one that names several answers of a field is divided into its clauses first."""
    text = labels.without_listings(text)
    mentions = labels.mentions(text)
    answers: dict[str, set[str]] = {}
    for mention in mentions:
        answers.setdefault(mention.field, set()).add(mention.answer)
    if divide and any(len(of_field) > 1 for of_field in answers.values()):
        for clause in _clauses(text, labels):
            yield from _of_passage(clause, labels, ignored, False)
        return
    for mention in {(mention.field, mention.answer): mention for mention in mentions}.values():
        if len(answers[mention.field]) == 1 and not mention.negated:
            yield _claim((mention.field, mention.answer), _unnamed(text, mentions), text, ignored)


def _unnamed(text: str, mentions: Sequence[Mention]) -> str:
    """A text without the answers named in it."""
    for mention in sorted(mentions, key=lambda mention: -mention.start):
        text = f"{text[: mention.start]} {text[mention.end :]}"
    return text


def _clauses(text: str, labels: Labels) -> list[str]:
    """Parts of a sentence around each answer named: separators join what has no answer to what follows or precedes.

    "Refunds and invoices go to billing, parcels to shipping" gives two parts, "billing (refunds, invoices), shipping
    (parcels)" as well: a part that names no answer goes to the part before it if that one began with its answer.
    """
    parts = [part for part in _CLAUSE.split(text) if part.strip()]
    clauses: list[str] = []
    waiting, leads = "", False
    for part in parts:
        mentions = labels.mentions(part)
        if mentions:
            clauses.append(f"{waiting} {part}".strip())
            waiting = ""
            leads = mentions[0].start <= 3
        elif clauses and not waiting and leads:
            clauses[-1] = f"{clauses[-1]}, {part}"
        else:
            waiting = f"{waiting}, {part}" if waiting else part
    return clauses
