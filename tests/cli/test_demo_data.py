"""The demo's tickets: well-formed, balanced, varied, and without labels that give themselves away."""

import re
from collections import Counter, defaultdict
from itertools import combinations, pairwise
from pathlib import Path
from typing import Literal, get_args

import pytest
from pydantic import BaseModel, ConfigDict, Field

DATA = Path(__file__).parents[2] / "src" / "dspex" / "cli" / "demo" / "tickets.jsonl"

Team = Literal["billing", "technical", "account", "shipping", "sales"]
Urgency = Literal["low", "normal", "high"]
TEAMS: tuple[Team, ...] = get_args(Team)
URGENCIES: tuple[Urgency, ...] = get_args(Urgency)


class Row(BaseModel):
    """One line of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ticket: str = Field(min_length=1)
    team: Team
    urgency: Urgency


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return [Row.model_validate_json(line) for line in DATA.read_text(encoding="utf-8").splitlines()]


def test_there_are_enough_rows_and_the_readme_counts_them(rows: list[Row]) -> None:
    assert len(rows) >= 300
    assert f"holds {len(rows)} support tickets" in DATA.with_name("README.md").read_text(encoding="utf-8")


def test_every_team_has_its_fair_share(rows: list[Row]) -> None:
    counts = Counter(row.team for row in rows)
    assert set(counts) == set(TEAMS)
    assert all(70 <= count <= 100 for count in counts.values()), counts


def test_urgencies_are_spread_as_in_a_real_queue(rows: list[Row]) -> None:
    shares = {name: count / len(rows) for name, count in Counter(row.urgency for row in rows).items()}
    assert shares == {
        "low": pytest.approx(0.25, abs=0.04),
        "normal": pytest.approx(0.45, abs=0.04),
        "high": pytest.approx(0.30, abs=0.04),
    }


def test_teams_and_urgencies_meet_in_every_combination(rows: list[Row]) -> None:
    counts = Counter((row.team, row.urgency) for row in rows)
    assert all(counts[team, urgency] >= 10 for team in TEAMS for urgency in URGENCIES), counts


def test_neighbouring_lines_do_not_come_sorted_by_label(rows: list[Row]) -> None:
    repeats = sum(before.team == after.team for before, after in pairwise(rows))
    assert repeats < 0.3 * len(rows)


def test_lengths_range_from_a_scribble_to_a_long_mail(rows: list[Row]) -> None:
    lengths = [len(words(row.ticket)) for row in rows]
    assert min(lengths) <= 6
    assert 80 <= max(lengths) <= 120


def test_no_ticket_occurs_twice(rows: list[Row]) -> None:
    counts = Counter(" ".join(words(row.ticket)) for row in rows)
    assert [text for text, count in counts.items() if count > 1] == []


def test_no_two_tickets_are_nearly_the_same(rows: list[Row]) -> None:
    bags = [(row.ticket, frozenset(words(row.ticket))) for row in rows]
    alike = [(one, two) for (one, a), (two, b) in combinations(bags, 2) if len(a & b) >= 0.55 * len(a | b)]
    assert alike == []


def test_no_phrase_of_five_words_is_in_more_than_three_tickets(rows: list[Row]) -> None:
    tickets_with: defaultdict[tuple[str, ...], set[int]] = defaultdict(set)
    for index, row in enumerate(rows):
        tokens = words(row.ticket)
        for start in range(len(tokens) - 4):
            tickets_with[tuple(tokens[start : start + 5])].add(index)
    assert [" ".join(phrase) for phrase, where in tickets_with.items() if len(where) > 3] == []


@pytest.mark.parametrize("team", TEAMS)
def test_a_team_is_seldom_named_in_its_own_tickets(rows: list[Row], team: Team) -> None:
    own = [row for row in rows if row.team == team]
    assert sum(team in words(row.ticket) for row in own) < 0.12 * len(own)


@pytest.mark.parametrize("team", ["account", "billing", "shipping"])
def test_a_team_is_also_named_in_tickets_of_others(rows: list[Row], team: Team) -> None:
    assert sum(team in words(row.ticket) for row in rows if row.team != team) >= 3


@pytest.mark.parametrize("word", [*URGENCIES, "urgent", "urgently", "urgency"])
def test_words_for_the_urgency_itself_are_rare(rows: list[Row], word: str) -> None:
    assert sum(word in words(row.ticket) for row in rows) < 0.02 * len(rows)
