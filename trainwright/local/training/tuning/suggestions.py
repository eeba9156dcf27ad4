"""What a study tries next, from its trials so far: Optuna's samplers, our own, or a walk over the grid."""

import importlib.util
import itertools
import warnings
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState, create_trial
from threadpoolctl import threadpool_limits

from trainwright.local.training.tuning.distributions import distribution_of, inside, outside
from trainwright.local.training.tuning.sampler import GaussianProcessSampler
from trainwright.local.training.tuning.space import Parameter, Value, active, every
from trainwright.local.training.tuning.study import GRID, RANDOM, Study
from trainwright.local.training.tuning.trials import INFEASIBLE, SUCCEEDED, Trial

optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def suggest(study: Study, trials: Sequence[Trial], name: str) -> dict[str, Value] | None:
    """The parameters of the next trial; None when a grid has been walked through.

    The same arguments give the same parameters. Trials that still run are taken into account.

    Args:
        study: What is asked for.
        trials: All trials so far, in the order in which they were suggested.
        name: Of the study: two studies begin at different places.
    """
    if study.algorithm == GRID:
        return next(itertools.islice(grid(study.parameters), len(trials), None), None)
    frame = optuna.create_study(
        directions=["maximize" if metric.maximize else "minimize" for metric in study.metrics],
        sampler=_sampler(study, zlib.crc32(name.encode()), len(trials)),
    )
    frame.add_trials(_frozen(study, trial) for trial in trials)
    # Matrices are small and trials use the processors: BLAS with more threads took seven times as long.
    with threadpool_limits(1):
        asked = frame.ask()
        chosen: dict[str, Value] = {}
        for parameter in active(study.parameters, chosen):
            chosen[parameter.id] = _drawn(asked, parameter)
    return chosen


def grid(parameters: Sequence[Parameter]) -> Iterator[dict[str, Value]]:
    """Every combination of values, the last parameter's changing first; none is a DOUBLE."""
    if not parameters:
        yield {}
        return
    first, rest = parameters[0], parameters[1:]
    for value in _grid_values(first):
        for below in grid(tuple(first.active(value))):
            for others in grid(rest):
                yield {first.id: value, **below, **others}


def _grid_values(parameter: Parameter) -> Sequence[Value]:
    if parameter.kind == "INTEGER":
        return range(int(parameter.low), int(parameter.high) + 1)
    return parameter.values


def _sampler(study: Study, seed: int, number: int) -> optuna.samplers.BaseSampler:
    """The sampler for the trial of a number; one that is made anew each time must not repeat itself."""
    if study.algorithm == RANDOM:
        return optuna.samplers.RandomSampler(seed=seed + number)
    conditional = any(parameter.parent_values for parameter in every(study.parameters))
    # Optuna's own draws conditional parameters at random.
    if not conditional and importlib.util.find_spec("torch") is not None:
        return optuna.samplers.GPSampler(seed=seed + number)
    return GaussianProcessSampler(study.parameters, seed)


def _frozen(study: Study, trial: Trial) -> optuna.trial.FrozenTrial:
    """A trial as Optuna knows it."""
    nodes = {node.key: node for node in active(study.parameters, trial.parameters)}
    return create_trial(
        state={SUCCEEDED: TrialState.COMPLETE, INFEASIBLE: TrialState.FAIL}.get(
            trial.state, TrialState.RUNNING
        ),
        params={key: inside(node, trial.parameters[node.id]) for key, node in nodes.items()},
        distributions={key: distribution_of(node) for key, node in nodes.items()},
        values=[trial.final.metrics[metric.id] for metric in study.metrics] if trial.final else None,
    )


def _drawn(asked: optuna.Trial, parameter: Parameter) -> Value:
    distribution: Any = distribution_of(parameter)
    if isinstance(distribution, CategoricalDistribution):
        return outside(parameter, asked.suggest_categorical(parameter.key, distribution.choices))
    draw = asked.suggest_int if parameter.kind in ("INTEGER", "DISCRETE") else asked.suggest_float
    return outside(parameter, draw(parameter.key, distribution.low, distribution.high, log=distribution.log))
