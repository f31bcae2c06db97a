"""DSPEx: language-model programs that are data, and the durable search that makes them better.

Names are imported when first used, so that `import dspex` stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dspex.blocking import evaluate as evaluate
    from dspex.blocking import run as run
    from dspex.clients.budget import Budget as Budget
    from dspex.clients.scripted import ScriptedLM as ScriptedLM
    from dspex.configuration.files import load as load
    from dspex.configuration.files import save as save
    from dspex.configuration.runtimes import runtime as runtime
    from dspex.durable import Run as Run
    from dspex.durable import Search as Search
    from dspex.durable import attach as attach
    from dspex.durable import current_performance as current_performance
    from dspex.durable import optimize as optimize
    from dspex.durable import resume as resume
    from dspex.durable import start as start
    from dspex.durable import stored_program as stored_program
    from dspex.errors import DspexError as DspexError
    from dspex.evaluation.comparison import compare as compare
    from dspex.evaluation.dataset import Dataset as Dataset
    from dspex.evaluation.judge import Judge as Judge
    from dspex.evaluation.metrics import (
        Contains as Contains,
    )
    from dspex.evaluation.metrics import (
        ExactMatch as ExactMatch,
    )
    from dspex.evaluation.metrics import (
        NormalizedMatch as NormalizedMatch,
    )
    from dspex.evaluation.metrics import (
        NumericTolerance as NumericTolerance,
    )
    from dspex.evaluation.metrics import (
        TokenF1 as TokenF1,
    )
    from dspex.evaluation.metrics import (
        Weighted as Weighted,
    )
    from dspex.hosting.asking import AsyncSearch as AsyncSearch
    from dspex.hosting.handle import Run as AsyncRun
    from dspex.hosting.isolation import Isolation as Isolation
    from dspex.hosting.searching import attach as aattach
    from dspex.hosting.searching import optimize as aoptimize
    from dspex.hosting.searching import resume as aresume
    from dspex.hosting.searching import start as astart
    from dspex.hosting.status import RunStatus as RunStatus
    from dspex.hosting.stores import current_performance as acurrent_performance
    from dspex.hosting.stores import evaluate as aevaluate
    from dspex.hosting.stores import run as arun
    from dspex.hosting.stores import stored_program as astored_program
    from dspex.kernel.difference import differences as diff
    from dspex.kernel.ports import Runtime as Runtime
    from dspex.kernel.ports import Score as Score
    from dspex.kernel.program import Program as Program
    from dspex.kernel.program import Step as Step
    from dspex.kernel.shorthand import signature as signature
    from dspex.kernel.signature import Example as Example
    from dspex.kernel.signature import Input as Input
    from dspex.kernel.signature import Output as Output
    from dspex.kernel.signature import Signature as Signature
    from dspex.kernel.state import State as State
    from dspex.kernel.state import StepError as StepError
    from dspex.kernel.variables import (
        Boolean as Boolean,
    )
    from dspex.kernel.variables import (
        Choice as Choice,
    )
    from dspex.kernel.variables import (
        Demos as Demos,
    )
    from dspex.kernel.variables import (
        Float as Float,
    )
    from dspex.kernel.variables import (
        Integer as Integer,
    )
    from dspex.kernel.variables import (
        Subset as Subset,
    )
    from dspex.kernel.variables import (
        Text as Text,
    )
    from dspex.modules.flow import call as call
    from dspex.modules.flow import choose as choose
    from dspex.modules.functions import function as function
    from dspex.modules.prediction import chain_of_thought as chain_of_thought
    from dspex.modules.prediction import predict as predict
    from dspex.modules.registry import module as module
    from dspex.optimization.options import SearchOptions as SearchOptions

__all__ = [
    "AsyncRun",
    "AsyncSearch",
    "Boolean",
    "Budget",
    "Choice",
    "Contains",
    "Dataset",
    "Demos",
    "DspexError",
    "ExactMatch",
    "Example",
    "Float",
    "Input",
    "Integer",
    "Isolation",
    "Judge",
    "NormalizedMatch",
    "NumericTolerance",
    "Output",
    "Program",
    "Run",
    "RunStatus",
    "Runtime",
    "Score",
    "ScriptedLM",
    "Search",
    "SearchOptions",
    "Signature",
    "State",
    "Step",
    "StepError",
    "Subset",
    "Text",
    "TokenF1",
    "Weighted",
    "aattach",
    "acurrent_performance",
    "aevaluate",
    "aoptimize",
    "aresume",
    "arun",
    "astart",
    "astored_program",
    "attach",
    "call",
    "chain_of_thought",
    "choose",
    "compare",
    "current_performance",
    "diff",
    "evaluate",
    "function",
    "load",
    "module",
    "optimize",
    "predict",
    "resume",
    "run",
    "runtime",
    "save",
    "signature",
    "start",
    "stored_program",
]

_PLACES = {
    "AsyncRun": "dspex.hosting.handle:Run",
    "AsyncSearch": "dspex.hosting.asking:AsyncSearch",
    "Boolean": "dspex.kernel.variables:Boolean",
    "Budget": "dspex.clients.budget:Budget",
    "Choice": "dspex.kernel.variables:Choice",
    "Contains": "dspex.evaluation.metrics:Contains",
    "Dataset": "dspex.evaluation.dataset:Dataset",
    "Demos": "dspex.kernel.variables:Demos",
    "DspexError": "dspex.errors:DspexError",
    "ExactMatch": "dspex.evaluation.metrics:ExactMatch",
    "Example": "dspex.kernel.signature:Example",
    "Float": "dspex.kernel.variables:Float",
    "Input": "dspex.kernel.signature:Input",
    "Integer": "dspex.kernel.variables:Integer",
    "Isolation": "dspex.hosting.isolation:Isolation",
    "Judge": "dspex.evaluation.judge:Judge",
    "NormalizedMatch": "dspex.evaluation.metrics:NormalizedMatch",
    "NumericTolerance": "dspex.evaluation.metrics:NumericTolerance",
    "Output": "dspex.kernel.signature:Output",
    "Program": "dspex.kernel.program:Program",
    "Run": "dspex.durable:Run",
    "RunStatus": "dspex.hosting.status:RunStatus",
    "Runtime": "dspex.kernel.ports:Runtime",
    "Score": "dspex.kernel.ports:Score",
    "ScriptedLM": "dspex.clients.scripted:ScriptedLM",
    "Search": "dspex.durable:Search",
    "SearchOptions": "dspex.optimization.options:SearchOptions",
    "Signature": "dspex.kernel.signature:Signature",
    "State": "dspex.kernel.state:State",
    "Step": "dspex.kernel.program:Step",
    "StepError": "dspex.kernel.state:StepError",
    "Subset": "dspex.kernel.variables:Subset",
    "Text": "dspex.kernel.variables:Text",
    "TokenF1": "dspex.evaluation.metrics:TokenF1",
    "Weighted": "dspex.evaluation.metrics:Weighted",
    "aattach": "dspex.hosting.searching:attach",
    "acurrent_performance": "dspex.hosting.stores:current_performance",
    "aevaluate": "dspex.hosting.stores:evaluate",
    "aoptimize": "dspex.hosting.searching:optimize",
    "aresume": "dspex.hosting.searching:resume",
    "arun": "dspex.hosting.stores:run",
    "astart": "dspex.hosting.searching:start",
    "astored_program": "dspex.hosting.stores:stored_program",
    "attach": "dspex.durable:attach",
    "call": "dspex.modules.flow:call",
    "chain_of_thought": "dspex.modules.prediction:chain_of_thought",
    "choose": "dspex.modules.flow:choose",
    "compare": "dspex.evaluation.comparison:compare",
    "current_performance": "dspex.durable:current_performance",
    "diff": "dspex.kernel.difference:differences",
    "evaluate": "dspex.blocking:evaluate",
    "function": "dspex.modules.functions:function",
    "load": "dspex.configuration.files:load",
    "module": "dspex.modules.registry:module",
    "optimize": "dspex.durable:optimize",
    "predict": "dspex.modules.prediction:predict",
    "resume": "dspex.durable:resume",
    "run": "dspex.blocking:run",
    "runtime": "dspex.configuration.runtimes:runtime",
    "save": "dspex.configuration.files:save",
    "signature": "dspex.kernel.shorthand:signature",
    "start": "dspex.durable:start",
    "stored_program": "dspex.durable:stored_program",
}
"""Where each public name lives; tests hold it to `__all__` and to what type checkers see."""


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'dspex' has no attribute {name!r}")
    module, _, attribute = place.partition(":")
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
