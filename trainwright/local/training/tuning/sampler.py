"""Bayesian optimization by a Gaussian process, behind Optuna's interface of samplers.

Chosen by measurement (`benchmarks/tuning.py`): expected improvement over a Matérn-5/2 process, running trials
taken as done with the value expected of them, the first trials from a Sobol sequence. It needs numpy and
scipy, where Optuna's own needs torch and draws conditional parameters at random.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState
from scipy import optimize
from scipy.stats import qmc

from trainwright.local.training.tuning.coordinates import Coordinates
from trainwright.local.training.tuning.distributions import distribution_of, inside, outside
from trainwright.local.training.tuning.gaussian_process import GaussianProcess
from trainwright.local.training.tuning.space import Parameter, every

Array = NDArray[np.float64]
_MOST_OBSERVATIONS = 200  # more cost seconds a suggestion
_LARGEST = 1e100  # its square is a number too
_CANDIDATES = 1024
_NEIGHBOURS = 256
_CLIMBERS = 6
# How many suggestions are looked for near the best trial only, and how near. Where a model errs, expected
# improvement leaves a hill that it has not climbed for the corners of the space, of which it knows least.
_NEAR_THE_BEST = 0.5
_NEAR = 0.2
# How many suggestions take the length scales for half of what was fitted: few trials can mislead the fit.
_DOUBTED = 0.4
_MOST_CHOICES = 32  # of a parameter that are all tried for a candidate


class GaussianProcessSampler(optuna.samplers.BaseSampler):
    """Suggests where the expected improvement is largest.

    Args:
        parameters: Of the study; the search space is known before the first trial, conditions included.
        seed: Of the study. The same seed and history give the same suggestion.
    """

    def __init__(self, parameters: Sequence[Parameter], seed: int) -> None:
        self._parameters = parameters
        self._coordinates = Coordinates(parameters)
        self._by_key = {parameter.key: parameter for parameter in every(parameters)}
        self._seed = seed

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Every parameter, also those that are there only at some values of others."""
        return {key: distribution_of(parameter) for key, parameter in self._by_key.items()}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Values of the parameters that are there."""
        others = [other for other in study.get_trials(deepcopy=False) if other.number != trial.number]
        start = first_trials(self._coordinates.count)
        if trial.number < start or not any(other.state == TrialState.COMPLETE for other in others):
            sequence = qmc.Sobol(self._coordinates.count, seed=self._seed)
            uniform = sequence.random(1 << max(trial.number, 1).bit_length())[trial.number]
            position = self._coordinates.spread(uniform[None, :])[0]
        else:
            rng = np.random.default_rng([self._seed, trial.number])
            signs = np.array([1.0 if each.name == "MAXIMIZE" else -1.0 for each in study.directions])
            position = self._best_position(others, signs, rng)
        chosen = self._coordinates.values(position)
        return {key: inside(self._by_key[key], value) for key, value in chosen.items()}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Is never asked: all parameters are in the relative search space."""
        raise KeyError(param_name)

    def _best_position(self, trials: Sequence[FrozenTrial], signs: Array, rng: np.random.Generator) -> Array:
        seen = [trial for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.FAIL)]
        values = _objective(seen, signs, rng)
        kept = _kept(values)
        positions = np.array([self._position(seen[number]) for number in kept])
        process = GaussianProcess(self._coordinates.points(positions), values[kept], self._coordinates.groups)
        if rng.random() < _DOUBTED:
            process.shorten(0.5)
        running = [self._position(trial) for trial in trials if trial.state == TrialState.RUNNING]
        best = process.best()
        if running:
            process.believe(self._coordinates.points(np.array(running)))
        known = np.array([*positions, *running])
        order = np.argsort(-values[kept], kind="stable")
        box = self._box(positions[order[0]]) if rng.random() < _NEAR_THE_BEST else self._whole
        candidates = self._candidates(positions[order[:5]], box, rng)
        improvement = process.log_improvement(self._coordinates.points(candidates), best)
        chosen = candidates[np.argsort(-improvement, kind="stable")[:_CLIMBERS]]
        climbed = [self._climb(process, best, position, box) for position in chosen]
        climbed.sort(key=lambda pair: -pair[0])
        for _, position in climbed:
            if not self._is_known(position, known):
                return position
        fresh = [position for position in candidates if not self._is_known(position, known)]
        return fresh[0] if fresh else candidates[0]

    def _position(self, trial: FrozenTrial) -> Array:
        return self._coordinates.position(
            {key: outside(self._by_key[key], value) for key, value in trial.params.items()}
        )

    @property
    def _whole(self) -> Array:
        """The bounds of positions, for each parameter the lower and the upper one."""
        return np.repeat([[0.0, 1.0]], self._coordinates.count, axis=0)

    def _box(self, position: Array) -> Array:
        """The bounds of positions that are near one; choices are free."""
        box = self._whole
        for number, _ in self._coordinates.continuous:
            box[number] = np.clip(position[number] + np.array([-_NEAR, _NEAR]), 0.0, 1.0)
        return box

    def _candidates(self, best: Array, box: Array, rng: np.random.Generator) -> Array:
        """Positions from everywhere in the box, and from around the best ones."""
        count = self._coordinates.count
        everywhere = box[:, 0] + qmc.Sobol(count, seed=rng).random(_CANDIDATES) * (box[:, 1] - box[:, 0])
        near = np.repeat(best, _NEIGHBOURS // len(best) + 1, axis=0)
        width = rng.choice([0.01, 0.05, 0.2], size=(len(near), 1))
        moved = np.where(
            rng.random(near.shape) < max(0.3, 1.5 / count), rng.normal(0.0, 1.0, near.shape) * width, 0.0
        )
        neighbours = near.copy()
        for number in range(count):
            choices = self._coordinates.choices(number)
            column = near[:, number] + moved[:, number]
            if not len(choices):
                neighbours[:, number] = np.clip(column, *box[number])
            elif choices[-1] > 1.0 or len(choices) <= 2:  # a choice without an order
                other = rng.random(len(near)) < 0.2
                neighbours[:, number] = np.where(other, rng.choice(choices, len(near)), near[:, number])
            else:
                neighbours[:, number] = choices[np.abs(column[:, None] - choices[None, :]).argmin(1)]
        return np.vstack([self._coordinates.spread(everywhere), neighbours])

    def _climb(
        self, process: GaussianProcess, best: float, position: Array, box: Array
    ) -> tuple[float, Array]:
        """The improvement and position at the top of the hill that a position is on."""
        position = position.copy()
        value = -np.inf
        for _ in range(2):
            value, position = self._climb_continuous(process, best, position, box)
            better, position = self._climb_choices(process, best, position)
            if better <= value + 1e-6:
                break
            value = better
        return value, position

    def _climb_continuous(
        self, process: GaussianProcess, best: float, position: Array, box: Array
    ) -> tuple[float, Array]:
        there = self._coordinates.active(position[None, :])[0]
        moving = [(number, column) for number, column in self._coordinates.continuous if there[number]]
        point = self._coordinates.points(position[None, :])[0]
        if not moving:
            return float(process.log_improvement(point[None, :], best)[0]), position
        columns = [column for _, column in moving]

        def loss(at: Array) -> tuple[float, Array]:
            here = point.copy()
            here[columns] = at
            improvement, slope = process.log_improvement_and_slope(here, best)
            return -improvement, -slope[columns]

        found = optimize.minimize(
            loss,
            point[columns],
            jac=True,
            method="L-BFGS-B",
            bounds=[tuple(box[number]) for number, _ in moving],
            options={"maxiter": 60},
        )
        result = position.copy()
        result[[number for number, _ in moving]] = found.x
        return -float(found.fun), result

    def _climb_choices(self, process: GaussianProcess, best: float, position: Array) -> tuple[float, Array]:
        value = float(process.log_improvement(self._coordinates.points(position[None, :]), best)[0])
        for number in range(self._coordinates.count):
            choices = self._coordinates.choices(number)
            if not len(choices) or not self._coordinates.active(position[None, :])[0][number]:
                continue
            if len(choices) > _MOST_CHOICES:  # its neighbours
                near = int(np.abs(choices - position[number]).argmin())
                choices = choices[max(0, near - _MOST_CHOICES // 2) : near + _MOST_CHOICES // 2]
            tried = np.repeat(position[None, :], len(choices), axis=0)
            tried[:, number] = choices
            improvement = process.log_improvement(self._coordinates.points(tried), best)
            top = int(improvement.argmax())
            if improvement[top] > value:
                value, position = float(improvement[top]), tried[top]
        return value, position

    def _is_known(self, position: Array, known: Array) -> bool:
        points = self._coordinates.points(np.vstack([position[None, :], known]))
        return bool((np.abs(points[1:] - points[0]).max(1) < 1e-6).any())


def first_trials(count: int) -> int:
    """How many trials come from a Sobol sequence before the process is asked, for so many parameters."""
    return min(max(6, count + 1), 12)


def _objective(trials: Sequence[FrozenTrial], signs: Array, rng: np.random.Generator) -> Array:
    """One number per trial, larger is better; infeasible ones are as bad as the worst.

    Several objectives are put together by weights that differ from suggestion to suggestion (Knowles,
    "ParEGO", IEEE Transactions on Evolutionary Computation 10(1), 2006).
    """
    table = np.array(
        [signs * trial.values if trial.values else np.full(len(signs), np.nan) for trial in trials]
    )
    table = np.clip(np.where(np.isnan(table), np.nanmin(table, axis=0), table), -_LARGEST, _LARGEST)
    if table.shape[1] == 1:
        return _tamed(table[:, 0])
    low, high = table.min(0), table.max(0)
    scaled = (table - low) / np.where(high > low, high - low, 1.0)
    weighted = rng.dirichlet(np.ones(len(signs))) * (1.0 - scaled)
    return -(weighted.max(1) + 0.05 * weighted.sum(1))


def _tamed(values: Array) -> Array:
    """Values far below the rest are drawn closer, so that the process need not follow them.

    What is more than twice the distance from median to best below the median counts by its logarithm.
    """
    median, best = float(np.median(values)), float(values.max())
    if best <= median:
        return values
    unit = 2.0 * (best - median)
    excess = np.maximum((median - values) / unit - 1.0, 0.0)
    return np.where(excess > 0, median - unit * (1.0 + np.log1p(excess)), values)


def _kept(values: Array) -> NDArray[np.int_]:
    """Which observations the process sees: all, or the best third and the newest when there are many."""
    if len(values) <= _MOST_OBSERVATIONS:
        return np.arange(len(values))
    best = np.argsort(-values, kind="stable")[: _MOST_OBSERVATIONS // 3]
    newest = [n for n in range(len(values) - 1, -1, -1) if n not in set(best.tolist())]
    return np.sort(np.concatenate([best, newest[: _MOST_OBSERVATIONS - len(best)]]))
