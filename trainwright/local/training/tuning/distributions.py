"""Parameters as Optuna's distributions, and values on both sides.

Optuna knows no reverse logarithmic scale and no unevenly spaced numbers: the first is a logarithmic one
upside down, the second stand as their ranks.
"""

import bisect

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from trainwright.local.training.tuning.space import Parameter, Value


def distribution_of(parameter: Parameter) -> BaseDistribution:
    """What Optuna draws a parameter from."""
    log = parameter.scale.endswith("LOG")
    if parameter.kind == "CATEGORICAL":
        return CategoricalDistribution(parameter.values)
    if parameter.kind == "DISCRETE":
        return IntDistribution(0, len(parameter.values) - 1)
    if parameter.kind == "INTEGER":
        return IntDistribution(int(parameter.low), int(parameter.high), log=log)
    return FloatDistribution(parameter.low, parameter.high, log=log)


def inside(parameter: Parameter, value: Value) -> Value:
    """Optuna's value for a parameter's."""
    if isinstance(value, str):
        return value
    if parameter.kind == "DISCRETE":
        return min(bisect.bisect_left(parameter.values, value - 1e-10, key=float), len(parameter.values) - 1)
    return _mirrored(parameter, value) if parameter.scale == "REVERSE_LOG" else value


def outside(parameter: Parameter, value: Value) -> Value:
    """A parameter's value for Optuna's."""
    if isinstance(value, str):
        return value
    if parameter.kind == "DISCRETE":
        return parameter.values[int(value)]
    return _mirrored(parameter, value) if parameter.scale == "REVERSE_LOG" else value


def _mirrored(parameter: Parameter, value: int | float) -> int | float:
    if parameter.kind == "INTEGER":
        return int(parameter.low) + int(parameter.high) - int(value)
    return min(max(parameter.low + parameter.high - value, parameter.low), parameter.high)
