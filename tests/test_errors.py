from __future__ import annotations

import re

import pytest

from dspex import errors
from dspex.errors import DspexError, LMError, UnknownNameError, suggestion
from dspex.kernel.state import StepError

PLACES = ("dspex.errors", "dspex.kernel.state")


def tree(root: type[DspexError], depth: int = 0) -> list[tuple[int, str]]:
    below = [item for kind in root.__subclasses__() if kind.__module__ in PLACES for item in tree(kind, depth + 1)]
    return [(depth, root.__name__), *below]


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = re.findall(r"^    ([│ ]*)(?:[├└]── )?(\w+)", errors.__doc__ or "", flags=re.MULTILINE)
    levels = [(0 if name == "DspexError" else len(bars) // 4 + 1, name) for bars, name in drawn]
    assert issubclass(StepError, DspexError)
    assert sorted(levels) == sorted(tree(DspexError))


def test_a_failure_outside_the_program_is_never_a_score() -> None:
    outside = {
        name for _, name in tree(DspexError) if getattr(getattr(errors, name, StepError), "infrastructure", False)
    }
    assert {"RateLimitError", "ServerError", "BudgetExceededError", "OutageError", "AuthenticationError"} <= outside
    assert (
        not {"ParseError", "CutOffError", "ContextLengthError", "RefusedError", "InputError", "AnswerError"} & outside
    )


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("taem", ["team", "urgency"], "; did you mean 'team'?"),
        ("zzz", ["team", "urgency"], "; known: 'team', 'urgency'"),
        ("zzz", [], "; there are none"),
        ("zzz", [f"n{index:02}" for index in range(20)], "'n11', ..."),
    ],
)
def test_suggestions(name: str, known: list[str], said: str) -> None:
    assert suggestion(name, known).endswith(said)


def test_an_unknown_name_says_where_and_what_is_near() -> None:
    error = UnknownNameError("field", "taem", ["team"], "tickets.jsonl")
    assert str(error) == "unknown field 'taem' in tickets.jsonl; did you mean 'team'?"
    assert (error.kind, error.name, error.known) == ("field", "taem", ("team",))


def test_a_model_error_keeps_what_the_server_said() -> None:
    error = LMError("slow down", retry_after=2.5, billed=True)
    assert (str(error), error.retry_after, error.billed) == ("slow down", 2.5, True)
