"""The public names: pinned, each where it says, each seen by type checkers."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import dspex


def mirrored() -> dict[str, str]:
    """What type checkers see: names imported under TYPE_CHECKING, with their places."""
    tree = ast.parse(Path(dspex.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_all_is_sorted_and_pinned() -> None:
    assert list(dspex.__all__) == [
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


def test_type_checkers_see_the_same_names_in_the_same_places() -> None:
    assert mirrored() == vars(dspex)["_PLACES"]
    assert set(vars(dspex)["_PLACES"]) == set(dspex.__all__)


@pytest.mark.parametrize("name", dspex.__all__)
def test_every_name_is_there_and_described(name: str) -> None:
    value = getattr(dspex, name)
    assert value.__doc__
    assert name in dir(dspex)


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="Programme"):
        dspex.__getattr__("Programme")


def test_importing_and_defining_a_program_loads_nothing_heavy() -> None:
    code = (
        "import sys, dspex\n"
        "class Route(dspex.Signature):\n"
        "    ticket: str = dspex.Input()\n"
        "    team: str = dspex.Output()\n"
        "dspex.Program(name='p', pipeline=[dspex.predict(Route, temperature=dspex.Float(0, 1))])\n"
        "heavy = {'aiohttp', 'asyncio', 'sqlalchemy', 'alembic', 'typer', 'rich', 'yaml', 'json_repair', 'sqlite3'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
