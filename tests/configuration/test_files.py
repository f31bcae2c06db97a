"""Program files as people read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from dspex.configuration.files import load, save
from dspex.kernel.program import Program
from dspex.modules.prediction import predict

LINES = "Route a ticket.\n\n- billing: invoices\n- sales: questions"


@pytest.mark.parametrize(
    "text",
    [LINES, LINES + "\n", "  " + LINES, "ends with spaces  \n\tand a tab", "one\n# two: {3}", "a\u2028b\nc", "'\""],
)
def test_yaml_gives_back_every_text(tmp_path: Path, text: str) -> None:
    program = Program(name="p", pipeline=[predict("ticket -> team", name="route", instructions=text)])
    assert load(save(program, tmp_path / "p.yaml")) == program


def test_yaml_writes_a_text_of_several_lines_as_those_lines(tmp_path: Path) -> None:
    program = Program(name="p", pipeline=[predict("ticket -> team", name="route", instructions=LINES)])
    written = [line.strip() for line in save(program, tmp_path / "p.yaml").read_text(encoding="utf-8").splitlines()]
    for line in LINES.splitlines():
        assert line in written
