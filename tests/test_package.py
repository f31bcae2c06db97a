"""What the package promises as a whole: metadata, locked dependencies, import contracts, scripts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import grimp
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements.lock", "requirements-dev.lock")
CORE = {"aiohttp", "alembic", "json-repair", "pydantic", "pyyaml", "sqlalchemy", "typer"}


def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in requirements}


def pins(lock: str) -> dict[str, str]:
    """The packages of a lock file and their exact versions."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", text, flags=re.MULTILINE))


def test_installed_version_is_the_declared_one() -> None:
    assert metadata.version("dspex") == pyproject()["project"]["version"]


def test_type_information_ships() -> None:
    assert (resources.files("dspex") / "py.typed").is_file()


def test_core_dependencies_are_exactly_the_expected_ones() -> None:
    assert names(pyproject()["project"]["dependencies"]) == CORE


def test_command_and_extras_lead_somewhere() -> None:
    (command,) = metadata.entry_points(group="console_scripts", name="dspex")
    assert callable(command.load())
    assert set(pyproject()["project"]["optional-dependencies"]) == {"optimize", "parquet", "postgres"}


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_names_no_address_and_hashes_every_package(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert not re.findall(r"://|--(?:extra-)?index|--find-links|file:|^/", text, flags=re.MULTILINE)
    blocks = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert blocks  # a package that has two versions, by interpreter, has two
    assert [block for block in blocks if not re.match(r"[A-Za-z0-9._-]+==\S+ ", block)] == []
    assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_locks_hold_what_is_declared_and_agree() -> None:
    core, dev = pins("requirements.lock"), pins("requirements-dev.lock")
    assert core.items() <= dev.items()
    groups: dict[str, list[str]] = pyproject()["dependency-groups"]
    declared = [*pyproject()["project"]["dependencies"], *groups["build"]]
    for lines, lock in ((declared, core), ([*declared, *groups["dev"]], dev)):
        for requirement in map(Requirement, lines):
            assert lock[canonicalize_name(requirement.name)] in requirement.specifier


def test_import_contracts_are_kept() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    outcome = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout[-4000:] + outcome.stderr
    assert " 0 broken" in outcome.stdout


def test_no_module_imports_itself_by_any_chain() -> None:
    graph = grimp.build_graph("dspex", cache_dir=None, exclude_type_checking_imports=True)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    TopologicalSorter(imports).prepare()


def test_kernel_imports_the_standard_library_and_pydantic_alone() -> None:
    graph = grimp.build_graph("dspex", cache_dir=None, include_external_packages=True)
    kernel = {"dspex.errors", "dspex.kernel", *graph.find_descendants("dspex.kernel")}
    roots = {found.partition(".")[0] for module in kernel for found in graph.find_modules_directly_imported_by(module)}
    assert roots - sys.stdlib_module_names == {"dspex", "pydantic", "pydantic_core"}


def test_every_folder_of_code_is_a_package() -> None:
    folders = {path.parent for path in (ROOT / "src" / "dspex").rglob("*.py")}
    assert [folder for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


@pytest.mark.parametrize(("shell", "script"), [("bash", ".ci/run"), ("sh", ".ci/environment")])
def test_scripts_are_executable_and_parse(shell: str, script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)
    subprocess.run([shell, "-n", script], cwd=ROOT, check=True)
