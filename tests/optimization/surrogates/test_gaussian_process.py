"""The additive process: what its blocks say is alike, what it predicts, and that nothing depends on threads."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
import pytest

from dspex.kernel.space import Configuration
from dspex.kernel.variables import Choice, Demos, Float, Subset, Text
from dspex.modules.flow import choose
from dspex.modules.prediction import chain_of_thought, predict
from dspex.optimization.surrogates.additive import AdditiveProcess
from dspex.optimization.surrogates.blocks import Block, blocks_of
from dspex.optimization.surrogates.gate import gate
from dspex.optimization.surrogates.gaussian_process import Additive, fitted
from dspex.optimization.surrogates.ports import Observation, Point
from tests.optimization.simulators import Colour, program

WHOLE = program(
    instructions=Text(),
    demos=Demos(3),
    temperature=Float(0, 1),
    max_tokens=Choice(10, 20, 40),
    stop=Subset(["a", "b", "c"]),
)
SPACE = WHOLE.space


def points(*given: dict[str, Any], parents: Sequence[tuple[int, ...]] = ()) -> list[Point]:
    made = [WHOLE.configured(values).values for values in given]
    return [Point(values, parents[place] if place < len(parents) else ()) for place, values in enumerate(made)]


def block(name: str, blocks: Sequence[Block]) -> Any:
    return next(item.distance for item in blocks if item.name == name)


def test_a_text_is_as_far_from_another_as_there_were_rewritings_between_them() -> None:
    path = "label.instructions"
    made = points(
        {path: "a"}, {path: "b"}, {path: "c"}, {path: "d"}, {path: "c", "label.temperature": 0.5},
        parents=[(), (0,), (1,), (), (3,)],
    )  # fmt: skip
    apart = block(f"{path}/lineage", blocks_of(SPACE, made))
    assert apart[0].tolist() == [0, 1, 2, math.inf, 2]
    assert apart[2, 4] == 0, "the same text, wherever it came from"


def test_a_child_is_predicted_near_its_parent() -> None:
    path = "label.instructions"
    names = ["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "child of p7", "child of p0", "stranger"]
    made = points(*({path: name} for name in names), parents=[()] * 8 + [(7,), (0,), ()])
    values = [-1.0] * 4 + [1.0] * 4
    # Texts of the same features, so that only lineage tells them apart.
    found = fitted(blocks_of(SPACE, made), values, [0.05] * 8, 1.0)
    child, other, stranger = found.mean[8:]
    assert child > 0.3 > 0 > -0.3 > other
    assert abs(stranger) < 0.3
    assert found.covariance[8, 8] < found.covariance[10, 10]


def test_inactive_variables_are_alike_and_unlike_active_ones() -> None:
    step = choose(predict(Colour, temperature=Float(0, 1)), chain_of_thought(Colour), name="label")
    space = program(step).space
    made: list[Configuration] = [
        {"label.choice": "predict", "label.predict.temperature": 0.0},
        {"label.choice": "predict", "label.predict.temperature": 1.0},
        {"label.choice": "chain_of_thought"},
        {"label.choice": "chain_of_thought"},
    ]
    apart = block("label.predict.temperature", blocks_of(space, [Point(item) for item in made]))
    assert apart[2, 3] == 0
    assert apart[0, 1] == 1
    assert math.isinf(apart[0, 2])


def test_demonstrations_and_subsets_are_near_by_what_they_share() -> None:
    shown = [{"text": f"sample {number} weighs 1 grams", "label": "red"} for number in range(4)]
    made = points(
        {"label.demos": shown[:2], "label.stop": ["a"]}, {"label.demos": shown[1:3], "label.stop": ["a", "b"]},
        {"label.demos": shown[2:], "label.stop": ["c"]},
    )  # fmt: skip
    blocks = blocks_of(SPACE, made)
    demos, stop = (block(f"{path}/members", blocks) for path in ("label.demos", "label.stop"))
    assert demos[0].tolist() == pytest.approx([0, 2 / 3, 1])
    assert stop[0].tolist() == pytest.approx([0, 1 / 2, 1])


def test_what_does_not_differ_has_no_block() -> None:
    made = points({"label.temperature": 0.1}, {"label.temperature": 0.7})
    assert [item.name for item in blocks_of(SPACE, made)] == ["label.temperature"]
    assert AdditiveProcess().predict(SPACE, made[:1], [Observation(0.0, 1.0)], 1.0) is None


def test_the_slope_of_the_kernel_is_its_slope() -> None:
    rng = Random(0)
    made = [Point(SPACE.sample(rng, {"label.instructions": rng.choice("abc")}), (0,)) for _ in range(8)]
    blocks = blocks_of(SPACE, made)
    where = np.arange(8.0)[:, None]
    count = len(Additive(blocks, np.zeros(99)).shaped) + len(blocks)
    theta = np.array([rng.uniform(-1, 1) for _ in range(count)])
    _, slope = Additive(blocks, theta)(where, eval_gradient=True)
    for index in range(count):
        nudge = np.zeros(count)
        nudge[index] = 1e-5
        up, down = (Additive(blocks, theta + sign * nudge)(where) for sign in (1, -1))
        assert np.allclose((up - down) / 2e-5, slope[:, :, index], atol=1e-6)


def surface(kind: str, seed: int, count: int) -> tuple[list[Point], list[float]]:
    """Configurations and abilities: smooth in the variables, or of no form at all."""
    rng = Random(f"{kind}/{seed}")
    made = [Point(SPACE.sample(rng)) for _ in range(count)]

    def ability(values: Configuration) -> float:
        if kind == "hash":
            return rng.gauss(0, 0.6)
        level: float = math.cos(3 * values["label.temperature"]) + 0.02 * values["label.max_tokens"]
        return level

    return made, [ability(item.values) for item in made]


def noisy(values: Sequence[float], seed: int, noise: float = 0.2) -> list[Observation]:
    rng = Random(f"noise/{seed}")
    return [Observation(value + rng.gauss(0, math.sqrt(noise)), noise) for value in values]


def weight(kind: str, seed: int, count: int = 24) -> float:
    made, values = surface(kind, seed, count)
    observed = noisy(values, seed)
    found = AdditiveProcess().predict(SPACE, made, observed, 0.6)
    assert found is not None
    return gate([item.value for item in observed], [item.noise for item in observed], found.alone)


def test_the_gate_opens_on_a_smooth_surface_and_closes_on_one_like_a_hash() -> None:
    smooth, hashed = ([weight(kind, seed) for seed in range(12)] for kind in ("smooth", "hash"))
    assert sum(item > 0.5 for item in smooth) >= 11
    assert sum(item == 0 for item in hashed) >= 9


def test_with_few_candidates_the_gate_stays_closed() -> None:
    assert weight("smooth", 0, 11) == 0


def test_draws_follow_the_prediction_and_move_together_where_points_are_alike() -> None:
    made, values = surface("smooth", 1, 30)
    twin = Point({**made[-1].values, "label.temperature": made[-1].values["label.temperature"]})
    found = AdditiveProcess().predict(SPACE, [*made, twin], noisy(values, 1)[:24], 0.6)
    assert found is not None
    rows = found.draws(Random(0), 400)
    last, again = [row[-2] for row in rows], [row[-1] for row in rows]
    assert max(abs(one - other) for one, other in zip(last, again, strict=True)) < 0.01
    means = [sum(row[place] for row in rows) / len(rows) for place in range(24, 30)]
    assert np.corrcoef(means, values[24:])[0, 1] > 0.8


def test_every_number_is_the_same_whatever_the_number_of_threads(tmp_path: Any) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import json\nfrom random import Random\n"
        "from tests.optimization.surrogates.test_gaussian_process import *\n"
        "made, values = surface('smooth', 3, 120)\n"
        "found = AdditiveProcess().predict(SPACE, made, noisy(values, 3)[:90], 0.6)\n"
        "print(json.dumps([found.alone, found.draws(Random(0), 20)]))\n",
        encoding="utf-8",
    )
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    said: list[Any] = []
    for threads in ("1", "4"):
        env = {**os.environ, **dict.fromkeys(names, threads), "PYTHONPATH": os.pathsep.join(["src", "."])}
        done = subprocess.run([sys.executable, str(script)], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        said.append(json.loads(done.stdout))
    assert said[0] == said[1]
