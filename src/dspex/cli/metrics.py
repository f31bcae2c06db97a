"""From what is written on the command line or in dspex.toml to a metric: a built-in by name, or the user's function."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from dspex.cli.project import Project, setting_line
from dspex.errors import ConfigurationError, DspexError, MetricError, UnknownNameError, suggestion
from dspex.evaluation.judge import JUDGE_TOKENS, Judge
from dspex.evaluation.metrics import Contains, ExactMatch, NormalizedMatch, NumericTolerance, TokenF1, Weighted
from dspex.evaluation.scoring import as_metric

_USE = (
    "write exact:FIELD, normalized:FIELD, f1:FIELD, contains:FIELD, number:FIELD, or your own function as "
    "metric.py:function or package.module:function"
)


def metric_for(
    project: Project,
    given: Sequence[str],
    criteria: Sequence[str] = (),
    judge_model: str | None = None,
    judge_tokens: int = JUDGE_TOKENS,
) -> Any:
    """The metric named by --metric and --judge, or else by the project: the mean where there are several.

    Raises ConfigurationError where none is named, MetricError for what cannot be one.
    """
    parts: list[Any] = [
        Judge(text, model=judge_model, max_tokens=judge_tokens, name=f"Judge {number}")
        for number, text in enumerate(criteria, start=1)
    ]
    if judge_model is not None and not parts:
        raise ConfigurationError("--judge-model names the model of a judge: give its criteria with --judge TEXT")
    setting = project.resolved.settings.project.metric
    if given:
        parts.append(metric_of(given, Path.cwd()))
    elif not parts and setting is not None:
        parts.append(metric_of([setting], project.folder))
    if not parts:
        raise ConfigurationError(
            "no metric named: give --metric exact:FIELD or --metric metric.py:function, or write "
            + setting_line("metric", "exact:FIELD")
        )
    return parts[0] if len(parts) == 1 else Weighted(*((part, 1.0) for part in parts))


def metric_of(texts: Sequence[str], folder: Path) -> Any:
    """The metric these texts name together: the mean where there are several. Paths and modules start at `folder`.

    Raises MetricError or UnknownNameError with a suggestion. A function named here is the user's own code and is
    imported; nothing that a program or data file names ever is.
    """
    parts = [metric for text in texts for metric in _parts(text, folder)]
    if not parts:
        raise MetricError(f"no metric named; {_USE}")
    return parts[0] if len(parts) == 1 else Weighted(*((part, 1.0) for part in parts))


def _parts(text: str, folder: Path) -> list[Any]:
    head, colon, rest = text.strip().partition(":")
    if not colon or not head or not rest:
        hint = f" (a metric needs its fields: {head}:FIELD)" if head in _BUILTIN else ""
        raise MetricError(f"metric {text!r} does not read{hint}; {_USE}")
    if head in _BUILTIN:
        return [_BUILTIN[head](item.strip()) for item in rest.split(",") if item.strip()]
    metric = _function(head, rest, text, folder)
    as_metric(metric)  # says at once what cannot be a metric
    return [metric]


def _number(text: str) -> NumericTolerance:
    """`price`, `price=0.01` (absolute) or `price=5%` (relative)."""
    field, _, tolerance = (part.strip() for part in text.partition("="))
    try:
        if tolerance.endswith("%"):
            return NumericTolerance(field, relative=float(tolerance[:-1]) / 100)
        return NumericTolerance(field, absolute=float(tolerance or 0))
    except ValueError:
        raise MetricError(f"metric number:{text}: {tolerance!r} is no tolerance; write 0.01 or 5%") from None


_BUILTIN: Mapping[str, Callable[[str], Any]] = {
    "exact": ExactMatch, "normalized": NormalizedMatch, "f1": TokenF1, "contains": Contains, "number": _number,
}  # fmt: skip


def _function(place: str, name: str, text: str, folder: Path) -> Any:
    module = _imported(place, text, folder)
    if not hasattr(module, name):
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise UnknownNameError("function", name, known, f"metric {text!r}")
    return getattr(module, name)


def _imported(place: str, text: str, folder: Path) -> ModuleType:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        return _from_file(folder / place, text) if place.endswith(".py") else import_module(place)
    except DspexError:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and (place == error.name or place.startswith(f"{error.name}.")):
            raise _unknown(place, text, folder) from None
        raise MetricError(f"metric {text!r}: {place} imports {error.name!r}, which is not installed") from error
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        line = error.lineno if isinstance(error, SyntaxError) else frame.lineno
        where = Path(error.filename or place).name if isinstance(error, SyntaxError) else Path(frame.filename).name
        raise MetricError(
            f"metric {text!r}: importing {place} raised {type(error).__name__}: {error} ({where}, line {line})"
        ) from error


def _from_file(path: Path, text: str) -> ModuleType:
    if not path.is_file():
        near = suggestion(path.name, [item.name for item in path.parent.glob("*.py")])
        raise MetricError(f"metric {text!r}: there is no file {path}{near}")
    name = f"dspex_metric_{path.stem}"  # not its bare stem: a user's json.py must not stand in for another module
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise MetricError(f"metric {text!r}: {path} cannot be imported")
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _unknown(place: str, text: str, folder: Path) -> ConfigurationError:
    found = [item.stem for item in folder.glob("*.py")]
    known = [*_BUILTIN, *found]
    return MetricError(
        f"metric {text!r}: no built-in metric and no module {place!r} in {folder}{suggestion(place, known)}"
    )
