"""Names of files that a command writes."""

from __future__ import annotations

from pathlib import Path

from dspex.cli.saving import claimed


def test_two_that_end_at_once_are_saved_under_two_names(tmp_path: Path) -> None:
    source = tmp_path / "route.yaml"
    names = ["route-optimized.yaml", "route-optimized-2.yaml", "route-optimized-3.yaml"]
    assert [claimed(source).name for _ in names] == names
