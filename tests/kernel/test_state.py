from __future__ import annotations

from typing import Literal

import pytest

from dspex.errors import InputError, RateLimitError, UnknownNameError
from dspex.kernel.ports import Usage
from dspex.kernel.signature import Input, Output, Signature
from dspex.kernel.state import Record, State, StepError


class Route(Signature):
    ticket: str = Input()
    team: Literal["a", "b"] = Output()
    note: str = Output(default="-")


def record(usd: float | None) -> Record:
    return Record(step="s", module="m", inputs={}, outputs=None, usage=Usage(calls=1, output_tokens=2, usd=usd))


def test_values_by_name_outputs_before_inputs() -> None:
    state = State({"ticket": "x", "team": "?"}, {"team": "a"})
    assert (state["team"], state["ticket"], state.get("note", 1)) == ("a", "x", 1)
    with pytest.raises(UnknownNameError, match=r"unknown output 'taem'; did you mean 'team'\?"):
        state["taem"]


def test_outputs_typed_and_plain() -> None:
    state = State({"ticket": "x"}, {"team": "a", "more": 1})
    assert state.outputs() == {"team": "a", "more": 1}
    assert state.outputs(Route) == Route(ticket="x", team="a", note="-")
    with pytest.raises(InputError, match="the outputs are not a Route: team: "):
        State({"ticket": "x"}, {"team": "c"}).outputs(Route)


def test_usage_adds_up_and_an_unknown_price_stays_unknown() -> None:
    assert State({}, {}, (record(0.5), record(0.25))).usage == Usage(calls=2, output_tokens=4, usd=0.75)
    assert State({}, {}, (record(0.5), record(None))).usage.usd is None


def test_a_failure_says_what_kind_it_is() -> None:
    cause = RateLimitError("slow down")
    error = StepError("flow.draft", State({}, {}), cause)
    assert str(error) == "step 'flow.draft': slow down"
    assert (error.transient, error.infrastructure) == (True, True)
    foreign = StepError("draft", State({}, {}), KeyError("x"))
    assert str(foreign) == "step 'draft': KeyError: 'x'"
    assert (foreign.transient, foreign.infrastructure) == (False, False)
