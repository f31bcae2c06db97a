"""What is checked before an evaluation pays for anything: data against program, metric against both."""

from __future__ import annotations

from dspex.errors import DataError, MetricError, suggestion
from dspex.evaluation.dataset import Dataset
from dspex.evaluation.scoring import ReadyMetric
from dspex.kernel.execution import Prepared
from dspex.kernel.signature import Example
from dspex.kernel.state import State
from dspex.kernel.validation import InvalidValuesError


def check_all(prepared: Prepared, data: Dataset, metric: ReadyMetric) -> None:
    """Every row has what the program and the metric need, in the right type. Raises DataError naming the row."""
    columns = metric.columns
    for number, example in enumerate(data, start=1):
        where = f"{data.name}, row {number}"
        _check_inputs(prepared, example, where)
        for column in columns:
            if column not in example.values:
                raise DataError(f"{where} (example {example.id}) has no field {column!r}, which {metric.name} needs")


async def check_first(
    prepared: Prepared, example: Example | None, metric: ReadyMetric, where: str = "the first example"
) -> None:
    """There is data, and its first row suits program and metric; `where` names that row in an error.

    Where the row has every output the program gives, a quick metric is tried on it as if it were the answer, so that
    one that returns nonsense is found before the first call.
    """
    if example is None:
        raise DataError("there are no examples to evaluate on")
    _check_inputs(prepared, example, where)
    try:
        metric.check(prepared.program, example)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    given = {item.name: example.values[item.name] for item in prepared.program.outputs if item.name in example.values}
    if metric.calling == "async" or len(given) < len(prepared.program.outputs):
        return
    try:
        await metric(example, State(_inputs_of(prepared, example), given))
    except MetricError as error:
        if error.__cause__ is None:  # nonsense returned; one that raises may miss what only a real answer has
            raise


def _check_inputs(prepared: Prepared, example: Example, where: str) -> None:
    for item in prepared.program.inputs:
        if not item.optional and item.name not in example.values:
            raise DataError(
                f"{where} (example {example.id}) has no field {item.name!r}, an input of program "
                f"{prepared.program.name!r}{suggestion(item.name, example.values)}; rename= renames when loading"
            )
    try:
        prepared.questions(_inputs_of(prepared, example))
    except InvalidValuesError as error:
        raise DataError(
            f"{where} (example {example.id}) does not fit program {prepared.program.name!r}: input {error}. "
            "Texts are converted when loading: Dataset.load(path, types={...})"
        ) from error


def _inputs_of(prepared: Prepared, example: Example) -> dict[str, object]:
    return {item.name: example.values[item.name] for item in prepared.program.inputs if item.name in example.values}
