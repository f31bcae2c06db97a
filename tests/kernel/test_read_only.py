from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given

from dspex.kernel.canonical import canonical
from dspex.kernel.read_only import ReadOnlyDict, ReadOnlyList, read_only
from tests.kernel.generated import VALUES


@given(VALUES)
def test_read_only_data_is_equal_and_writes_the_same_json(value: object) -> None:
    frozen = read_only(value)
    assert frozen == value
    assert json.loads(json.dumps(frozen)) == value
    assert canonical(frozen) == canonical(value)
    assert read_only(frozen) is frozen or not isinstance(value, dict | list)


CHANGES: dict[str, Callable[[Any], object]] = {
    "set an item": lambda data: data["list"].__setitem__(0, 2),
    "set a key": lambda data: data.__setitem__("x", 1),
    "delete a key": lambda data: data.__delitem__("list"),
    "update": lambda data: data.update(x=1),
    "merge": lambda data: data.__ior__({"x": 1}),
    "setdefault": lambda data: data.setdefault("x", 1),
    "pop": lambda data: data.pop("list"),
    "popitem": lambda data: data.popitem(),
    "clear": lambda data: data.clear(),
    "append": lambda data: data["list"].append(1),
    "extend": lambda data: data["list"].extend([1]),
    "add": lambda data: data["list"].__iadd__([1]),
    "insert": lambda data: data["list"].insert(0, 1),
    "remove": lambda data: data["list"].remove(1),
    "sort": lambda data: data["list"].sort(),
    "reverse": lambda data: data["list"].reverse(),
    "inside": lambda data: data["list"][1].__setitem__("x", 1),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_every_way_to_change_it_is_refused(change: Callable[[Any], object]) -> None:
    data = read_only({"list": [1, {"deep": True}]})
    with pytest.raises(TypeError, match="part of a program, which cannot be changed; copy it"):
        change(data)
    assert data == {"list": [1, {"deep": True}]}


def test_copies_are_free() -> None:
    data = read_only({"list": [1]})
    assert isinstance(data, ReadOnlyDict)
    assert isinstance(data["list"], ReadOnlyList)
    free = {**data, "list": [*data["list"], 2]}
    free["x"] = 1
    assert free == {"list": [1, 2], "x": 1}
    assert copy.deepcopy(data) is data
