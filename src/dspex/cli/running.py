"""`dspex run`: one program, once."""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from time import perf_counter
from typing import Annotated, Any

import typer

from dspex.blocking import run as run_program
from dspex.cli.opening import opened
from dspex.cli.options import Json, Model, Program, Store
from dspex.cli.output import emit, note, say, spent
from dspex.cli.project import Project
from dspex.errors import InputError, UnknownNameError
from dspex.kernel.canonical import is_mapping
from dspex.kernel.ports import JSON
from dspex.kernel.signature import FieldSchema
from dspex.kernel.state import Record, State


def run(  # noqa: PLR0913 - the options of the command
    program: Program = None,
    inputs: Annotated[
        list[str], typer.Option("--input", "-i", metavar="NAME=VALUE", help="One input.", show_default=False)
    ] = [],  # noqa: B006 - typer copies it
    json_input: Annotated[
        str | None,
        typer.Option("--json-input", metavar="OBJECT", help="All inputs as JSON; - reads stdin.", show_default=False),
    ] = None,
    settings: Annotated[
        list[str],
        typer.Option(
            "--set", metavar="PATH=VALUE", help="An option for this run: step.temperature=0.5.", show_default=False
        ),
    ] = [],  # noqa: B006
    model: Model = None,
    history: Annotated[bool, typer.Option("--history", help="Show every message to and from the model.")] = False,
    store: Store = None,
    json: Json = False,
) -> None:
    """Run a program once and print its outputs."""
    project = Project.here({"model": model, "store": store})
    found, reference = project.program(program), project.reference(program)
    given = {**_object(json_input), **_named(inputs, {item.name: item for item in found.inputs})}
    overrides = {path: _value(text) for path, text in _pairs(settings, "--set")}
    with opened(project.resolved) as ready:
        began = perf_counter()
        state = run_program(reference or found, given, ready, overrides=overrides, store=project.store)
        seconds = perf_counter() - began
    if history:
        for record in state.history:
            note(_conversation(record))
    if json:
        emit(_facts(state, seconds, history))
        return
    for name, value in state.values.items():
        say(f"{name}: {value if isinstance(value, str) else jsonlib.dumps(value, ensure_ascii=False)}")
    note(spent(state.usage, seconds), colour="dim")


def _object(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    source = sys.stdin.read() if text == "-" else text
    try:
        found: Any = jsonlib.loads(source)
    except jsonlib.JSONDecodeError as error:
        raise InputError(f"--json-input: not JSON: {error.msg} at character {error.pos + 1}") from None
    if not is_mapping(found):
        raise InputError(f"--json-input: inputs are an object of name and value, this is {type(found).__name__}")
    return dict(found)


def _named(texts: Iterable[str], fields: Mapping[str, FieldSchema]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, text in _pairs(texts, "--input"):
        if name not in fields:
            raise InputError(str(UnknownNameError("input", name, fields, "--input")))
        found[name] = text if _takes_text(fields[name].type) else _json(name, text)
    return found


def _pairs(texts: Iterable[str], option: str) -> list[tuple[str, str]]:
    pairs = [text.partition("=") for text in texts]
    for name, sign, _ in pairs:
        if not sign or not name:
            raise InputError(f"{option} {name!r}: write NAME=VALUE, as in {option} ticket='where is my parcel?'")
    return [(name.strip(), text) for name, _, text in pairs]


def _takes_text(schema: Mapping[str, Any]) -> bool:
    """Whether a text stands for itself: no other reading of the field's type would take it."""
    if "enum" in schema:
        return all(isinstance(item, str) for item in schema["enum"])
    parts = schema.get("anyOf") or schema.get("oneOf")
    return any(_takes_text(part) for part in parts) if parts else schema.get("type") == "string"


def _json(name: str, text: str) -> JSON:
    try:
        return jsonlib.loads(text)
    except jsonlib.JSONDecodeError:
        raise InputError(f"--input {name}: this field is no text; write its value as JSON, not {text!r}") from None


def _value(text: str) -> JSON:
    """JSON where it reads as JSON, else the text."""
    try:
        return jsonlib.loads(text)
    except jsonlib.JSONDecodeError:
        return text


def _facts(state: State, seconds: float, history: bool) -> dict[str, Any]:
    usage = state.usage
    facts: dict[str, Any] = {
        "outputs": dict(state.values),
        "calls": usage.calls,
        "cached_calls": usage.cached_calls,
        "retries": usage.retries,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "usd": usage.usd,
        "seconds": round(seconds, 6),
    }
    if history:
        facts["history"] = [
            {
                "step": item.step,
                "module": item.module,
                "model": item.model,
                "settings": dict(item.settings),
                "messages": list(item.messages),
                "completion": item.completion,
                "rung": item.rung,
                "notes": list(item.notes),
                "error": item.error,
            }
            for item in state.history
        ]
    return facts


def _conversation(record: Record) -> str:
    """One model call as it was sent and answered."""
    head = f"== {record.step} ({record.module})" + (f", {record.model}" if record.model else "")
    said: Sequence[str] = [f"-- {item['role']}\n{item['content']}" for item in record.messages]
    answer = [f"-- answer ({record.rung or 'not read'})\n{record.completion}"] if record.completion is not None else []
    error = [f"-- error\n{record.error}"] if record.error else []
    return "\n".join([head, *said, *answer, *error])
