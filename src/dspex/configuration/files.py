"""Program files: JSON and YAML, written whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from dspex.errors import ProgramError
from dspex.kernel.program import Program

_YAML = {".yaml", ".yml"}


def save(program: Program, path: str | Path) -> Path:
    """Write `program` to a `.json`, `.yaml` or `.yml` file; returns the path.

    The file appears whole or not at all: it is written beside its place, synced, and moved there.
    Raises ProgramError for another ending, OSError for what the file system refuses.
    """
    target = Path(path)
    text = dumps(program, yaml=_is_yaml(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return target


def load(path: str | Path) -> Program:
    """The program in a file. Raises ProgramError saying what is wrong and where; nothing in the file is executed."""
    source = Path(path)
    yaml = _is_yaml(source)
    try:
        text = source.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ProgramError(f"{source}: there is no such program file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ProgramError(f"{source}: cannot be read: {error}") from error
    return Program.from_data(_parsed(text, yaml, str(source)), str(source))


def dumps(program: Program, *, yaml: bool = False) -> str:
    """The program as the text of a file."""
    data = program.to_data()
    if not yaml:
        return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    import yaml as pyyaml  # noqa: PLC0415 - only for those who keep programs in YAML

    class Dumper(pyyaml.SafeDumper):
        """Writes a text of several lines as the lines that it has, so that it can be read and edited."""

    def written(_: pyyaml.SafeDumper, value: str) -> pyyaml.ScalarNode:
        return pyyaml.ScalarNode("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Dumper.add_representer(str, written)
    text: str = pyyaml.dump(data, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text


def _is_yaml(path: Path) -> bool:
    ending = path.suffix.lower()
    if ending not in {".json", *_YAML}:
        raise ProgramError(f"{path}: a program file ends in .json, .yaml or .yml")
    return ending in _YAML


def _parsed(text: str, yaml: bool, where: str) -> Any:
    if not yaml:
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise ProgramError(f"{where}:{error.lineno}: not JSON: {error.msg}") from error
    import yaml as pyyaml  # noqa: PLC0415 - only for those who keep programs in YAML

    try:
        return pyyaml.safe_load(text)
    except pyyaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        raise ProgramError(f"{where}{line}: not YAML: {getattr(error, 'problem', None) or error}") from error
