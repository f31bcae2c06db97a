import pytest

from dspex.clients.embedded.passages import Claim, claims

CHOICES = (("team", ("billing", "technical", "account")), ("urgency", ("low", "normal", "high")))


def words_for(guidance: str) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for claim in claims(guidance, CHOICES):
        words = {word for phrase in claim.phrases for word in phrase}
        found.setdefault((claim.field, claim.answer), set()).update(words)
    return found


@pytest.mark.parametrize(
    "guidance",
    [
        "- billing: refund, invoice",
        "* **billing**: refund; invoice",
        "billing - refund and invoice",
        "1. billing -> refund, invoice",
        "team: billing: refund, invoice",
        "- team billing: refund, invoice",
        "- `team = billing`: refund, invoice",
        "refund, invoice -> billing",
        "Choose billing when there is a refund or an invoice.",
        "If it mentions a refund or an invoice, answer team: billing.",
        "Anything with a refund or an invoice goes to billing, not to technical.",
        "A refund and an invoice go to billing, a dead router to technical.",
        "billing (refund, invoice), technical (router)",
        "### billing\n- refund\n- invoice",
        "billing:\n  refund\n  invoice",
        '{"properties": {"team": {"enum": ["billing"], "description": "billing: refund, invoice"}}}',
    ],
)
def test_a_passage_speaks_for_the_answer_it_names(guidance: str) -> None:
    found = words_for(guidance)
    assert {"refund", "invoice"} <= found[("team", "billing")]
    assert not {"refund", "invoice"} & found.get(("team", "technical"), set())


@pytest.mark.parametrize(
    "guidance",
    [
        "Say which team it is: billing, technical or account.",
        "team (one of: billing; technical; account): who answers",
        "- team (Literal['billing', 'technical', 'account'])",
        "Never answer billing for a router.",
        "Report a high number of errors.",
        '{"type": "string", "enum": ["billing", "technical"]}',
    ],
)
def test_listing_or_denying_answers_claims_nothing(guidance: str) -> None:
    assert words_for(guidance) == {}


def test_everyday_labels_count_only_when_they_are_marked_as_answers() -> None:
    assert words_for("Answer high when it is about a fire.")[("urgency", "high")] >= {"fire"}
    assert words_for('Say "low" for idle questions.')[("urgency", "low")] >= {"idle", "questions"}
    assert words_for("- urgency high: a fire")[("urgency", "high")] == {"a", "fire"}
    assert words_for("A low battery may be mentioned.") == {}


def test_an_answer_of_two_fields_belongs_to_the_field_that_is_named() -> None:
    choices = (("refund", ("yes", "no")), ("callback", ("yes", "no")))
    (claim,) = claims("- callback yes: phone, ring", choices)
    assert claim == Claim("callback", "yes", (("phone",), ("ring",)))
    assert {claim.field for claim in claims("- yes: phone", choices)} == {"refund", "callback"}


def test_an_answer_for_want_of_a_better_one_is_a_default_and_claims_no_words() -> None:
    (claim,) = claims("Otherwise, when nothing else speaks for another one, answer urgency normal.", CHOICES)
    assert (claim.field, claim.answer, claim.phrases, claim.default) == ("urgency", "normal", (), True)
