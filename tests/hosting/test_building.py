"""What of a search another process finds in the store: a strategy named by import path, its objectives; no object."""

from __future__ import annotations

import asyncio
import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from dspex.evaluation.judge import Judge
from dspex.evaluation.metrics import ExactMatch
from dspex.hosting import preparing
from dspex.hosting.building import Live, build
from dspex.hosting.metrics import metric_of, metric_spec
from dspex.hosting.references import OnlyInMemoryError
from dspex.hosting.specification import RunSpec
from dspex.kernel.variables import Float
from dspex.optimization.objectives import Objectives
from dspex.optimization.proposers.sampling import RandomDraws
from dspex.optimization.strategies.portfolio import Portfolio
from dspex.storage import runs
from tests.optimization.simulators import cool, program, runtime, splits

SOURCE = """from dspex.optimization.proposers.sampling import RandomDraws


class Dicing(RandomDraws):
    name = "dicing"
"""


async def prepared(store: Path, strategy: Any, **how: Any) -> preparing.Prepared:
    train, val, confirm = splits()
    return await preparing.prepare(
        program(temperature=Float(0, 1)), train, val, ExactMatch("label"), runtime(cool), confirm=confirm,
        strategy=strategy, store=store, **how,
    )  # fmt: skip


def test_another_process_finds_the_module_by_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dicing_mine.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    importlib.invalidate_caches()

    async def main() -> str:
        made = await prepared(tmp_path / "a.db", "dicing_mine:Dicing")
        row = await made.run.database.read(lambda c: runs.find(c, made.run.id))
        spec = RunSpec.model_validate(row.spec)
        assert not any("strategy" in reason for reason in spec.live)
        # As another process would find it: nothing imported, and the folder on no path.
        monkeypatch.setattr(sys, "path", [item for item in sys.path if item != str(tmp_path)])
        del sys.modules["dicing_mine"]
        built = await build(made.run.database, spec, spec.budget, Live(runtime=runtime(cool)))
        forked = await made.run.fork(strategy="dicing_mine:Dicing", seed=5)
        row = await made.run.database.read(lambda c: runs.find(c, forked.id))
        assert any(item.module == "dicing_mine" for item in RunSpec.model_validate(row.spec).imports)
        await made.run.aclose()
        return built.strategy.name

    assert asyncio.run(main()) == "dicing"


def test_an_object_stays_in_its_process(tmp_path: Path) -> None:
    async def main() -> None:
        made = await prepared(tmp_path / "a.db", Portfolio("mine", (RandomDraws(),)))
        with pytest.raises(OnlyInMemoryError, match="the strategy 'mine' is an object of this process"):
            await made.detached()
        await made.run.aclose()

    asyncio.run(main())


def test_objectives_are_part_of_what_is_kept(tmp_path: Path) -> None:
    async def main() -> Objectives:
        how = {"objectives": ("score", "tokens"), "constraints": ("latency < 9",)}
        made = await prepared(tmp_path / "a.db", "random", **how)
        row = await made.run.database.read(lambda c: runs.find(c, made.run.id))
        spec = RunSpec.model_validate(row.spec)
        built = await build(made.run.database, spec, spec.budget, Live(runtime=runtime(cool)))
        await made.run.aclose()
        return built.problem.objectives

    assert asyncio.run(main()) == Objectives(of=("score", "tokens"), constraints=("latency < 9",))


def test_a_judge_keeps_its_limit_and_one_of_an_earlier_version_has_none() -> None:
    spec = metric_spec(Judge("right", max_tokens=300))
    assert metric_of(spec).max_tokens == 300
    earlier = {name: value for name, value in spec.arguments.items() if name != "max_tokens"}
    assert metric_of(spec.model_copy(update={"arguments": earlier})).max_tokens is None
