"""The exceptions DSPEx raises on purpose, as one tree.

    DspexError
    ├── ConfigurationError        something you wrote does not hold; nothing was paid for
    │   ├── UnknownNameError      a name that does not exist, with the nearest that does
    │   ├── SignatureError        a signature or a type that cannot be described to a model
    │   ├── VariableError         a variable, a constraint or a value outside its space
    │   ├── ProgramError          a program that does not hold together, or a file of one
    │   ├── DataError             a data file or an example, with the line
    │   └── MetricError           a metric that is not callable or returns nonsense
    ├── InputError                inputs of a call that do not fit the program
    ├── LMError                   a model call that brought no answer
    │   ├── AuthenticationError   key missing, wrong or without permission (fatal)
    │   ├── RequestError          the server refuses the request as it is (fatal)
    │   ├── RateLimitError        429 (transient)
    │   ├── LMTimeoutError        no answer in time (transient)
    │   ├── ConnectionFailedError no connection, or one that broke (transient)
    │   ├── ServerError           5xx, or a body that is not an answer (transient)
    │   ├── ContextLengthError    the prompt does not fit the model (the candidate's own fault)
    │   └── RefusedError          the provider's filter declined (the candidate's own fault)
    ├── AnswerError               a model answered, but not what the signature asks for
    │   ├── ParseError            no rung of the ladder could read it
    │   └── CutOffError           the answer stops in the middle
    ├── BudgetExceededError       the next call does not fit the budget; it was not sent
    ├── SharedBudgetError         the next call does not fit what all runs of the store may spend; it was not sent
    ├── OutageError               every call fails; stopped with the results so far kept
    └── StepError                 a step failed; carries the state so far (kernel/state.py)

Two attributes say what a failure means for whoever counts scores: `transient` (trying again may help) and
`infrastructure` (it says nothing about the program, so it must never be booked as a score of 0).
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class DspexError(Exception):
    """Root of the tree. `infrastructure` failures leave an example unevaluated; the others score 0."""

    transient: bool = False
    infrastructure: bool = False
    fatal: bool = False
    """Whoever keeps the books cannot go on, so it is never written down as what came of an example."""
    partial: object = None
    """What was done by then, where this stopped work in the middle: an `Evaluation`."""


class ConfigurationError(DspexError):
    """Something written by the user does not hold. Raised before anything is paid for."""

    infrastructure = True


class UnknownNameError(ConfigurationError):
    """A name that does not exist; the message lists the nearest and the known ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str], where: str = "") -> None:
        self.kind, self.name, self.known, self.where = kind, name, tuple(known), where
        super().__init__(f"unknown {kind} {name!r}{f' in {where}' if where else ''}{suggestion(name, self.known)}")


class SignatureError(ConfigurationError):
    """A signature that cannot be built, or a type that cannot be described to a model."""


class VariableError(ConfigurationError):
    """A variable, a constraint, or a value outside the space; all problems in one message."""


class ProgramError(ConfigurationError):
    """A program that does not hold together, or a file that is not one."""


class DataError(ConfigurationError):
    """Data that cannot be read; names the file and the line."""


class MetricError(ConfigurationError):
    """A metric that is not callable, or that returns something that is not a score."""


class InputError(DspexError):
    """Inputs that do not fit the program: missing, unknown or of the wrong type."""


class LMError(DspexError):
    """A model call that brought no usable answer.

    `retry_after` is in seconds, where the server said so. `billed`: the server may have worked for it all the same, so
    what was reserved for the attempt counts as spent.
    """

    infrastructure = True

    def __init__(self, message: str, *, retry_after: float | None = None, billed: bool = False) -> None:
        super().__init__(message)
        self.retry_after, self.billed = retry_after, billed


class AuthenticationError(LMError):
    """The key is missing, wrong or lacks permission. Trying again cannot help."""


class RequestError(LMError):
    """The server refuses the request as it is (4xx). Trying again cannot help."""


class RateLimitError(LMError):
    """The server asks to slow down (429)."""

    transient = True


class LMTimeoutError(LMError):
    """No answer within the time allowed."""

    transient = True


class ConnectionFailedError(LMError):
    """No connection, or one that broke before the whole answer was there."""

    transient = True


class ServerError(LMError):
    """The server failed (5xx) or sent a body that is not an answer."""

    transient = True


class ContextLengthError(LMError):
    """The prompt does not fit the model: the program's own doing, so it counts as a wrong answer."""

    infrastructure = False


class RefusedError(LMError):
    """The provider's filter declined to answer: counts as a wrong answer."""

    infrastructure = False


class AnswerError(DspexError):
    """A model answered, but not what the signature asks for. Scores 0, with the reason kept."""


class ParseError(AnswerError):
    """No rung of the ladder could read the answer. `problems` names each field and what is wrong with it."""

    def __init__(self, message: str, *, problems: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class CutOffError(AnswerError):
    """The answer stops in the middle (finish reason `length`, or unbalanced text); it is never accepted."""


class BudgetExceededError(DspexError):
    """The next call does not fit the budget. It was not sent."""

    infrastructure = True


class SharedBudgetError(DspexError):
    """The next call does not fit what all runs of the store may spend together. It was not sent; the run pauses.

    Unlike its own budget's end, which a search plans with, this one's depends on others: so it decides nothing.
    """

    infrastructure = True
    fatal = True


class OutageError(DspexError):
    """Every call has failed for a while; the work stopped with all results so far kept."""

    infrastructure = True


def suggestion(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` with the nearest of `known`, or what there is when nothing is near."""
    names = sorted(set(known))
    near = get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]!r}?"
    if not names:
        return "; there are none"
    shown = ", ".join(repr(item) for item in names[:12]) + (", ..." if len(names) > 12 else "")
    return f"; known: {shown}"
