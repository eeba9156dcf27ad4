"""A Gaussian process over the unit cube, with the expected improvement that it promises, and its gradient.

Matérn-5/2 kernel with a length scale per group of coordinates, maximum a posteriori (Rasmussen and Williams,
"Gaussian Processes for Machine Learning", 2006, chapters 2, 4 and 5). The prior of the length scales grows
with the dimension (Hvarfner, Hellsten and Nardi, "Vanilla Bayesian Optimization Performs Great in High
Dimensions", ICML 2024, https://arxiv.org/abs/2402.02229); the logarithm of the expected improvement follows
Ament et al., "Unexpected Improvements to Expected Improvement", NeurIPS 2023,
https://arxiv.org/abs/2310.20708.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg, optimize, special

Array = NDArray[np.float64]
_JITTER = 1e-8
# Log-normal priors as (mean, variance) of the logarithm, chosen on Branin and Hartmann-6: of a length scale
# in one dimension, of the noise. That of the amplitude is (0, 1).
_SCALE_PRIOR = (-1.5, 0.6)
_NOISE_PRIOR = (-9.0, 1.0)
_LOG_2PI = math.log(2 * math.pi)


class GaussianProcess:
    """A posterior, given observations.

    Args:
        points: One row per observation, coordinates from 0 to 1.
        values: One per row; they are standardized here.
        groups: For each coordinate the number of its length scale; its own when absent.
    """

    def __init__(self, points: ArrayLike, values: ArrayLike, groups: Sequence[int] | None = None) -> None:
        self._points: Array = np.asarray(points, dtype=np.float64)
        observed: Array = np.asarray(values, dtype=np.float64)
        self._mean = float(observed.mean())
        self._deviation = float(observed.std()) or 1.0
        self._values = (observed - self._mean) / self._deviation
        self._groups = np.asarray(groups if groups is not None else range(self._points.shape[1]), dtype=int)
        self._squares = (self._points[:, None, :] - self._points[None, :, :]) ** 2
        self._fit()
        self._condition()

    def _fit(self) -> None:
        count = int(self._groups.max()) + 1
        center = _SCALE_PRIOR[0] + 0.5 * math.log(count)
        best, starts = None, (center, center - 1.0)
        for start in starts:
            begin = np.concatenate([np.full(count, start), [0.0, _NOISE_PRIOR[0]]])
            bounds = [(-4.0, 6.0)] * count + [(-3.0, 4.0), (-14.0, 0.0)]
            found = optimize.minimize(
                self._loss,
                begin,
                args=(center,),
                jac=True,
                method="L-BFGS-B",
                bounds=bounds,
                options={"maxiter": 100},
            )
            if best is None or found.fun < best.fun:
                best = found
        assert best is not None
        self._scales: Array = np.exp(best.x[:count])[self._groups]
        self._amplitude = math.exp(best.x[-2])
        self._noise = math.exp(best.x[-1]) + _JITTER

    def _loss(self, logs: Array, center: float) -> tuple[float, Array]:
        """Minus the log posterior of the logarithms of scales, amplitude and noise; with its gradient."""
        count = len(logs) - 2
        scales = np.exp(logs[:count])
        weights = (scales**-2)[self._groups]
        distances = np.sqrt(self._squares @ weights)
        root = math.sqrt(5.0) * distances
        decay = np.exp(-root)
        kernel = math.exp(logs[-2]) * (1 + root + root**2 / 3) * decay
        noise = math.exp(logs[-1])
        size = len(self._values)
        try:
            factor = linalg.cho_factor(kernel + (noise + _JITTER) * np.eye(size), lower=True)
        except linalg.LinAlgError:
            return 1e10, np.zeros_like(logs)
        solved = linalg.cho_solve(factor, self._values)
        inverse = linalg.cho_solve(factor, np.eye(size))
        loss = 0.5 * self._values @ solved + np.log(np.diag(factor[0])).sum() + 0.5 * size * _LOG_2PI
        outer = inverse - np.outer(solved, solved)  # d loss / d K, twice
        slopes = outer * (math.exp(logs[-2]) * (5.0 / 3.0) * (1 + root) * decay)
        per_coordinate = 0.5 * np.einsum("ij,ijd->d", slopes, self._squares) * weights
        gradient = np.zeros_like(logs)
        np.add.at(gradient, self._groups, per_coordinate)
        gradient[-2] = 0.5 * float((outer * kernel).sum())
        gradient[-1] = 0.5 * noise * float(np.trace(outer))
        spread = _SCALE_PRIOR[1]
        loss += float((((logs[:count] - center) ** 2) / (2 * spread)).sum())
        gradient[:count] += (logs[:count] - center) / spread
        loss += (logs[-2]) ** 2 / 2.0 + (logs[-1] - _NOISE_PRIOR[0]) ** 2 / (2 * _NOISE_PRIOR[1])
        gradient[-2] += logs[-2]
        gradient[-1] += (logs[-1] - _NOISE_PRIOR[0]) / _NOISE_PRIOR[1]
        return float(loss), gradient

    def _condition(self) -> None:
        kernel = self._kernel(self._points)
        self._factor = linalg.cho_factor(kernel + self._noise * np.eye(len(self._values)), lower=True)
        self._solved = linalg.cho_solve(self._factor, self._values)

    def _kernel(self, points: Array) -> Array:
        scaled, others = points / self._scales, self._points / self._scales
        squares = (scaled**2).sum(1)[:, None] + (others**2).sum(1)[None, :] - 2 * scaled @ others.T
        root = np.sqrt(5.0 * np.maximum(squares, 0.0))
        return self._amplitude * (1 + root + root**2 / 3) * np.exp(-root)

    def shorten(self, factor: float) -> None:
        """Multiplies the length scales: below 1, the process is less sure of what it has not observed."""
        self._scales = self._scales * factor
        self._condition()

    def believe(self, points: Array) -> None:
        """Takes each of `points` as observed, with the mean expected there (kriging believer)."""
        for point in points:
            mean, _ = self._predict(point[None, :])
            self._points = np.vstack([self._points, point])
            self._values = np.append(self._values, mean)
            self._condition()

    def predict(self, points: ArrayLike) -> tuple[Array, Array]:
        """Means and standard deviations of the function, without noise, in the units of the observations."""
        mean, deviation = self._predict(np.atleast_2d(np.asarray(points, dtype=np.float64)))
        return self._mean + self._deviation * mean, self._deviation * deviation

    def _predict(self, points: Array) -> tuple[Array, Array]:
        kernel = self._kernel(points)
        halves = linalg.solve_triangular(self._factor[0], kernel.T, lower=True)
        variance = np.maximum(self._amplitude - (halves**2).sum(0), 1e-12)
        return kernel @ self._solved, np.sqrt(variance)

    def best(self) -> float:
        """The largest mean expected at an observed point, in standardized units."""
        return float(self._predict(self._points)[0].max())

    def log_improvement(self, points: Array, best: float) -> Array:
        """The logarithm of the expected improvement over `best`, in standardized units."""
        mean, deviation = self._predict(points)
        return _log_h((mean - best) / deviation) + np.log(deviation)

    def log_improvement_and_slope(self, point: Array, best: float) -> tuple[float, Array]:
        """The same at one point, with its gradient."""
        kernel = self._kernel(point[None, :])[0]
        mean = float(kernel @ self._solved)
        inverse = linalg.cho_solve(self._factor, kernel)
        variance = max(self._amplitude - float(kernel @ inverse), 1e-12)
        deviation = math.sqrt(variance)
        apart = (point - self._points) / self._scales
        root = np.sqrt(5.0 * (apart**2).sum(1))
        slopes = (-self._amplitude * (5.0 / 3.0) * (1 + root) * np.exp(-root))[:, None] * apart / self._scales
        mean_slope = slopes.T @ self._solved
        deviation_slope = -(slopes.T @ inverse) / deviation
        z = (mean - best) / deviation
        log_h = float(_log_h(np.array([z]))[0])
        rate = math.exp(min(float(special.log_ndtr(z)) - log_h, 700.0))
        gradient = rate * (mean_slope - z * deviation_slope) / deviation + deviation_slope / deviation
        return log_h + math.log(deviation), gradient


def _log_h(z: Array) -> Array:
    """log(φ(z) + z Φ(z)), also where both are tiny."""
    result = np.empty_like(z)
    near = z > -1.0
    result[near] = np.log(
        np.exp(-0.5 * z[near] ** 2) / math.sqrt(2 * math.pi) + z[near] * special.ndtr(z[near])
    )
    far = z[~near]
    # φ(z) (1 - |z| Φ(z)/φ(z)), with Mills' ratio from the scaled complementary error function.
    ratio = np.abs(far) * math.sqrt(math.pi / 2) * special.erfcx(np.abs(far) / math.sqrt(2))
    rest = np.where(far > -1e3, 1.0 - ratio, far**-2)
    result[~near] = -0.5 * far**2 - 0.5 * _LOG_2PI + np.log(np.maximum(rest, 1e-300))
    return result
