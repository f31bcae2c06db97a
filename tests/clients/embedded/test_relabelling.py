"""The model knows nothing of a task: with other labels it gives the other labels, and nothing else changes."""

from __future__ import annotations

from tests.clients.embedded.tickets import PLAIN, TEAMS, URGENCIES, Row, answers, rewritten, schema, shuffled

NEW = {
    "billing": "blue", "technical": "tapir", "account": "quartz", "shipping": "oboe", "sales": "yodel",
    "low": "zulu", "normal": "kiwi", "high": "fjord",
}  # fmt: skip
OLD = {new: old for old, new in NEW.items()}


def relabelled(row: Row) -> Row:
    return {"ticket": row["ticket"], "team": NEW[row["team"]], "urgency": NEW[row["urgency"]]}


TEST = shuffled()[:60]
TICKETS = [row["ticket"] for row in TEST]
TRAIN = shuffled()[60:140]
OTHER = schema([NEW[team] for team in TEAMS], [NEW[urgency] for urgency in URGENCIES])


def test_answers_from_demonstrations_change_by_their_labels_alone() -> None:
    demos = TRAIN[:12]
    before = answers(schema(), PLAIN, demos, TICKETS)
    after = answers(OTHER, PLAIN, [relabelled(row) for row in demos], TICKETS)
    assert len({given["team"] for given in before}) > 3
    assert [{name: NEW[value] for name, value in given.items()} for given in before] == after


def test_rules_written_and_followed_change_by_their_labels_alone() -> None:
    nothing = [{"team": "", "urgency": ""}] * len(TRAIN)
    old = rewritten(PLAIN, TRAIN, nothing)
    new = rewritten(PLAIN, [relabelled(row) for row in TRAIN], nothing)
    heads = [line.partition(":")[0] for line in old.split("\n") if line.startswith("- ")]
    assert len(heads) == len(NEW)
    for head in heads:
        field, _, label = head.removeprefix("- ").partition(" ")
        assert f"\n{head}:{_body(old, head)}\n" in f"{old}\n"
        assert _body(old, head) == _body(new, f"- {field} {NEW[label]}")
    demos = TRAIN[:8]
    before = answers(schema(), old, demos, TICKETS)
    after = answers(OTHER, new, [relabelled(row) for row in demos], TICKETS)
    assert [{name: NEW[value] for name, value in given.items()} for given in before] == after


def _body(text: str, head: str) -> str:
    return text.partition(f"\n{head}:")[2].partition("\n")[0]
