"""Metrics as they are written on the command line: built-in ones by name, a user's function by file or module."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dspex.cli.metrics import metric_of
from dspex.errors import ConfigurationError
from dspex.evaluation.metrics import Contains, ExactMatch, NormalizedMatch, NumericTolerance, TokenF1, Weighted
from dspex.evaluation.scoring import name_of


@pytest.fixture(autouse=True)
def _own_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of a user's code goes on the path of the process; not on that of other tests."""
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.mark.parametrize(
    ("text", "metric"),
    [
        ("exact:team", ExactMatch("team")),
        ("normalized:answer", NormalizedMatch("answer")),
        ("f1:answer", TokenF1("answer")),
        ("contains:answer", Contains("answer")),
        ("number:price", NumericTolerance("price")),
        ("number:price=0.5", NumericTolerance("price", absolute=0.5)),
        ("number:price=5%", NumericTolerance("price", relative=0.05)),
    ],
)
def test_built_in_metrics_by_name(tmp_path: Path, text: str, metric: object) -> None:
    assert metric_of([text], tmp_path) == metric


def test_several_fields_or_metrics_are_averaged(tmp_path: Path) -> None:
    both = metric_of(["exact:team,urgency", "f1:reply"], tmp_path)
    assert isinstance(both, Weighted)
    assert both.columns == ("team", "urgency", "reply")


def test_a_function_of_a_file_and_of_a_module(tmp_path: Path) -> None:
    folder = tmp_path / "scores_of_mine"
    folder.mkdir()
    (folder / "__init__.py").write_text("", encoding="utf-8")
    (folder / "strict.py").write_text("def score(example, state):\n    return 1.0\n", encoding="utf-8")
    (tmp_path / "json.py").write_text("def score(example, state):\n    return 0.0\n", encoding="utf-8")
    assert name_of(metric_of(["scores_of_mine.strict:score"], tmp_path)) == "score"
    own = metric_of(["json.py:score"], tmp_path)
    assert own.__code__.co_filename == str(tmp_path / "json.py")


FILE = """
from dspex import Score
LIMIT = 3
def score(example, state): return 1.0
def three(example, state, trace): return 1.0
class Metric: pass
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("exact", "a metric needs its fields: exact:FIELD"),
        ("exat:team", "did you mean 'exact'?"),
        ("team", "does not read"),
        ("number:price=close", "'close' is no tolerance"),
        ("mtric.py:score", "did you mean 'metric.py'?"),
        ("metric.py:scor", "did you mean 'score'?"),
        ("metric.py:LIMIT", "a metric is a function of (example, state)"),
        ("metric.py:three", "takes (example, state, trace)"),
        ("metric.py:Metric", "is a class"),
        ("broken.py:score", "NameError: name 'undefined_name' is not defined (broken.py, line 2)"),
        ("unread.py:score", "(unread.py, line 1)"),
        ("needs.py:score", "'not_installed_anywhere'"),
        ("no_such_module_here:score", "no built-in metric and no module"),
    ],
)
def test_what_cannot_be_a_metric_is_one_clear_error(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "metric.py").write_text(FILE, encoding="utf-8")
    (tmp_path / "broken.py").write_text("x = 1\nundefined_name\n", encoding="utf-8")
    (tmp_path / "unread.py").write_text("def f(:\n", encoding="utf-8")
    (tmp_path / "needs.py").write_text("import not_installed_anywhere\n", encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        metric_of([text], tmp_path)
    assert said in str(caught.value)
