"""What is checked before an evaluation pays for anything: data against program, metric against both."""

from __future__ import annotations

from dspex.errors import DataError, InputError, MetricError, UnknownNameError
from dspex.evaluation.dataset import Dataset
from dspex.evaluation.scoring import ReadyMetric
from dspex.kernel.execution import Prepared, start
from dspex.kernel.signature import Example
from dspex.kernel.state import State


def check_all(prepared: Prepared, data: Dataset, metric: ReadyMetric) -> None:
    """Every row has what the program and the metric need, in the right type. Raises DataError, UnknownNameError."""
    columns = metric.columns
    for name in sorted(prepared.required):
        if name not in data.fields:
            raise UnknownNameError("field", name, data.fields, f"{data.name}, an input of {prepared.program.name!r},")
    for number, example in enumerate(data, start=1):
        where = f"{data.name}, row {number}"
        _check_inputs(prepared, example, where)
        for column in columns:
            if column not in example.values and number > 1:  # the first row is check_first's, which knows more
                raise DataError(f"{where} (example {example.id}) has no field {column!r}, which {metric.name} needs")


async def check_first(prepared: Prepared, example: Example | None, metric: ReadyMetric) -> None:
    """There is data, and its first row suits program and metric.

    Where the row has every output the program gives, a quick metric is tried on it as if it were the answer, so that
    one that returns nonsense is found before the first call.
    """
    if example is None:
        raise DataError("there are no examples to evaluate on")
    _check_inputs(prepared, example, "the first example")
    metric.check(prepared.program, example)
    given = {item.name: example.values[item.name] for item in prepared.program.outputs if item.name in example.values}
    if metric.calling == "async" or len(given) < len(prepared.program.outputs):
        return
    try:
        await metric(example, State(_inputs_of(prepared, example), given))
    except MetricError as error:
        if error.__cause__ is None:  # nonsense returned; one that raises may miss what only a real answer has
            raise


def _check_inputs(prepared: Prepared, example: Example, where: str) -> None:
    try:
        start(prepared, _inputs_of(prepared, example))
    except InputError as error:
        raise DataError(f"{where} (example {example.id}): {error}") from error


def _inputs_of(prepared: Prepared, example: Example) -> dict[str, object]:
    return {item.name: example.values[item.name] for item in prepared.program.inputs if item.name in example.values}
