"""`Surrogate`: an additive Gaussian process over typed variables, texts by lineage and features, and demonstrations."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from random import Random
from typing import TYPE_CHECKING

from dspex.errors import ConfigurationError
from dspex.kernel.space import Space
from dspex.optimization.surrogates.ports import Observation, Point, Prediction

if TYPE_CHECKING:
    from dspex.optimization.surrogates.gaussian_process import Posterior


class AdditiveProcess:
    """The Gaussian process. Raises ConfigurationError where scikit-learn is absent."""

    def __init__(self) -> None:
        if find_spec("sklearn") is None or find_spec("numpy") is None:
            raise ConfigurationError(
                "the surrogate of 'beacon' needs scikit-learn, which is not installed: pip install 'dspex[optimize]'"
            )

    def predict(
        self, space: Space, points: Sequence[Point], observed: Sequence[Observation], spread: float
    ) -> Prediction | None:
        from dspex.optimization.surrogates.blocks import blocks_of  # noqa: PLC0415 - numpy is of an extra
        from dspex.optimization.surrogates.gaussian_process import fitted  # noqa: PLC0415 - as is scikit-learn

        blocks = blocks_of(space, points)
        if not blocks:
            return None
        values, noise = [item.value for item in observed], [item.noise for item in observed]
        return _Predicted(fitted(blocks, values, noise, spread))


class _Predicted:
    def __init__(self, posterior: Posterior) -> None:
        self._posterior = posterior

    @property
    def alone(self) -> tuple[Sequence[float], Sequence[float]]:
        mean, variance = self._posterior.alone
        return mean.tolist(), variance.tolist()

    def draws(self, rng: Random, count: int) -> list[list[float]]:
        from dspex.optimization.surrogates.gaussian_process import drawn  # noqa: PLC0415 - numpy is of an extra

        size = len(self._posterior.mean)
        return drawn(self._posterior, [[rng.gauss(0, 1) for _ in range(size)] for _ in range(count)])
