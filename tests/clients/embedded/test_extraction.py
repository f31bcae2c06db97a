import pytest

from dspex.clients.embedded.extraction import date_in, numbers_in, ranked, sentences, span


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("due 2026-05-04", "2026-05-04"),
        ("on 4 May 2026, at noon", "2026-05-04"),
        ("May 4, 2026", "2026-05-04"),
        ("04.05.2026", "2026-05-04"),
        ("in 1998", "1998-01-01"),
        ("no date, order 48213", None),
        ("2026-15-44", None),
    ],
)
def test_dates(text: str, date: str | None) -> None:
    assert date_in(text) == date


def test_numbers_are_read_with_their_separators_and_percent_signs_are_left_alone() -> None:
    found = [number for number, _ in numbers_in("1,250 pieces at 3.50, 20% off, minus -4, v2")]
    assert found == [1250.0, 3.5, 20.0, -4.0]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Who built the bridge?", "Ada Kern"),
        ("When was it finished?", "1931"),
        ("How many cables does it have?", "12"),
    ],
)
def test_a_question_is_answered_by_a_span_of_its_kind(question: str, answer: str) -> None:
    context = "The bridge was built by Ada Kern. It was finished in 1931. It has 12 cables."
    best = ranked(sentences(context), question)[0][1]
    assert span(question, best) == answer
