"""The protocols between the levels, and the records that cross them.

Each port states its contract: who may call it, from which threads, what it may raise. Implementations live higher up.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NotRequired, Protocol, TypedDict, runtime_checkable

from dspex.kernel.quick import quick

if TYPE_CHECKING:
    from dspex.kernel.program import Step
    from dspex.kernel.signature import Example, Schema
    from dspex.kernel.state import Record, State

JSON = Any
"""A JSON value: None, bool, int, float, str, list and dict of these."""
Settings = Mapping[str, JSON]
FinishReason = Literal["stop", "length", "tool_calls", "refused"]


class Message(TypedDict):
    """One message of a conversation, as every chat server takes it."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: NotRequired[list[dict[str, JSON]]]
    tool_call_id: NotRequired[str]


@dataclass(frozen=True, slots=True)
class Usage:
    """What calls consumed. `usd` is None where a price is unknown, which is not the same as 0."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = 0.0
    cached_calls: int = 0
    """Calls answered from memory; they are not in `calls` and cost nothing."""
    retries: int = 0
    """Attempts beyond the first that were sent for these calls."""
    saved_tokens: int = 0
    """Of calls answered from memory: what they took when they were bought. Not in the figures above."""
    saved_usd: float | None = 0.0

    def __add__(self, other: Usage) -> Usage:
        return _usage(
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            None if self.usd is None or other.usd is None else self.usd + other.usd,
            self.cached_calls + other.cached_calls,
            self.retries + other.retries,
            self.saved_tokens + other.saved_tokens,
            None if self.saved_usd is None or other.saved_usd is None else self.saved_usd + other.saved_usd,
        )


_usage = quick(Usage)
NO_USAGE = Usage()


@dataclass(frozen=True, slots=True)
class Request:
    """One whole question to a model: the identity of a call is (model, messages, settings, sample)."""

    model: str
    """`provider/name`, for example `openai/gpt-5-mini` or `embedded/lexical`."""
    messages: Sequence[Message]
    settings: Settings = field(default_factory=dict[str, JSON])
    """temperature, max_tokens, stop, response_format, tools ...: what goes on the wire beside the messages."""
    sample: int = 0
    """Which draw of the same question this is: another index is another call, the same index is the same call."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's answer to a `Request`, whole."""

    text: str
    finish_reason: FinishReason = "stop"
    usage: Usage = Usage(calls=1)
    model: str = ""
    """The model that answered, as the server names it."""
    tool_calls: tuple[Mapping[str, JSON], ...] = ()
    cached: bool = False
    """True where it came out of the call store and nothing was sent."""
    key: str = field(default="", compare=False)
    """Identity of the call in the call store; empty without one."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model's server offers beyond plain messages; an adapter asks before it uses any of it."""

    json_schema: bool = False
    """Answers can be constrained by a JSON Schema (`response_format`)."""
    json_object: bool = False
    tools: bool = False


@runtime_checkable
class LM(Protocol):
    """Completes messages.

    Contract: safe for concurrent calls on one event loop; owns its connections and closes them in `aclose`; raises
    only `LMError`s and `BudgetExceededError` for what goes wrong outside the program; never returns half an answer as
    a whole one; the same request with the same sample index may be answered from memory.
    """

    async def complete(self, request: Request) -> Completion: ...

    def capabilities(self, model: str) -> Capabilities: ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Parsed:
    """What an adapter read out of a completion."""

    values: dict[str, JSON]
    rung: str
    """The rung of the ladder that succeeded: `strict`, `scan`, `repair`, `coerce`."""
    notes: tuple[str, ...] = ()
    """What the rungs below strict had to do, in words."""


class Dialogue(Protocol):
    """An adapter bound to one signature, instructions and demonstrations; what does not change is precomputed.

    Contract: pure, no I/O, safe to share between calls.
    """

    settings: Settings
    """What the request needs on the wire for this format, for example `response_format`."""

    def render(self, inputs: Mapping[str, JSON]) -> list[Message]:
        """Messages for one call. The list is new, its leading messages may be shared and must not be changed."""
        ...

    def parse(self, completion: Completion) -> Parsed:
        """Values of every output field. Raises ParseError or CutOffError."""
        ...

    def reask(self, messages: list[Message], completion: Completion, error: Exception) -> list[Message]:
        """The conversation that shows the model its answer and what is wrong with it."""
        ...


class Adapter(Protocol):
    """Turns a signature into messages and an answer into values. Contract: stateless and pure."""

    name: str

    def bind(
        self,
        signature: Schema,
        instructions: str,
        demos: Sequence[Mapping[str, JSON]],
        capabilities: Capabilities,
    ) -> Dialogue: ...


class CallStore(Protocol):
    """The one memory of calls: key of a whole request (with its sample index) to its answer.

    Contract: used from one event loop; never blocks it for longer than a point lookup; the first `put` of a key wins;
    what `put` has returned from is there for every later `get`. Holds no key and no header of a request.
    """

    async def get(self, key: str) -> Completion | None:
        """The answer as it was bought; None where there is none."""
        ...

    async def begin(self, key: str, request: Request) -> Completion | None:
        """The answer as a caller should see it: marked as from memory, unless it is that caller's own to account for.

        None: the caller sends the request now; a journal has committed that by the time this returns.
        """
        ...

    async def put(self, key: str, request: Request, completion: Completion) -> None: ...

    async def abandon(self, key: str) -> None:
        """What was begun failed without an answer and without a bill."""
        ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Reservation:
    """What one attempt may cost at most, set aside before it is sent."""

    calls: int = 1
    tokens: int = 0
    usd: float = 0.0


class BudgetAccount(Protocol):
    """Holds what may be spent.

    Contract: `reserve` before every attempt, then exactly one of `settle` (it was answered, or may have been billed)
    and `release` (it certainly was not). Never lets the sum of settled and reserved pass the limit.
    """

    async def reserve(self, request: Request) -> Reservation:
        """Set aside the most this attempt can cost; waits while only what others have reserved stands in the way.

        Raises BudgetExceededError when it does not fit, ConfigurationError when the most it can cost is unknown.
        """
        ...

    def settle(self, reservation: Reservation, usage: Usage | None) -> None:
        """`usage` None: nobody knows, so all that was reserved counts."""
        ...

    def release(self, reservation: Reservation) -> None: ...


@dataclass(frozen=True, slots=True)
class Score:
    """A metric's verdict. `value` in 0..1; `feedback` says in words what was right or wrong, for proposers."""

    value: float
    feedback: str | None = None
    details: Mapping[str, float] = field(default_factory=dict[str, float])
    usage: Usage = NO_USAGE
    """What scoring itself consumed: a judge's own calls."""


class Metric(Protocol):
    """Scores one answer. May be a plain or an async function; plain ones of users run on threads.

    Returns a `Score`, a float in 0..1 or a bool. Raises nothing on a wrong answer.
    """

    def __call__(self, example: Example, state: State) -> Score | float | bool | Awaitable[Score | float | bool]: ...


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened. `kind` is dotted, for example `step.started`, `step.finished`, `call.retried`."""

    kind: str
    where: str
    """The path of the step, or the id of the thing it is about."""
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])


Observer = Callable[[Event], None]
"""Called on the event loop for every event; must be quick and must not raise."""


class StepContext(Protocol):
    """What a module sees of the step it performs. Valid for one call only."""

    @property
    def path(self) -> str:
        """`flow.draft`: the names from the pipeline down."""
        ...

    @property
    def step(self) -> Step: ...

    @property
    def options(self) -> Mapping[str, Any]:
        """Resolved: no variables left; those not set are absent."""
        ...

    @property
    def inputs(self) -> Mapping[str, JSON]: ...

    @property
    def runtime(self) -> Runtime: ...

    @property
    def sample(self) -> int: ...

    @property
    def memory(self) -> dict[Any, Any]:
        """Kept with the prepared step between calls, for what does not change per call (a bound adapter)."""
        ...

    @property
    def signature(self) -> Schema:
        """What this step takes and gives."""
        ...

    def record(self, record: Record) -> None:
        """Append to the history."""
        ...

    async def run(self, name: str, inputs: Mapping[str, JSON]) -> dict[str, JSON]:
        """Execute the sub-step `name`; its history is added to this one's. Returns its outputs."""
        ...


class Module(Protocol):
    """A registered implementation of a step. Contract: stateless; safe for concurrent calls; returns the outputs."""

    async def __call__(self, context: StepContext) -> Mapping[str, JSON]: ...


@dataclass(frozen=True, slots=True)
class ModuleSpec:
    """A module as the registry holds it."""

    name: str
    run: Module
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    """Option name to what it is, in words; any other option is an error with a suggestion."""
    calls_model: bool = False
    """Whether it takes `settings` options of the wire (temperature, max_tokens, model ...)."""
    pure: bool = True
    """Same inputs and same answers of models, same outputs, no side effects: only pure steps are replayed."""
    composite: bool = False
    """Whether it has sub-steps."""
    any_option: bool = False
    """Whether it takes options of any name, such as further arguments of a user's function; `check` judges them."""
    check: Callable[[Step, Mapping[str, Any], Runtime], None] | None = None
    """Called once with the resolved options before anything is paid for; raises ConfigurationError."""


class Registry(Protocol):
    """Names to modules. `get` raises UnknownNameError with a suggestion."""

    def get(self, name: str) -> ModuleSpec: ...

    def names(self) -> Sequence[str]: ...


@dataclass(frozen=True, eq=False)
class Runtime:
    """The ports a program runs with. A record, nothing more; build one with `dspex.runtime(...)`."""

    lm: LM
    model: str
    """The model of steps that name none."""
    adapters: Mapping[str, Adapter]
    modules: Registry
    adapter: str = "chat"
    observer: Observer | None = None
    spec: Mapping[str, JSON] | None = None
    """What it was built from, as JSON, so that another process can build the same; None: it holds live objects."""
    prepared: dict[Any, Any] = field(default_factory=dict[Any, Any], repr=False)
    """Programs already prepared for this runtime (see execution.prepare)."""
