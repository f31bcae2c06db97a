from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass, field, replace
from typing import Any

import pytest

from dspex.evaluation.assessment import Assessment
from dspex.kernel.ports import Completion, Event, Parsed, Request, Score, Usage
from dspex.kernel.quick import quick
from dspex.kernel.state import Record, State

ARGUMENTS: dict[Callable[..., Any], tuple[Any, ...]] = {
    Usage: (),
    Request: ("stub/model", ()),
    Completion: ("text",),
    Parsed: ({"label": "good"}, "strict"),
    Score: (0.5,),
    Event: ("step.started", "review"),
    Record: ("review", "predict", {"text": "fine"}, None),
    State: ({"text": "fine"}, {}),
    Assessment: ("1", 0, 1.0, None, None, None, None, Usage(), 0.1, ()),
}


@pytest.mark.parametrize("kind", ARGUMENTS)
def test_a_record_that_is_made_quickly_is_the_same_record(kind: Callable[..., Any]) -> None:
    made, wanted = quick(kind)(*ARGUMENTS[kind]), kind(*ARGUMENTS[kind])
    assert made == wanted
    assert type(made) is type(wanted)
    assert repr(made) == repr(wanted)
    assert replace(made) == wanted


def test_it_is_frozen_and_has_no_place_for_more() -> None:
    made = quick(Usage)(calls=2)
    with pytest.raises(FrozenInstanceError):
        made.calls = 3  # type: ignore[misc]  # frozen, which is tested
    with pytest.raises((AttributeError, TypeError)):
        made.more = 1  # type: ignore[attr-defined]  # no such field, which is tested
    assert made == Usage(calls=2)
    assert hash(made) == hash(Usage(calls=2))


def test_each_has_defaults_of_its_own() -> None:
    @dataclass(frozen=True, slots=True)
    class Listing:
        name: str
        items: list[int] = field(default_factory=list[int])
        more: int = field(default=7, kw_only=True)

    make = quick(Listing)
    first, second = make("a"), make("b", [1], more=8)
    first.items.append(3)
    assert (make("c"), second) == (Listing("c"), Listing("b", [1], more=8))


def test_arguments_that_do_not_fit_are_refused() -> None:
    with pytest.raises(TypeError, match="required"):
        quick(Score)()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # one too few


def test_what_would_be_left_out_is_refused() -> None:
    @dataclass(frozen=True, slots=True)
    class Checked:
        value: int

        def __post_init__(self) -> None:
            """Would not run."""

    with pytest.raises(TypeError, match="__post_init__"):
        quick(Checked)
