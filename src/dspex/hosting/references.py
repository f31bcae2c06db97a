"""Users' code named as data: by import path or by file, so that another process finds the same."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from dspex.errors import ConfigurationError
from dspex.hosting.specification import Reference

_PREFIX = "_dspex_file_"
"""Modules loaded by file are kept under this name, so that a script's `if __name__ == "__main__"` does not run."""


_importing: ContextVar[str] = ContextVar("dspex_importing", default="")


def check_not_importing() -> None:
    """Raises ConfigurationError while a user's script is imported for what it defines: it must not do its work again.

    Without this, a script that starts a run would start another in the process of that run, and so on.
    """
    if script := _importing.get():
        raise ConfigurationError(
            f"{script} does its work as soon as it is imported, and the process of a run imports it for the functions "
            'it defines; put that work under `if __name__ == "__main__":`'
        )


class OnlyInMemoryError(ConfigurationError):
    """Something that lives in this process only, so that no other can carry the run."""


def refer(value: Callable[..., Any], what: str) -> Reference:
    """A name for `value` that another process can resolve.

    Raises OnlyInMemoryError for lambdas, local functions, bound methods and what was typed at a prompt.
    """
    target = inspect.unwrap(value)
    name = getattr(target, "__qualname__", "")
    if not name or "<" in name or inspect.ismethod(target) or not hasattr(target, "__module__"):
        shown = name or type(value).__name__
        raise OnlyInMemoryError(
            f"{what} {shown!r} lives only in this process: another cannot find it by name; "
            "define it at the top level of a module or script, or run the optimization here"
        )
    module = str(target.__module__)
    file = _file_of(module)
    if file is None:
        raise OnlyInMemoryError(
            f"{what} {name!r} was typed into this session, not written in a file; "
            "put it in a module, or run the optimization here"
        )
    if module == "__main__" or not _importable(module):
        return Reference(file=str(file), name=name)
    return Reference(module=module, name=name, folder=_folder_of(module, file))


def resolve(reference: Reference, what: str) -> Any:
    """What `refer` named. Raises ConfigurationError saying what could not be found where."""
    try:
        module = _loaded(reference)
    except Exception as error:
        place = reference.file or reference.module
        raise ConfigurationError(f"{what}: {place} cannot be imported: {type(error).__name__}: {error}") from error
    value: Any = module
    for part in reference.name.split("."):
        value = getattr(value, part, None)
        if value is None:
            place = reference.file or reference.module
            raise ConfigurationError(
                f"{what}: {place} has no {reference.name!r} when it is imported; define it at its top level, outside "
                '`if __name__ == "__main__":`, and resume the run, or fork it'
            )
    return value


def fingerprint(reference: Reference | None) -> str:
    """Hash of the file that holds the code; empty where there is none."""
    if reference is None:
        return ""
    path = Path(reference.file) if reference.file else _file_of(reference.module or "")
    if path is None or not path.exists():
        return ""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _loaded(reference: Reference) -> ModuleType:
    if reference.module is not None:
        if reference.folder and reference.folder not in sys.path:
            sys.path.insert(0, reference.folder)
        return importlib.import_module(reference.module)
    path = Path(cast("str", reference.file))
    main = sys.modules.get("__main__")
    if main is not None and getattr(main, "__file__", None) and Path(cast("str", main.__file__)).resolve() == path:
        return main
    name = _PREFIX + hashlib.sha256(str(path).encode()).hexdigest()[:12]
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    outer = _importing.set(str(path))
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        _importing.reset(outer)
    return module


def _file_of(module: str) -> Path | None:
    found = sys.modules.get(module)
    if found is None and module and module != "__main__":
        spec = importlib.util.find_spec(module)
        origin = None if spec is None else spec.origin
    else:
        origin = getattr(found, "__file__", None)
    path = Path(origin).resolve() if origin else None
    return path if path is not None and path.exists() else None


def _importable(module: str) -> bool:
    """Whether an import finds the module by its name. One loaded from a path may have a name that no import finds."""
    top = module.partition(".")[0]
    return any(finder.find_spec(top, None) is not None for finder in sys.meta_path)


def _folder_of(module: str, file: Path) -> str:
    """The folder that has to be on sys.path for `module` to be found at `file`."""
    depth = module.count(".") + (1 if file.name == "__init__.py" else 0)
    return str(file.parents[depth])
