"""Exit codes of the command, and what an error says on its one line."""

from __future__ import annotations

import typer

from dspex.errors import AnswerError, BudgetExceededError, DspexError, LMError, OutageError, suggestion

OK = 0
GATE = 1
"""A gate failed: the score is below `--min-score`."""
USAGE = 2
"""Usage or configuration: nothing was paid for, or the user's own code failed."""
PROVIDER = 3
"""The provider, the key, or an answer of the model that cannot be used."""
BUDGET = 4
BROKEN = 70
"""A fault of DSPEx itself."""
INTERRUPTED = 130
UNREAD = 141
"""Whoever read the output has gone, as with `dspex eval | head -1`."""


def code_of(error: BaseException) -> int:
    """The exit code for an error that ends a command."""
    cause = cause_of(error)
    if isinstance(cause, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(cause, BudgetExceededError):
        return BUDGET
    if isinstance(cause, LMError | OutageError | AnswerError):
        return PROVIDER
    # A step's cause that is none of ours was raised by the user's code: his to mend, as a setting would be.
    known = isinstance(cause, DspexError | typer.TyperException | OSError) or cause is not error
    return USAGE if known else BROKEN


def cause_of(error: BaseException) -> BaseException:
    """What made a step fail; any other error as it is."""
    inner = getattr(error, "cause", None)
    return cause_of(inner) if isinstance(inner, BaseException) else error


def message_of(error: BaseException) -> str:
    """The error in one line."""
    if isinstance(error, typer.TyperException):
        return _usage(error)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, DspexError):
        return text
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror.lower()}" if error.filename else error.strerror
    return f"{type(error).__name__}: {text}"


def _usage(error: typer.TyperException) -> str:
    text = " ".join(error.format_message().split())
    context = getattr(error, "ctx", None)
    wrong = getattr(error, "option_name", None)
    if wrong is not None and context is not None and text.startswith("No such option"):
        known = [name for item in context.command.params for name in getattr(item, "opts", ()) if name[:2] == "--"]
        text = f"no option {wrong!r}{suggestion(wrong, [*known, '--help'])}"
    path = getattr(context, "command_path", "dspex")
    return f"{text} (try '{path} --help')" if not text.endswith("?") else text
