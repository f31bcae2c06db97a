import pytest

from dspex.clients.embedded.terms import features, fold, stem, weight_of, words


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("charged", "charge"),
        ("shipping", "shipped"),
        ("invoices", "invoice"),
        ("deliveries", "delivery"),
        ("refunds", "refund"),
        ("payments", "pay"),
    ],
)
def test_forms_of_a_word_share_their_stem(left: str, right: str) -> None:
    assert stem(left) == stem(right)


@pytest.mark.parametrize(("left", "right"), [("bus", "but"), ("this", "thing"), ("red", "r")])
def test_different_short_words_stay_apart(left: str, right: str) -> None:
    assert stem(left) != stem(right)


def test_folding_keeps_positions() -> None:
    text = "Grüße, ciào! ﬁx Straße ÅNGSTRÖM"
    assert len(fold(text)) == len(text)
    assert fold("Grüße") == "gruße"
    assert fold("ÅNGSTRÖM") == "angstrom"


def test_words_are_folded_and_apostrophes_dropped() -> None:
    assert words("I can't log in — why?! 12 €") == ["i", "cant", "log", "in", "why", "?", "!", "12", "€"]


def test_repeating_a_word_adds_nothing() -> None:
    once, thrice = features(words("refund")), features(words("refund refund refund"))
    assert once["refund"] == thrice["refund"]


def test_a_typing_error_still_shares_letter_groups() -> None:
    right, wrong = features(words("password")), features(words("pasword"))
    assert {name for name in right if name.startswith("~")} & wrong.keys()


def test_function_words_weigh_little() -> None:
    assert weight_of("the") < weight_of("because") + 0.01 < weight_of("router")
