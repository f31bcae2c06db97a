"""Data files: what reads, and what each kind of garbage is refused as, with its line."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from dspex.errors import DataError
from dspex.evaluation.dataset import Dataset

EXPECTED = [{"ticket": "Ich möchte zahlen", "team": "billing"}, {"ticket": 'a "b", c\nd', "team": "technical"}]


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"ticket": "Ich möchte zahlen", "team": "billing"}\n\n'
                    '{"ticket": "a \\"b\\", c\\nd", "team": "technical"}'),
        ("bom.jsonl", '\ufeff{"ticket": "Ich möchte zahlen", "team": "billing"}\r\n'
                      '{"ticket": "a \\"b\\", c\\nd", "team": "technical"}\r\n'),
        ("a.json", '[{"ticket": "Ich möchte zahlen", "team": "billing"},\n'
                   '{"ticket": "a \\"b\\", c\\nd", "team": "technical"}]'),
        ("a.csv", 'ticket,team\nIch möchte zahlen,billing\n"a ""b"", c\nd",technical\n'),
        ("bom.csv", '\ufeffticket, team\r\nIch möchte zahlen,billing\r\n"a ""b"", c\nd",technical\r\n'),
        ("semicolon.csv", 'ticket;team\nIch möchte zahlen;billing\n"a ""b"", c\nd";technical\n'),
        ("a.tsv", 'ticket\tteam\nIch möchte zahlen\tbilling\n"a ""b"", c\nd"\ttechnical\n'),
    ],
)  # fmt: skip
def test_every_format_reads_the_same_rows(tmp_path: Path, name: str, content: str) -> None:
    assert [dict(item.values) for item in Dataset.load(written(tmp_path, name, content))] == EXPECTED


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    arrow: Any = import_module("pyarrow")  # it ships no type information
    import_module("pyarrow.parquet").write_table(
        arrow.Table.from_pylist([*EXPECTED, {"ticket": None, "team": "x"}]), path
    )
    assert [dict(item.values) for item in Dataset.load(path)] == [*EXPECTED, {"ticket": None, "team": "x"}]


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(DataError, match=r"dspex\[parquet\]"):
        Dataset.load(written(tmp_path, "a.parquet", b"PAR1"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", "", "a.jsonl: there are no rows in it"),
        ("a.jsonl", "\n \n", "a.jsonl: there are no rows in it"),
        ("a.jsonl", '{"a": 1}\n{"a": 2\n', "a.jsonl:2: not JSON"),
        ("a.jsonl", '{"a": 1}\n\n[1]\n', "a.jsonl:3: a row is a JSON object of field to value, not [1]"),
        ("a.jsonl", '{"a": 1}\nnull\n', "a.jsonl:2: a row is a JSON object"),
        ("a.jsonl", '{"a": NaN}\n', "a.jsonl:1: not JSON: NaN is no JSON number"),
        ("a.jsonl", '{"a": 1e999}\n', "a.jsonl:1: field 'a': inf cannot be written as JSON"),
        ("a.jsonl", b'{"a": "x"}\n{"a": "\xe9"}\n', "a.jsonl:2: not UTF-8 text (byte 0xe9 at column 8)"),
        ("a.jsonl", b"\x00\x01\x02\xff", "a.jsonl:1: not UTF-8"),
        ("a.jsonl", "[" * 100_000, "a.jsonl:1: not JSON"),
        ("a.json", "", "a.json: there are no rows in it"),
        ("a.json", "[]", "a.json: there are no rows in it"),
        ("a.json", '{"data": [{"a": 1}]}', "a.json: holds a JSON object; rows are an array of objects"),
        ("a.json", '"text"', "holds a JSON str"),
        ("a.json", '[{"a": 1},\n{"a": }]', "a.json:2: not JSON"),
        ("a.json", '[{"a": 1}, 3]', "a.json, item 2: a row is a JSON object"),
        ("a.csv", "", "a.csv: there are no rows in it"),
        ("a.csv", "ticket,team\n", "a.csv: there are no rows in it"),
        ("a.csv", "ticket,team\nx,billing\ny\n", "a.csv:3: 1 cells in a row of a table with 2 columns"),
        ("a.csv", 'ticket,team\n"x\ny",billing\nz,a,b\n', "a.csv:4: 3 cells"),
        ("a.csv", "ticket,ticket\nx,y\n", "a.csv:1: two columns are named 'ticket'"),
        ("a.csv", "ticket,\nx,y\n", "a.csv:1: column 2 has no name"),
        ("a.csv", 'ticket,team\n"x,y\n', "a.csv:2: not a row of a table"),
        ("a.parquet", b"not parquet at all", "a.parquet: not a Parquet file"),
        ("a.parquet", b"", "a.parquet: not a Parquet file"),
        ("a.txt", "x", "ends in .jsonl, .ndjson, .json, .csv, .tsv, .parquet; this one ends in '.txt'"),
        ("data", "x", "this one ends in 'nothing'"),
    ],
)
def test_garbage_is_one_error_that_says_where(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError) as caught:
        Dataset.load(written(tmp_path, name, content))
    assert message in str(caught.value)


def test_a_missing_file_suggests_the_nearest_and_a_folder_is_refused(tmp_path: Path) -> None:
    written(tmp_path, "tickets.jsonl", "{}")
    with pytest.raises(DataError, match=r"no such file; did you mean 'tickets\.jsonl'\?"):
        Dataset.load(tmp_path / "ticket.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(DataError, match="this is a folder"):
        Dataset.load(tmp_path / "folder.jsonl")


def test_a_long_cell_reads_and_the_limit_of_others_is_left_alone(tmp_path: Path) -> None:
    import csv  # noqa: PLC0415 - to look at its setting

    before = csv.field_size_limit()
    path = written(tmp_path, "a.csv", f"text\n{'x' * 300_000}\n")
    assert len(Dataset.load(path)[0]["text"]) == 300_000
    assert csv.field_size_limit() == before


@pytest.mark.parametrize("bad", ["x", "1.5"])
def test_a_cell_that_does_not_convert_is_named_with_its_line(tmp_path: Path, bad: str) -> None:
    options: dict[str, Any] = {"types": {"urgency": int}, "rename": {"prio": "urgency"}}
    assert Dataset.load(written(tmp_path, "a.csv", "prio\n3\n"), **options)[0]["urgency"] == 3
    with pytest.raises(DataError, match=rf"a\.csv:3: field 'urgency' is '{bad}'"):
        Dataset.load(written(tmp_path, "a.csv", f"prio\n3\n{bad}\n"), **options)
