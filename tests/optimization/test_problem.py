"""What is refused before anything is paid for, and how examples are ordered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspex.clients.budget import Budget
from dspex.errors import DataError, DspexError, UnknownNameError, VariableError
from dspex.evaluation.dataset import Dataset
from dspex.evaluation.metrics import ExactMatch
from dspex.evaluation.scoring import as_metric
from dspex.kernel.program import Program
from dspex.kernel.signature import Example
from dspex.kernel.variables import Choice, Float, Text
from dspex.modules.flow import choose
from dspex.modules.prediction import chain_of_thought, predict
from dspex.optimization.problem import Problem, branches, outcome_order, pose
from tests.optimization.simulators import Colour, counted, hinted, program, rows, runtime, splits

Split = Iterable[Example] | None


def posed(given: Program, *parts: Split, metric: object = ExactMatch("label")) -> tuple[Problem, int]:
    """The problem of train, val and confirm, and how many requests posing it has sent."""
    model, seen = counted(hinted)
    named: dict[str, Split] = dict(zip(("train", "val", "confirm"), parts, strict=True))
    found = pose(given, named, as_metric(metric), Budget(calls=100), 0, runtime(model))
    return found, len(seen)


def test_a_sound_problem_costs_nothing_to_pose() -> None:
    found, calls = posed(program(instructions=Text()), *splits())
    assert (len(found.train), len(found.val), len(found.confirm), calls) == (40, 48, 48, 0)


@pytest.mark.parametrize(
    ("train", "val", "confirm", "names"),
    [
        (rows(20), rows(20, 10), rows(20, 100), "train and val"),
        (rows(20), rows(20, 100), rows(20, 5), "train and confirm"),
        (rows(20), rows(20, 100), rows(20, 119), "val and confirm"),
    ],
)
def test_splits_that_overlap_are_refused(train: Dataset, val: Dataset, confirm: Dataset, names: str) -> None:
    with pytest.raises(DataError, match=rf"(10|15|1) examples are in both {names}.*split"):
        posed(program(instructions=Text()), train, val, confirm)


def test_a_program_without_variables_is_refused_with_what_to_write() -> None:
    with pytest.raises(VariableError, match=r"no variables.*instructions=Text\(\)"):
        posed(program(), *splits())


@pytest.mark.parametrize("sizes", [(10, 7, 20), (10, 20, 7)])
def test_a_split_too_small_to_compare_on_is_refused(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(DataError, match="split has 7 examples; a comparison needs at least 8"):
        posed(program(instructions=Text()), *splits(*sizes))


def test_without_confirm_half_of_val_is_set_aside_and_said() -> None:
    train, val, _ = splits(val=40)
    found, _ = posed(program(instructions=Text()), train, val, None)
    assert (len(found.val), len(found.confirm)) == (20, 20)
    assert not {item.id for item in found.val} & {item.id for item in found.confirm}
    assert found.notes == ("no confirm split was named, so 20 val examples were set aside for it",)


def test_without_confirm_a_small_val_is_refused() -> None:
    train, val, _ = splits(val=15)
    with pytest.raises(DataError, match=r"val has 15 examples.*at least 16.*confirm="):
        posed(program(instructions=Text()), train, val, None)


def test_a_row_without_an_input_is_named() -> None:
    train, val, confirm = splits()
    bad = Example.of({"label": "red", "texts": "x"}, id="odd")
    with pytest.raises(DataError, match=r"val, example odd \(number \d+\): no field 'text'"):
        posed(program(instructions=Text()), train, [*val, bad], confirm)


def test_a_metric_of_a_field_that_is_not_there_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'label'"):
        posed(program(instructions=Text()), *splits(), metric=ExactMatch("lable"))


def test_repeated_rows_count_once_and_are_said() -> None:
    train, val, confirm = splits()
    found, _ = posed(program(instructions=Text()), [*train, *train], val, confirm)
    assert len(found.train) == 40
    assert found.notes == ("train: 40 of 80 rows repeat another row and are counted once",)


@pytest.mark.parametrize(
    "given",
    [
        program(adapter=Choice("chat", "xlm"), temperature=Float(0, 1)),
        Program(
            name="colours",
            pipeline=(
                choose(
                    predict(Colour),
                    chain_of_thought(Colour, adapter=Choice("json", "chatt")),
                    name="label",
                ),
            ),
        ),
    ],
)
def test_a_name_misspelt_in_any_branch_is_found_before_the_first_call(given: Program) -> None:
    with pytest.raises(DspexError, match=r"did you mean '(xml|chat)'"):
        posed(given, *splits())


def test_branches_meet_every_value_of_every_choice() -> None:
    inner = choose(predict(Colour, adapter=Choice("chat", "json")), chain_of_thought(Colour), name="label")
    found = {tuple(sorted(item.values.items())) for item in branches(Program(name="c", pipeline=(inner,)))}
    assert found == {
        (("label.choice", "predict"), ("label.predict.adapter", "chat")),
        (("label.choice", "predict"), ("label.predict.adapter", "json")),
        (("label.choice", "chain_of_thought"),),
    }


def test_a_constraint_does_not_hide_a_branch() -> None:
    step = predict(Colour, name="label", adapter=Choice("chat", "xlm"), temperature=Float(0, 1))
    given = Program(name="c", pipeline=(step,), constraints=("label.adapter == 'chat'",))
    with pytest.raises(DspexError, match="did you mean 'xml'"):
        posed(given, *splits())


@given(st.lists(st.sampled_from("abc"), min_size=9, max_size=60), st.integers(0, 5))
def test_every_prefix_has_about_the_share_of_each_outcome(labels: list[str], seed: int) -> None:
    examples = [Example.of({"n": number, "label": label}) for number, label in enumerate(labels)]
    found = outcome_order(examples, ["label"], seed)
    assert Counter(item.id for item in found) == Counter(item.id for item in examples)
    whole = Counter(labels)
    for size in range(1, len(found) + 1):
        for label, count in Counter(str(item["label"]) for item in found[:size]).items():
            assert abs(count - size * whole[label] / len(labels)) <= 2


def test_the_order_depends_on_the_seed_and_not_on_the_order_given() -> None:
    examples = list(rows(30))
    orders = {
        tuple(item.id for item in outcome_order(given, ["label"], seed))
        for seed in (0, 1)
        for given in (examples, examples[::-1])
    }
    assert len(orders) == 2
