"""The metrics that come with DSPEx, and the weighted sum of metrics of any kind."""

from __future__ import annotations

import math
import re
import unicodedata
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from dspex.errors import DataError, MetricError, UnknownNameError, suggestion
from dspex.evaluation.scoring import ReadyMetric, as_metric
from dspex.kernel.ports import NO_USAGE, Metric, Runtime, Score
from dspex.kernel.program import Program
from dspex.kernel.quick import quick
from dspex.kernel.signature import Example
from dspex.kernel.state import State

_PUNCTUATION = re.compile(r"[^\w\s]|_")
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_score = quick(Score)
_JSON_KINDS: Mapping[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int, float), "number": (int, float), "boolean": (bool,), "array": (list,),
    "object": (dict,),
}  # fmt: skip


@dataclass(frozen=True)
class FieldMetric(ABC):
    """Compares the answer's `field` with the example's; `expected` names the example's field if it is another one.

    A metric of one field is a subclass with `compare`. It runs in place, says what was expected where it gives less
    than 1, and is checked against program and data before a run.
    """

    field: str
    _: KW_ONLY
    expected: str | None = None
    inline: ClassVar[bool] = True

    def __call__(self, example: Example, state: State) -> Score:
        given, wanted = state.get(self.field), self.wanted(example)
        value = self.compare(given, wanted)
        return _score(value, None if value >= 1 else f"{self.field}: expected {_quoted(wanted)}, got {_quoted(given)}")

    @abstractmethod
    def compare(self, given: Any, wanted: Any) -> float:
        """How good `given` is where `wanted` was expected, in 0..1."""

    def wanted(self, example: Example) -> Any:
        """What the example expects. Raises DataError where its row has no such field."""
        column = self.expected or self.field
        if column not in example.values:
            raise DataError(
                f"example {example.id} has no field {column!r}, which metric {self.name} compares with"
                f"{suggestion(column, example.values)}; or name it: {type(self).__name__}({self.field!r}, expected=...)"
            )
        return example.values[column]

    def check(self, program: Program, example: Example) -> None:
        """Raises UnknownNameError or DataError where the field is not in the program's outputs or in the data."""
        known = [item.name for item in program.outputs]
        if self.field not in known:
            raise UnknownNameError("output", self.field, known, f"metric {self.name} of program {program.name!r}")
        self.wanted(example)

    @property
    def name(self) -> str:
        return f"{type(self).__name__}({self.field!r})"

    @property
    def columns(self) -> tuple[str, ...]:
        """The fields that every row must have."""
        return (self.expected or self.field,)


@dataclass(frozen=True)
class ExactMatch(FieldMetric):
    """1 where the answer's field equals the expected one as JSON (`true` is not 1, `1` is 1.0), else 0."""

    def compare(self, given: Any, wanted: Any) -> float:
        return float(given == wanted and isinstance(given, bool) is isinstance(wanted, bool))

    def check(self, program: Program, example: Example) -> None:
        """Also raises DataError where the data has a type that the program never gives, so that all would be 0."""
        super().check(program, example)
        wanted = self.wanted(example)
        output = next(item for item in program.outputs if item.name == self.field)
        kind = output.type.get("type")
        if isinstance(kind, str) and wanted is not None and not isinstance(wanted, _JSON_KINDS.get(kind, (object,))):
            column = self.columns[0]
            raise DataError(
                f"example {example.id}: {column!r} is {wanted!r}, a {type(wanted).__name__}, but the program gives "
                f"{self.field!r} as {kind}: they never match. Convert the data when loading it, as in "
                f"Dataset.load(path, types={{{column!r}: int}})"
            )


@dataclass(frozen=True)
class NormalizedMatch(FieldMetric):
    """1 where the texts are equal without letter case, punctuation, English articles and spacing (as SQuAD scores).

    Where the data has a list, any item of it will do.
    """

    def compare(self, given: Any, wanted: Any) -> float:
        ours = normalized(given)
        return float(any(ours == normalized(item) for item in _alternatives(wanted)))


@dataclass(frozen=True)
class TokenF1(FieldMetric):
    """Harmonic mean of precision and recall over normalized words (SQuAD); of a list in the data the best counts."""

    def compare(self, given: Any, wanted: Any) -> float:
        return max((token_f1(given, item) for item in _alternatives(wanted)), default=0.0)


@dataclass(frozen=True)
class Contains(FieldMetric):
    """The share of the expected texts (one, or a list) that occur in the answer, whatever the letter case."""

    case: bool = False
    """Whether letter case matters."""

    def compare(self, given: Any, wanted: Any) -> float:
        fold: Callable[[str], str] = str if self.case else str.casefold
        where, texts = fold(_text(given)), _alternatives(wanted)
        return sum(fold(_text(item)) in where for item in texts) / len(texts) if texts else 1.0


@dataclass(frozen=True)
class NumericTolerance(FieldMetric):
    """1 where the numbers differ by at most `absolute`, or by `relative` times the expected one. Reads number texts."""

    absolute: float = 0.0
    relative: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (("absolute", self.absolute), ("relative", self.relative)):
            if not (math.isfinite(value) and value >= 0):
                raise MetricError(f"metric {self.name}: {name} is {value!r}; give a number of 0 or more")

    def wanted(self, example: Example) -> Any:
        value = super().wanted(example)
        if (number := _number(value)) is None:
            raise DataError(f"example {example.id}: {self.columns[0]!r} is {value!r}, which is not a number")
        return number

    def compare(self, given: Any, wanted: Any) -> float:
        number = _number(given)
        return float(number is not None and abs(number - wanted) <= max(self.absolute, self.relative * abs(wanted)))


class Weighted:
    """The weighted mean of several metrics of any kind: `Weighted((ExactMatch("team"), 2), (polite, 1))`.

    Details hold each part's score by its name; the feedback is theirs together; what judges consume is counted.
    """

    def __init__(self, *parts: tuple[Metric, float], name: str | None = None) -> None:
        self._parts = tuple((as_metric(metric), weight) for metric, weight in parts)
        names = [metric.name for metric, _ in self._parts]
        if not parts:
            raise MetricError("Weighted() has no parts; give it pairs of (metric, weight)")
        if bad := next(
            ((n, w) for n, (_, w) in zip(names, parts, strict=True) if not (w > 0 and math.isfinite(w))), None
        ):
            raise MetricError(f"Weighted: the weight of {bad[0]} is {bad[1]!r}; give a number above 0")
        if twice := next((item for item in names if names.count(item) > 1), None):
            raise MetricError(f"Weighted has two parts named {twice!r}; name one otherwise, so that details can tell")
        self.name = name or f"Weighted({', '.join(names)})"

    @property
    def parts(self) -> tuple[tuple[ReadyMetric, float], ...]:
        """The metrics and their weights."""
        return self._parts

    @property
    def columns(self) -> tuple[str, ...]:
        """The fields that every row must have."""
        return tuple(dict.fromkeys(column for metric, _ in self._parts for column in metric.columns))

    @property
    def programs(self) -> tuple[Program, ...]:
        """What its judges run."""
        return tuple(program for metric, _ in self._parts for program in metric.programs)

    def bind(self, runtime: Runtime) -> Weighted:
        """The same with its judges bound to `runtime`."""
        return Weighted(*((as_metric(metric, runtime), weight) for metric, weight in self._parts), name=self.name)

    async def __call__(self, example: Example, state: State) -> Score:
        total, whole, usage = 0.0, 0.0, NO_USAGE
        feedback: list[str] = []
        details: dict[str, float] = {}
        for metric, weight in self._parts:
            score = await metric(example, state)
            total, whole, usage = total + weight * score.value, whole + weight, usage + score.usage
            details[metric.name] = score.value
            if score.feedback:
                feedback.append(score.feedback)
        return Score(min(1.0, total / whole), "\n".join(feedback) or None, details, usage)

    def check(self, program: Program, example: Example) -> None:
        """Raises what any of the parts finds."""
        for metric, _ in self._parts:
            metric.check(program, example)


def normalized(value: Any) -> str:
    """Text without letter case, punctuation, English articles and extra spacing; NFKC."""
    text = unicodedata.normalize("NFKC", _text(value)).casefold()
    return " ".join(_ARTICLES.sub(" ", _PUNCTUATION.sub(" ", text)).split())


def token_f1(given: Any, wanted: Any) -> float:
    """F1 of the normalized words of two texts, repeated words counted; two without words are equal."""
    ours, theirs = normalized(given).split(), normalized(wanted).split()
    if not ours or not theirs:
        return float(ours == theirs)
    return 2 * sum((Counter(ours) & Counter(theirs)).values()) / (len(ours) + len(theirs))


def _alternatives(wanted: Any) -> list[Any]:
    if isinstance(wanted, list):
        return [*wanted]
    return [wanted]


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _quoted(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:297]}..."
