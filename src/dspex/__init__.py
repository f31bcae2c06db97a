"""DSPEx: language-model programs that are data, and the durable search that makes them better.

Names are imported when first used, so that `import dspex` stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_NAMES = {
    "Boolean": "dspex.kernel.variables",
    "Budget": "dspex.clients.budget",
    "Choice": "dspex.kernel.variables",
    "Contains": "dspex.evaluation.metrics",
    "Dataset": "dspex.evaluation.dataset",
    "Demos": "dspex.kernel.variables",
    "DspexError": "dspex.errors",
    "ExactMatch": "dspex.evaluation.metrics",
    "Example": "dspex.kernel.signature",
    "Float": "dspex.kernel.variables",
    "Input": "dspex.kernel.signature",
    "Integer": "dspex.kernel.variables",
    "Judge": "dspex.evaluation.judge",
    "NormalizedMatch": "dspex.evaluation.metrics",
    "NumericTolerance": "dspex.evaluation.metrics",
    "Output": "dspex.kernel.signature",
    "Program": "dspex.kernel.program",
    "Runtime": "dspex.kernel.ports",
    "Score": "dspex.kernel.ports",
    "ScriptedLM": "dspex.clients.scripted",
    "Signature": "dspex.kernel.signature",
    "State": "dspex.kernel.state",
    "Step": "dspex.kernel.program",
    "StepError": "dspex.kernel.state",
    "Subset": "dspex.kernel.variables",
    "Text": "dspex.kernel.variables",
    "TokenF1": "dspex.evaluation.metrics",
    "Weighted": "dspex.evaluation.metrics",
    "aevaluate": ("dspex.evaluation.evaluator", "evaluate"),
    "aoptimize": ("dspex.optimization.runner", "optimize"),
    "arun": ("dspex.kernel.execution", "execute"),
    "call": "dspex.modules.flow",
    "chain_of_thought": "dspex.modules.prediction",
    "choose": "dspex.modules.flow",
    "compare": "dspex.evaluation.comparison",
    "diff": ("dspex.kernel.difference", "differences"),
    "evaluate": "dspex.blocking",
    "function": "dspex.modules.functions",
    "load": "dspex.configuration.files",
    "module": "dspex.modules.registry",
    "optimize": "dspex.blocking",
    "predict": "dspex.modules.prediction",
    "run": "dspex.blocking",
    "runtime": "dspex.configuration.runtimes",
    "save": "dspex.configuration.files",
    "signature": "dspex.kernel.shorthand",
}

if TYPE_CHECKING:
    from dspex.kernel.shorthand import signature as signature

__all__ = sorted(_NAMES)


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'dspex' has no attribute {name!r}")
    place = _NAMES[name]
    module, attribute = place if isinstance(place, tuple) else (place, name)
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "errors"]
