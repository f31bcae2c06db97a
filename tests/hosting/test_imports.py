"""Functions of a script and modules of a package, found by name in the process of a run and in its workers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.hosting.oracle import ROOT

MODULES = """
import dspex


@dspex.module("shout")
async def shout(context):
    return {"loud": str(context.inputs["label"]).upper()}
"""
SCRIPT = '''
import dspex
import modules
from dspex import Budget, Dataset, Input, Isolation, Output, Program, SearchOptions, Signature, Step, Text
from dspex.kernel.shorthand import as_schema


class Colour(Signature):
    """Name the colour."""

    text: str = Input()
    label: str = Output()


def tidy(loud: str) -> str:
    return loud.strip()


draft = dspex.predict(Colour, name="draft", instructions=Text())
loud = Step(name="loud", module="shout", signature=as_schema("label -> loud"))
program = Program(name="tidied", pipeline=[draft, loud, dspex.function(tidy, "loud -> final", name="tidy")])


def metric(example, state):
    return float(example["label"].upper() == state["final"])


if __name__ == "__main__":
    rows = [{"text": f"row {number}", "label": "red" if number % 2 else "blue"} for number in range(50)]
    train, val, _ = Dataset.of(rows).split(0.2, 0.7, 0.1)
    runtime = dspex.runtime(model="embedded/lexical")
    how = {"budget": Budget(calls=80), "isolation": Isolation(timeout=30), "options": SearchOptions(concurrency=2)}
    with dspex.start(program, train, val, metric, runtime, **how) as run:
        status = run.wait()
        print(status.state, status.reason, status.evaluations > 16)
'''


def test_a_script_with_functions_and_modules_is_searched_in_other_processes(tmp_path: Path) -> None:
    """In that of its run, and in those of its evaluations."""
    (tmp_path / "modules.py").write_text(MODULES)
    (tmp_path / "job.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "job.py"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.stdout.startswith("completed "), (done.stdout, done.stderr)
    assert done.stdout.rstrip().endswith("True")
