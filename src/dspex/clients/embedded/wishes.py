"""Tells from its words whether a text wants instructions for a model written."""

from __future__ import annotations

import re
from functools import lru_cache

NOUN = (
    r"(?:instructions?|prompts?|guidelines?|guidance|rules?|rule ?book|directives?|playbook|advice|system message"
    r"|task description|wording|briefing|policy)"
)
_VERB = (
    r"(?:re-?writ\w*|writ(?:e|es|ing)|wrote|propos\w*|improv\w*|revis\w*|draft\w*|craft\w*|generat\w*|suggest\w*|formulat\w*"
    r"|optimi[sz]\w*|refin\w*|produc\w*|edit|edits|editing|rephras\w*|reword\w*|creat\w*|updat\w*|fix|fixes|fixing|amend\w*"
    r"|compos\w*|design\w*|devis\w*|com(?:e|ing) up with|provid\w*|giv(?:e|es|ing)|return|develop\w*|construct\w*"
    r"|enhanc\w*|adjust\w*|modif\w*|distil\w*|extract\w*|induc\w*|infer\w*|deriv\w*|phras(?:e|es|ing)|author|prepar\w*"
    r"|work out|think up|state|sharpen\w*|polish\w*|extend\w*|strengthen\w*|repair\w*|tun(?:e|es|ing)|mak(?:e|es|ing)"
    r"|need|want|figure out|guess|reconstruct\w*|mutat\w*|vary|combin\w*|merg\w*|add|offer)"
)
_NOT_ITS_OBJECT = (
    r"(?:follow\w*|according|from|based|using|with|to|in|as|answers?|responses?|repl(?:y|ies)|by|under|per|on|outputs?"
    r"|labels?|that|which)"
)
_ASKS = re.compile(
    rf"\b{_VERB}\b(?:\W+(?!{_NOT_ITS_OBJECT}\b)[\w'’-]+){{0,7}}?\W+{NOUN}\b"  # noqa: RUF001
    rf"|\bwhat\W+(?:\w+\W+){{0,3}}{NOUN}\b[^.?\n]*\b(?:would|could|should|led|made|make|explain|produce)"
    rf"|\b{NOUN}\b[^.?!]{{0,120}}[.?!,;:\u2013-]\W*(?:\w+\W+){{0,6}}?(?:re-?write|improve|revise|fix|repair|reword|rephrase)\W+(?:it|them|this|that)\b"
    rf"|\b(?:better|improved|new|revised|final|updated) {NOUN}\s*:?\s*$"
    rf"|\b{NOUN} (?:was|is)\s*[:.]?\s*$"
    rf"|\b{NOUN}\b[^.\n]{{0,60}}\bmust be (?:improved|rewritten|revised)",
    re.IGNORECASE | re.MULTILINE,
)
_ABOUT_MODELS = re.compile(
    r"\b(?:models?|llms?|lms?|assistants?|ai|chatbot|prompt|agent|cases|examples?|failures?|mistakes?|errors|wrong|inputs?"
    r"|outputs?|labell?ers?|annotators?|classifier|attempts?|scores?|dataset|task|module|program)\b",
    re.IGNORECASE,
)


def asks_for_text(text: str) -> bool:
    """Whether a passage asks for instructions to be written, whoever is to follow them."""
    return _ASKS.search(text) is not None


@lru_cache(maxsize=1_024)
def wishes_instructions(text: str) -> bool:
    """Whether a text wants instructions for a model written."""
    return asks_for_text(text) and _ABOUT_MODELS.search(text) is not None
