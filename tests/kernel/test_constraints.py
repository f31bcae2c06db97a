from __future__ import annotations

import pytest

from dspex.errors import VariableError
from dspex.kernel.constraints import Constraint

VALUES = {"plan.tokens": 500, "plan.model": "small", "draft.heat": 0.5, "draft.on": True, "plan.note": None}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plan.tokens <= 1024 or plan.model == 'big'", True),
        ("plan.tokens <= 100 or plan.model == 'big'", False),
        ("plan.tokens <= 1024 and not plan.model == 'big'", True),
        ("100 < plan.tokens < 400", False),
        ("plan.model in ['small', 'tiny']", True),
        ("plan.model not in ('small', 'tiny')", False),
        ("plan.tokens * 2 - 1 + draft.heat == 999.5", True),
        ("-plan.tokens < 0", True),
        ("draft.on == true", True),
        ("draft.on == False", False),
        ("plan.note == null", True),
        ("draft.on", True),
        ("gone.x > 3", True),
        ("not gone.x > 3", True),
        ("gone.x + plan.tokens > 3 and plan.tokens > 1000", False),
    ],
)
def test_constraints_hold_or_not(text: str, expected: bool) -> None:
    assert Constraint.parse(text).holds(VALUES) is expected


def test_paths_and_constants_are_known() -> None:
    constraint = Constraint.parse("a.x == 'one' or b.y in ['two', 3] and 4 != a.x and a.x < 7")
    assert constraint.paths == ("a.x", "b.y")
    assert list(constraint.constants()) == [("a.x", "one"), ("b.y", "two"), ("b.y", 3), ("a.x", 4)]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("plan.tokens <=", "does not read"),
        ("__import__('os').system('true')", "is not allowed; use comparisons"),
        ("(lambda: 1)() == 1", "is not allowed"),
        ("plan.tokens ** 9 > 1", "is not allowed"),
        ("plan.model[0] == 's'", "is not allowed"),
        ("[x for x in plan.tokens]", "is not allowed"),
        ("f'{plan.tokens}' == '1'", "is not allowed"),
        ("plan.tokens is None", "is not allowed"),
        ("plan.tokens == b'x'", "is not allowed"),
        ("'a'.x == 1", "is not a path"),
        ("1 < 2", "names no variable"),
        ("a.x == " + "1 + " * 600 + "1", "longer than 2000 characters"),
    ],
)
def test_what_is_no_constraint_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(VariableError, match=complaint):
        Constraint.parse(text)


@pytest.mark.parametrize("text", ["plan.model < 3", "plan.model * 1000000000 == 'x'", "-plan.model == 1"])
def test_values_that_cannot_be_compared_are_one_clear_error(text: str) -> None:
    with pytest.raises(VariableError, match="cannot be evaluated"):
        Constraint.parse(text).holds(VALUES)
