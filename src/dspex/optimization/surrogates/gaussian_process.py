"""An additive Gaussian process on abilities: one kernel for each block, noise for each candidate (scikit-learn's fit).

Numbers are rounded before anything is decided on them, and the linear algebra runs on one thread, so that a decision
does not depend on how many threads the machine has.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from dspex.optimization.surrogates.blocks import Array, Block

DIGITS = 6
ITERATIONS = 40
SPREAD = 1.5
"""Standard deviation of the prior of a log variance."""
_SHAPES = {"decay": math.log(0.7), "bell": math.log(0.7), "matern": math.log(0.5)}
"""The logarithm of -ln(rho), or of a length scale, before anything is known."""
_ROOT5 = math.sqrt(5)


class Additive:
    """The sum of a kernel for each block, as scikit-learn wants it: points are their numbers.

    `theta`: log variance of each block, then the log shape of each that has one.
    """

    requires_vector_input = True

    def __init__(self, blocks: Sequence[Block], theta: Array) -> None:
        self.blocks, self.theta = list(blocks), theta
        self.shaped = [index for index, block in enumerate(self.blocks) if block.form in _SHAPES]

    @property
    def n_dims(self) -> int:
        return len(self.theta)

    def __sklearn_clone__(self) -> Additive:
        return Additive(self.blocks, self.theta.copy())

    def clone_with_theta(self, theta: Array) -> Additive:
        """The same with other parameters."""
        return Additive(self.blocks, np.asarray(theta, dtype=np.float64))

    def diag(self, X: Array) -> Array:  # noqa: N803 - scikit-learn's name
        """The variance of each point."""
        return np.full(len(X), float(np.exp(self.theta[: len(self.blocks)]).sum()))

    def __call__(self, X: Array, Y: Array | None = None, eval_gradient: bool = False) -> Any:  # noqa: N803
        rows = X[:, 0].astype(int)
        columns = rows if Y is None else Y[:, 0].astype(int)
        total = np.zeros((len(rows), len(columns)))
        slopes: list[Array] = []
        bends: list[Array] = []
        for index, block in enumerate(self.blocks):
            shape = self.theta[len(self.blocks) + self.shaped.index(index)] if index in self.shaped else 0.0
            part, bend = _correlation(block, block.distance[np.ix_(rows, columns)], float(shape))
            variance = math.exp(self.theta[index])
            total += variance * part
            if eval_gradient:
                slopes.append(variance * part)
                if index in self.shaped:
                    bends.append(variance * bend)
        if eval_gradient:
            return total, np.stack([*slopes, *bends], axis=2)
        return total


def _correlation(block: Block, distance: Array, shape: float) -> tuple[Array, Array]:
    """The correlation at these distances, and its slope in the log shape."""
    if block.form == "same":
        found = (distance == 0).astype(np.float64)
        return found, found
    near = np.where(np.isinf(distance), 0.0, distance)
    related = np.isfinite(distance)
    scaled = near * math.exp(shape) if block.form == "decay" else near / math.exp(shape)
    if block.form == "decay":
        found = np.exp(-scaled)
        slope = -scaled * found
    elif block.form == "bell":
        found = np.exp(-0.5 * scaled**2)
        slope = found * scaled**2
    else:
        away = _ROOT5 * scaled
        found = (1 + away + away**2 / 3) * np.exp(-away)
        slope = away**2 / 3 * (1 + away) * np.exp(-away)
    return np.where(related, found, 0.0), np.where(related, slope, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """What the process says of all points together, and of each observed one by the others."""

    mean: Array
    covariance: Array
    alone: tuple[Array, Array]
    """Leave-one-out mean and variance of each observation, its noise included."""


def fitted(blocks: Sequence[Block], observed: Sequence[float], noise: Sequence[float], spread: float) -> Posterior:
    """The posterior of all points of `blocks`, of which the first ones were observed with these noise variances.

    Parameters are the mode under a prior that shares the variance `spread`^2 equally among the blocks.
    """
    sklearn = importlib.import_module("sklearn")
    process = importlib.import_module("sklearn.gaussian_process").GaussianProcessRegressor
    weights = 1 / (np.asarray(noise) + spread**2)
    centre = float((weights * observed).sum() / weights.sum())
    start = np.array(
        [math.log(spread**2 / len(blocks))] * len(blocks) + [_SHAPES[b.form] for b in blocks if b.form in _SHAPES]
    )
    loose = np.array([SPREAD] * len(blocks) + [0.7] * (len(start) - len(blocks)))
    known = np.arange(len(observed), dtype=np.float64)[:, None]
    everything = np.arange(len(blocks[0].distance), dtype=np.float64)[:, None]
    # The kernel is no subclass of scikit-learn's, which has no types: it is not to be checked for being one.
    with _threads().limit(limits=1), sklearn.config_context(skip_parameter_validation=True):
        target = np.asarray(observed) - centre
        alpha = np.asarray(noise) + 1e-6
        first = process(Additive(blocks, start), alpha=alpha, optimizer=None).fit(known, target)
        theta = np.round(_mode(first.log_marginal_likelihood, start, loose), 3)
        model = process(Additive(blocks, theta), alpha=alpha, optimizer=None).fit(known, target)
        means: tuple[Array, Array] = model.predict(everything, return_cov=True)
        root: Array = model.L_
        inverse: Array = np.asarray(np.linalg.inv(root @ root.T), dtype=np.float64)
    variance = 1 / np.diag(inverse)
    alone = np.asarray(observed) - np.ravel(model.alpha_) * variance
    return Posterior(
        np.round(np.ravel(means[0]) + centre, DIGITS),
        np.round(means[1], DIGITS),
        (np.round(alone, DIGITS), np.round(variance, DIGITS)),
    )


def drawn(posterior: Posterior, normals: Sequence[Sequence[float]]) -> list[list[float]]:
    """Joint draws of all points, one for each row of standard normals."""
    size = len(posterior.mean)
    with _threads().limit(limits=1):
        # Rounding may have made it a little indefinite.
        values, vectors = np.linalg.eigh(posterior.covariance + 1e-9 * np.eye(size))
        root = vectors * np.sqrt(np.clip(values, 0, None))
        # A root that does not depend on the signs and the order of the vectors: the symmetric one.
        found: list[list[float]] = np.round(posterior.mean + np.asarray(normals) @ (root @ vectors.T), 4).tolist()
    return found


@cache
def _threads() -> Any:
    """What sets the number of threads of linear algebra. To find its libraries takes longer than a small fit."""
    return importlib.import_module("threadpoolctl").ThreadpoolController()


def _mode(likelihood: Any, start: Array, loose: Array) -> Array:
    """The parameters under which likelihood and prior together are highest."""
    minimize = importlib.import_module("scipy.optimize").minimize

    def penalized(theta: Array) -> tuple[float, Array]:
        value, slope = likelihood(theta, eval_gradient=True, clone_kernel=False)
        away = (theta - start) / loose
        return float(0.5 * (away**2).sum() - value), away / loose - slope

    bounds = [(at - 5 * width, at + 5 * width) for at, width in zip(start, loose, strict=True)]
    found = minimize(penalized, start, jac=True, bounds=bounds, method="L-BFGS-B", options={"maxiter": ITERATIONS})
    return np.asarray(found.x, dtype=np.float64)
