"""Names of files that a command writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from dspex.cli import saving
from dspex.cli.saving import claimed, save_beside
from tests.optimization.simulators import program


def test_two_that_end_at_once_are_saved_under_two_names(tmp_path: Path) -> None:
    source = tmp_path / "route.yaml"
    names = ["route-optimized.yaml", "route-optimized-2.yaml", "route-optimized-3.yaml"]
    assert [claimed(source).name for _ in names] == names


def test_what_cannot_be_saved_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> Path:
        raise OSError(28, "no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(saving, "save", full)
        with pytest.raises(OSError, match="no space"):
            save_beside(program(), tmp_path / "route.yaml")
    assert list(tmp_path.iterdir()) == []
    assert save_beside(program(), tmp_path / "route.yaml").name == "route-optimized.yaml"
