"""What a command line means: its arguments, and where it says nothing, what dspex.toml says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dspex.blocking import blocking
from dspex.configuration.files import load
from dspex.configuration.settings import FILE_NAME, Resolved, resolve
from dspex.errors import ConfigurationError, DataError, ProgramError, suggestion
from dspex.hosting import stores
from dspex.hosting.stores import REFERENCE, store_of
from dspex.kernel.program import Program

stored_program = blocking(stores.stored_program)


@dataclass(frozen=True, slots=True)
class Project:
    """The settings in force, and the folder its paths start at."""

    resolved: Resolved
    folder: Path

    @classmethod
    def here(cls, arguments: Mapping[str, Any] | None = None) -> Project:
        """The project of the working directory; `arguments` are settings given on the command line."""
        resolved = resolve(arguments)
        origin = resolved.origins["project"]
        return cls(resolved, Path.cwd() if origin == "default" else Path(origin).parent)

    def program_path(self, given: Path | None) -> Path:
        """The program's file. Raises ConfigurationError where none is named, ProgramError where there is none."""
        path = self._path(given, self.resolved.settings.project.program)
        if path is None:
            raise ConfigurationError(
                f"no program named: give its file, or write {setting_line('program', 'program.yaml')}"
            )
        return _present(path, ProgramError, "program file", (".json", ".yaml", ".yml"))

    @property
    def store(self) -> str:
        """Where its runs and stored programs are."""
        return store_of(self.resolved.settings.store)

    def reference(self, given: Path | None) -> str | None:
        """The stored program that is meant, as `name` or `name@version`; None: a file is meant."""
        text = self.resolved.settings.project.program if given is None else str(given)
        if text is None or not REFERENCE.fullmatch(text) or (self.folder / text).exists() or Path(text).exists():
            return None
        return text if "@" in text or "://" in self.store or Path(self.store).exists() else None

    def program(self, given: Path | None) -> Program:
        """The program, from its file or out of the store. Raises ProgramError, or UnknownNameError for a stored one."""
        reference = self.reference(given)
        return load(self.program_path(given)) if reference is None else stored_program(reference, self.store)

    def place(self, given: Path | None) -> str:
        """Where the program is, for people: its file, or its reference."""
        return self.reference(given) or str(self.program_path(given))

    def data_path(self, given: Path | None) -> Path:
        """The data's file. Raises ConfigurationError where none is named, DataError where there is none."""
        path = self._path(given, self.resolved.settings.project.data)
        if path is None:
            raise ConfigurationError("no data named: give a file, or write " + setting_line("data", "data.jsonl"))
        return _present(path, DataError, "data file", (".jsonl", ".csv", ".parquet"))

    def _path(self, given: Path | None, setting: str | None) -> Path | None:
        if given is not None:
            return given
        return None if setting is None else _short(self.folder / setting)


def setting_line(name: str, value: str) -> str:
    """How to name it in dspex.toml, for an error that says it is not named."""
    return f'{name} = "{value}" under [project] in {FILE_NAME}'


def _present(path: Path, kind: type[ConfigurationError], what: str, endings: tuple[str, ...]) -> Path:
    if path.is_file():
        return path
    if path.is_dir():
        raise kind(f"{path}: this is a folder, not a {what}")
    siblings = [item.name for item in path.parent.glob("*") if item.suffix in endings] if path.parent.is_dir() else []
    raise kind(f"{path}: there is no such {what}{suggestion(path.name, siblings) if siblings else ''}")


def _short(path: Path) -> Path:
    """Relative to the working directory where it is inside, as a user would write it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
