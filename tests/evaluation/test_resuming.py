"""A process killed with -9 in the middle of an evaluation, and files cut anywhere: nothing is paid for twice."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dspex.clients.scripted import Answer
from dspex.evaluation.evaluator import evaluate
from dspex.evaluation.metrics import ExactMatch
from dspex.evaluation.result import load_evaluation
from dspex.kernel.ports import Request
from tests.evaluation.programs import number_in, right, route, runtime, tickets

ROOT = Path(__file__).resolve().parents[2]
KILLED = """
import asyncio, sys
from pathlib import Path
from dspex.evaluation.evaluator import evaluate
from dspex.evaluation.metrics import ExactMatch
from tests.evaluation.programs import number_in, right, route, runtime, tickets

path = Path(sys.argv[1])

async def script(request):
    if number_in(request) >= 25:
        while not path.exists() or path.read_bytes().count(b"\\n") < 26:
            await asyncio.sleep(0)
        print("all that was answered is in the file", flush=True)
        await asyncio.Event().wait()
    return right(request)

asyncio.run(evaluate(route(), tickets(60), ExactMatch("team"), runtime(script), sink=path, concurrency=4))
"""


def resumed(path: Path, count: int) -> tuple[list[int], float | None, int]:
    """Numbers asked for while carrying on, then score and scored of the whole."""
    asked: list[int] = []

    def script(request: Request) -> Answer:
        asked.append(number_in(request))
        return right(request)

    found = asyncio.run(evaluate(route(), tickets(count), ExactMatch("team"), runtime(script), resume=path))
    assert load_evaluation(path).scored == found.scored == len(list(found.rows()))
    assert len({row.example for row in found.rows()}) == found.scored
    return sorted(asked), found.score, found.scored


def test_killed_and_carried_on(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    command = [sys.executable, "-c", KILLED, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "all that was answered is in the file\n"
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    assert load_evaluation(path).scored == 25
    assert resumed(path, 60) == (list(range(25, 60)), 1.0, 60)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.55, 0.999])
def test_a_file_cut_anywhere_is_carried_on(tmp_path: Path, share: float) -> None:
    path = tmp_path / "rows.jsonl"
    asyncio.run(evaluate(route(), tickets(20), ExactMatch("team"), runtime(), sink=path, concurrency=1))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    kept = max(0, path.read_bytes().count(b"\n") - 1)
    assert resumed(path, 20) == (list(range(kept, 20)), 1.0, 20)


def test_a_file_of_something_else_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no line feed here")
    with pytest.raises(Exception, match="not a file of evaluation rows"):
        resumed(path, 3)
    assert path.read_text() == "no line feed here"
