from __future__ import annotations

import json
from datetime import date
from enum import Enum

import pytest
from hypothesis import given
from pydantic import BaseModel

from dspex.errors import DataError
from dspex.kernel.canonical import canonical, digest, identity, plain
from tests.kernel.generated import VALUES


class Team(Enum):
    BILLING = "billing"


class Place(BaseModel):
    city: str
    since: date


@given(VALUES)
def test_canonical_text_reads_back_and_does_not_depend_on_the_order_of_keys(value: object) -> None:
    assert json.loads(canonical(value)) == value
    turned = json.loads(canonical(value), object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    assert canonical(turned) == canonical(value)


def test_a_digest_is_pinned_so_that_stored_hashes_stay_true() -> None:
    value = {"b": [1, 2.5, None, True], "a": "Grüße 🎫", "c": {"é": 1e-7, "z": 1e22}}
    assert canonical(value) == '{"a":"Grüße 🎫","b":[1,2.5,null,true],"c":{"z":1e+22,"é":1e-07}}'
    assert digest(value, 16) == "627a72ac55a223c3"


def test_identity_does_not_tell_1_from_1_0_but_true_from_1() -> None:
    assert identity({"t": 1.0, "x": [2.0]}) == identity({"t": 1, "x": [2]})
    assert identity(1.5) != identity(1)
    assert identity(True) != identity(1)
    assert identity(1e300) == canonical(1e300)


def test_plain_turns_python_values_into_json() -> None:
    assert plain(Team.BILLING) == "billing"
    assert plain(Place(city="Bonn", since=date(2020, 1, 2))) == {"city": "Bonn", "since": "2020-01-02"}
    assert plain((1, {"x": date(2020, 1, 2)})) == [1, {"x": "2020-01-02"}]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1.0, float("nan")], {"x": float("-inf")}])
def test_numbers_that_json_lacks_are_refused_by_name(value: object) -> None:
    with pytest.raises(DataError, match=r"^input 'x': .*cannot be written as JSON"):
        plain(value, "input 'x'")


def test_what_is_not_data_is_refused_by_name() -> None:
    with pytest.raises(
        DataError, match=r"input 'x': a value of type object cannot be written as JSON; convert it first"
    ):
        plain(object(), "input 'x'")
