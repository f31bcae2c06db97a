"""`dspex init`: a small working project that measures and improves at once, offline, and shows where to change what."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from dspex.cli.options import Json
from dspex.cli.output import emit, note, say
from dspex.cli.tickets import program, rows
from dspex.configuration.files import dumps
from dspex.configuration.settings import FILE_NAME
from dspex.errors import ConfigurationError

ROWS, TEST = 240, 120
"""Of the tickets: enough for a search to show something, and others to test it with."""

_CONFIGURATION = """\
# What `dspex` works on when its line names nothing. Paths start at this folder.
[project]
program = "program.yaml"
data = "data.jsonl"
metric = "metric.py:score"
"""

_MODEL = """\
# The model of steps that name none. This one needs no network and no key: it learns from the prompt alone, by lexical
# similarity, so that everything here can be tried for nothing. It is no language model; for real work name one:
#   model = "openai/gpt-5-mini"        and put the key in the environment: export OPENAI_API_KEY=...
#   model = "ollama/qwen3:8b"          a server on this machine; no key
# `dspex models` lists providers and says which keys are set. Any other server that speaks the same language:
#   [providers.mine]
#   base_url = "http://127.0.0.1:8000/v1"
#   key_env = "MINE_API_KEY"           the variable with the key; "" where the server needs none
model = "embedded/lexical"

# Answers are remembered here, so that the same question is never paid for twice.
cache = ".dspex/calls.db"

"""

_METRIC = '''\
"""How good an answer is. The command calls `score` for every row; dspex.toml names it."""

from dspex import Example, Score, State

FIELDS = ("team", "urgency")


def score(example: Example, state: State) -> Score:
    """The share of the fields that are right. The feedback in words is what a search learns from."""
    wrong = [name for name in FIELDS if state.get(name) != example[name]]
    feedback = [f"{name}: expected {example[name]!r}, got {state.get(name)!r}" for name in wrong]
    return Score(1 - len(wrong) / len(FIELDS), "; ".join(feedback) or None)
'''

_README = """\
# A DSPEx project

Support tickets to a company that sells home-network routers: which team should answer, and how soon?

    dspex show                              # the program: its fields, its steps, what may vary
    dspex run --input ticket="My invoice shows last year's price"
    dspex eval                              # how good it is, with an interval and its worst answers
    dspex optimize                          # search for a better one; writes program-optimized.yaml
    dspex diff program.yaml program-optimized.yaml
    dspex compare program.yaml program-optimized.yaml test.jsonl

| file | what |
| --- | --- |
| `program.yaml` | the program: fields, steps, and the variables a search may set |
| `data.jsonl` | {count} tickets with the right answers, one JSON object a line |
| `test.jsonl` | {test} more, which no search sees, to judge what it found |
| `metric.py` | what counts as a good answer |
| `dspex.toml` | which model, and which of these files |

Make it yours: put your rows in `data.jsonl`, your fields in `program.yaml`, your idea of a good answer in `metric.py`,
and your model in `dspex.toml`. In continuous integration, `dspex eval --min-score 0.8` fails when the program gets
worse.
"""


def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write it.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
    json: Json = False,
) -> None:
    """Write a small working project: a program, data, a metric, dspex.toml and a README."""
    files = dict(_files())
    present = [name for name in files if (folder / name).exists()]
    if present and not force:
        raise ConfigurationError(
            f"{folder.resolve()}: {', '.join(present)} {'is' if len(present) == 1 else 'are'} already there; name "
            "another folder, or give --force to overwrite"
        )
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"{folder}: this is a file; name a folder")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    if json:
        emit({"folder": str(folder.resolve()), "files": sorted(files)})
        return
    note(f"wrote {', '.join(files)} to {folder.resolve()}")
    say("What to type next:")
    if folder.resolve() != Path.cwd():
        say(f"  cd {folder}")
    say("  dspex eval        how good the program is")
    say("  dspex optimize    make it better")


def _files() -> Iterator[tuple[str, str]]:
    lines = [jsonlib.dumps(row, ensure_ascii=False) + "\n" for row in rows()]
    yield "program.yaml", dumps(program(), yaml=True)
    yield "data.jsonl", "".join(lines[:ROWS])
    yield "test.jsonl", "".join(lines[ROWS : ROWS + TEST])
    yield "metric.py", _METRIC
    yield FILE_NAME, _MODEL + _CONFIGURATION
    yield "README.md", _README.format(count=ROWS, test=TEST)
    yield ".gitignore", ".dspex/\n"
