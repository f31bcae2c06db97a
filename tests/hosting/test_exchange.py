"""What a runner and a worker say to each other arrives as it was meant, to the last bit."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspex import errors
from dspex.errors import CutOffError, DspexError, LMError, ParseError, RateLimitError, UnknownNameError
from dspex.evaluation.assessment import Assessment
from dspex.hosting.exchange import (
    HEAD,
    LARGEST,
    assessment_data,
    assessment_of,
    completion_data,
    completion_of,
    error_data,
    error_of,
    framed,
    length_of,
    request_data,
    request_of,
    unframed,
)
from dspex.hosting.references import OnlyInMemoryError
from dspex.kernel.ports import Capabilities, Completion, Request, Usage
from dspex.kernel.state import Record

texts = st.text(st.characters(codec=None), max_size=20)  # half a surrogate pair too: files and models have them
numbers = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
mappings = st.dictionaries(texts, json_values, max_size=3)
counts = st.integers(0, 10**9)
prices = st.none() | numbers
usages = st.builds(Usage, counts, counts, counts, prices, counts, counts, counts, prices)
messages: Any = st.fixed_dictionaries({"role": st.sampled_from(["system", "user"]), "content": texts})
records = st.builds(
    Record, texts, texts, mappings, st.none() | mappings, st.none() | texts, mappings,
    st.lists(messages, max_size=2).map(tuple), st.none() | texts, st.none() | texts,
    st.lists(texts, max_size=2).map(tuple), usages, numbers, st.none() | texts, texts,
)  # fmt: skip
assessments = st.builds(
    Assessment, texts, counts, st.none() | numbers, st.none() | texts, st.none() | mappings, st.none() | texts,
    st.none() | texts, usages, numbers, st.lists(records, max_size=3).map(tuple),
    st.dictionaries(texts, numbers, max_size=2),
)  # fmt: skip
completions = st.builds(
    Completion, texts, st.sampled_from(["stop", "length"]), usages, texts, st.lists(mappings, max_size=2).map(tuple),
    st.booleans(), texts,
)  # fmt: skip
TREE = sorted(
    (item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, DspexError)),
    key=lambda item: item.__name__,
)


def arrived(data: Any) -> Any:
    """What comes out of the pipe's other end."""
    frame = framed("told", data=data)
    assert length_of(frame[:HEAD]) == len(frame) - HEAD
    return unframed(frame[HEAD:])["data"]


def test_every_field_of_what_is_exchanged_is_in_it() -> None:
    """So that one that is added to a record is not left behind in a worker."""
    record = Record("a", "b", {}, None)
    found = Assessment("e", 0, None, None, None, None, None, Usage(), 0.0, (record,))
    data = assessment_data(found)
    assert len(data) == len(fields(Assessment))
    assert len(data[9][0]) == len(fields(Record))
    assert len(completion_data(Completion("x"))) == len(fields(Completion))
    assert len(request_data(Request("m", []))) == len(fields(Request))
    assert len(fields(Capabilities)) == 3


@given(assessments)
def test_an_assessment_arrives_equal(found: Assessment) -> None:
    assert assessment_of(arrived(assessment_data(found))) == found


@given(st.builds(Request, texts, st.lists(messages, max_size=3), mappings, counts))
def test_a_request_arrives_equal(request: Request) -> None:
    assert request_of(arrived(request_data(request))) == request


@given(completions)
def test_a_completion_arrives_equal_with_its_key(found: Completion) -> None:
    there = completion_of(arrived(completion_data(found)))
    assert (there, there.key) == (found, found.key)


@pytest.mark.parametrize("kind", TREE)
@given(text=texts)
def test_an_error_of_the_tree_arrives_as_its_class_with_its_text(kind: type[DspexError], text: str) -> None:
    there = error_of(arrived(error_data(kind.__new__(kind, text))))
    assert (type(there), str(there)) == (kind, text)


def test_what_an_error_has_beside_its_text_arrives_too() -> None:
    slow: Any = error_of(arrived(error_data(RateLimitError("later", retry_after=2.5, billed=True))))
    assert (slow.retry_after, slow.billed, slow.transient) == (2.5, True, True)
    unread: Any = error_of(arrived(error_data(ParseError("no", problems=("a", "b")))))
    assert unread.problems == ("a", "b")
    unknown = error_of(arrived(error_data(UnknownNameError("field", "nam", ["name"]))))
    assert "did you mean 'name'" in str(unknown)
    assert isinstance(error_of(arrived(error_data(OnlyInMemoryError("here")))), errors.ConfigurationError)
    assert isinstance(error_of(arrived(error_data(CutOffError("half")))), errors.AnswerError)
    assert not isinstance(error_of(arrived(error_data(ZeroDivisionError("division")))), LMError)


def test_an_error_of_another_tree_arrives_under_its_own_name() -> None:
    there = error_of(arrived(error_data(ZeroDivisionError("division by zero"))))
    assert (type(there).__name__, str(there)) == ("ZeroDivisionError", "division by zero")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b'{"kind"'])
def test_what_is_no_frame_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        unframed(body)


def test_a_frame_without_end_is_refused_before_it_is_read() -> None:
    with pytest.raises(ValueError, match="a frame of"):
        length_of((LARGEST + 1).to_bytes(HEAD, "big"))
