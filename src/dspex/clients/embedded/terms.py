"""From text to weighted lexical features: words, stems, word pairs and letter groups."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache

_TOKEN = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)*|[!?€$£%]", re.UNICODE)  # noqa: RUF001 (both apostrophes occur in text)
_VOWEL = re.compile(r"[aeiouy]")


def word_set(text: str) -> frozenset[str]:
    """The words of a text, as written in this package's tables."""
    return frozenset(text.split())


# Function words of the languages in which people greet and plead. They say how a thing is said rather than what
# about, so they count little. No word of any task's subject belongs here.
_STOPWORDS = word_set("""
    a about after again all also am an and any are as at be because been before being both but by can could did do
    does doing done each else for from further had has have having he her here hers him his how i if in into is it its
    itself just let me might more most must my myself nor of off on once one only or other our ours out over own
    please same shall she should so some such than thanks thank that the their theirs them then there these they this
    those through to too up upon us very was we were what when where whether which while who whom whose why will with
    would yet you your yours hi hello hey dear regards cheers team sincerely best kind greetings im ive id ill youre
    theyre thats its dont doesnt
    de la el los las un una que y en por para con mi tu su es hola gracias saludos le les des du et je vous nous mon ma
    bonjour merci cordialement der die das und ist ich ein eine mit fur zu guten tag danke viele grusse il lo che di
    per ciao grazie salve ola obrigado
    """)
# Words by which prompts speak of answering: they occur in rules of every kind and in no particular one.
_RULE_WORDS = word_set("""
    answer answers choose chooses pick picks select label labels labelled classify classified category assign assigns
    say says respond reply output return decide route routes mention mentions mentioned mentioning contain contains
    containing word words term terms field value values input text example examples when if whenever case cases means
    mean use uses using include includes including e g eg etc like usually often typically anything something someone
    """)
_SUFFIXES = (
    ("ations", "at"), ("ation", "at"), ("ings", ""), ("ing", ""), ("edly", ""), ("ied", "y"), ("ies", "y"),
    ("ed", ""), ("ments", ""), ("ment", ""), ("ally", "al"), ("ly", ""), ("sses", "ss"), ("es", "e"), ("s", ""),
)  # fmt: skip


def fold(text: str) -> str:
    """Lower case without accents, letter by letter: positions stay."""
    if text.isascii():
        return text.lower()
    return "".join(letter.lower() if letter.isascii() else _folded_letter(letter) for letter in text)


@lru_cache(maxsize=4_096)
def _folded_letter(letter: str) -> str:
    return unicodedata.normalize("NFKD", letter)[0].lower()[0]


@lru_cache(maxsize=16_384)
def stem(word: str) -> str:
    """A folded word without its commonest English endings; short words and numbers stay as they are."""
    if len(word) <= 3 or not word.isalpha():
        return word
    for suffix, replacement in _SUFFIXES:
        if word.endswith(suffix):
            root = word[: -len(suffix)] + replacement
            if len(root) >= 3 and _VOWEL.search(root) and not (suffix == "s" and root[-1] in "sui"):
                word = root
                break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsze":
        word = word[:-1]
    if len(word) > 3 and word[-1] == "e":
        word = word[:-1]
    return word[:-1] + "i" if len(word) > 3 and word[-1] == "y" else word


def words(text: str) -> list[str]:
    """The folded words and telling signs (!, ?, currency) of a text, in order, apostrophes dropped."""
    return [token.replace("'", "").replace("’", "") for token in _TOKEN.findall(fold(text))]  # noqa: RUF001


@lru_cache(maxsize=16_384)
def weight_of(word: str) -> float:
    """How much a folded word can tell by itself, 0..1, before its rarity is known."""
    if word in _STOPWORDS:
        return 0.05
    if word in _RULE_WORDS:
        return 0.15
    if word in "!?":
        return 0.3
    if word[0].isdigit():
        return 0.2
    return 0.4 if len(word) < 3 and word.isalpha() else 1.0


def is_content(word: str) -> bool:
    """Whether a folded word is about something: no function word, no number, no sign."""
    return word.isalpha() and len(word) > 2 and word not in _STOPWORDS and word not in _RULE_WORDS


@lru_cache(maxsize=16_384)
def letter_groups(root: str) -> tuple[str, ...]:
    """Groups of four letters of a stem with its edges marked: what survives a typing error or a compound."""
    if len(root) < 5 or not root.isalpha():
        return ()
    marked = f"^{root}$"
    return tuple(f"~{marked[i : i + 4]}" for i in range(len(marked) - 3))


_PAIR_WEIGHT = 0.6
_GROUP_WEIGHT = 0.5


def features(tokens: Iterable[str]) -> dict[str, float]:
    """Weighted features of folded words: stems, neighbouring pairs ("a_b") and letter groups ("~abcd").

    Every feature counts once however often it is repeated: who says a word three times is not three times as sure.
    """
    found: dict[str, float] = {}
    before, before_weight = "", 0.0
    for token in tokens:
        root, weight = stem(token), weight_of(token)
        found[root] = max(weight, found.get(root, 0.0))
        if before and weight + before_weight >= 1.0:
            found.setdefault(f"{before}_{root}", _PAIR_WEIGHT)
        before, before_weight = root, weight
        if weight >= 1.0:
            groups = letter_groups(root)
            for group in groups:
                share = _GROUP_WEIGHT / len(groups) ** 0.5
                found[group] = max(share, found.get(group, 0.0))
    return found


def norm(vector: Mapping[str, float]) -> float:
    """Euclidean length of a sparse vector, never 0."""
    return sum(value * value for value in vector.values()) ** 0.5 or 1.0
