"""Trials as points of the unit cube, which is what a Gaussian process sees.

A parameter of numbers is one coordinate, by its scale; a CATEGORICAL is one-hot; a conditional one has a
further coordinate that says whether it is there, and stands in the middle where it is not.
"""

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainwright.local.training.tuning.space import Parameter, Value, every

Array = NDArray[np.float64]
_LARGEST_GRID = 1000
_EPSILON = 1e-10  # values of a DISCRETE are no closer


@dataclass(frozen=True)
class _Node:
    """A parameter's place.

    Attributes:
        parameter: It.
        column: Its first coordinate.
        width: How many it has, its activity not counted.
        flag: The coordinate of its activity, or -1.
        parent: Number of the node that it depends on, or -1.
        grid: The positions that it can have; None where they are as good as continuous.
    """

    parameter: Parameter
    column: int
    width: int
    flag: int
    parent: int
    grid: Array | None


class Coordinates:
    """The unit cube of some parameters.

    A *position* is a number per parameter, whether it is there or not: the number of the choice for a
    CATEGORICAL, else between 0 and 1. A *point* is what the Gaussian process sees of it.

    Args:
        parameters: Of the study.
    """

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self._nodes: list[_Node] = []
        self.groups: list[int] = []
        numbers: dict[str, int] = {}
        for parameter in every(parameters):
            numbers[parameter.key] = number = len(self._nodes)
            column = len(self.groups)
            width = _width(parameter)
            self.groups += [self.groups[-1] + 1 if self.groups else 0] * width
            flag = -1
            if parameter.parent_values:
                flag = len(self.groups)
                self.groups.append(self.groups[-1] + 1)
            parent = numbers[parameter.key.rpartition(".")[0]] if parameter.parent_values else -1
            self._nodes.append(_Node(parameter, column, width, flag, parent, _grid(parameter)))
            assert number == len(self._nodes) - 1

    @property
    def count(self) -> int:
        """How many parameters there are."""
        return len(self._nodes)

    @property
    def continuous(self) -> list[tuple[int, int]]:
        """Number and coordinate of the parameters that are as good as continuous."""
        return [
            (number, node.column)
            for number, node in enumerate(self._nodes)
            if node.parameter.kind != "CATEGORICAL" and node.grid is None
        ]

    def choices(self, number: int) -> Array:
        """The positions that a parameter can have; none for one that is as good as continuous."""
        node = self._nodes[number]
        if node.parameter.kind == "CATEGORICAL":
            return np.arange(len(node.parameter.values), dtype=np.float64)
        return np.array([]) if node.grid is None else node.grid

    def spread(self, uniform: Array) -> Array:
        """Positions from numbers between 0 and 1, one column per parameter."""
        positions = uniform.copy()
        for number, node in enumerate(self._nodes):
            choices = self.choices(number)
            if len(choices):
                index = np.minimum((uniform[:, number] * len(choices)).astype(int), len(choices) - 1)
                if node.parameter.kind != "CATEGORICAL":  # by scale, not by rank
                    index = np.abs(uniform[:, number][:, None] - choices[None, :]).argmin(1)
                positions[:, number] = choices[index]
        return positions

    def active(self, positions: Array) -> NDArray[np.bool_]:
        """Which parameters are there, one column per parameter."""
        there = np.ones(positions.shape, dtype=bool)
        for number, node in enumerate(self._nodes):
            if node.parent >= 0:
                parent = self._nodes[node.parent]
                wanted = np.array([_position(parent.parameter, at) for at in node.parameter.parent_values])
                found = positions[:, node.parent]
                if parent.grid is None and parent.parameter.kind != "CATEGORICAL":
                    found = np.array(
                        [_position(parent.parameter, _value(parent.parameter, each)) for each in found]
                    )
                matches = (np.abs(found[:, None] - wanted[None, :]) < 1e-9).any(1)
                there[:, number] = there[:, node.parent] & matches
        return there

    def points(self, positions: Array) -> Array:
        """The points of positions, one row each."""
        there = self.active(positions)
        points = np.zeros((len(positions), len(self.groups)))
        for number, node in enumerate(self._nodes):
            active, found = there[:, number], positions[:, number]
            if node.parameter.kind != "CATEGORICAL" or node.width == 1:
                points[:, node.column] = np.where(active, found, 0.5)
            else:
                rows = np.flatnonzero(active)
                points[rows, node.column + found[rows].astype(int)] = 1.0
            if node.flag >= 0:
                points[:, node.flag] = active
        return points

    def position(self, values: Mapping[str, Value]) -> Array:
        """The position of a trial, by the keys of its parameters."""
        return np.array(
            [
                _position(node.parameter, values[node.parameter.key])
                if node.parameter.key in values
                else (0.0 if node.parameter.kind == "CATEGORICAL" else 0.5)
                for node in self._nodes
            ]
        )

    def values(self, position: Array) -> dict[str, Value]:
        """The values of the parameters that are there, by their keys."""
        there = self.active(position[None, :])[0]
        return {
            node.parameter.key: _value(node.parameter, float(position[number]))
            for number, node in enumerate(self._nodes)
            if there[number]
        }


def _width(parameter: Parameter) -> int:
    if parameter.kind != "CATEGORICAL" or len(parameter.values) <= 2:
        return 1
    return len(parameter.values)


def _grid(parameter: Parameter) -> Array | None:
    if parameter.kind == "DISCRETE":
        return np.array([_position(parameter, value) for value in parameter.values])
    if parameter.kind == "INTEGER" and parameter.high - parameter.low < _LARGEST_GRID:
        return np.array([_position(parameter, v) for v in range(int(parameter.low), int(parameter.high) + 1)])
    return None


def _bounds(parameter: Parameter) -> tuple[float, float]:
    """Those of the cube: of a whole number with half a step around it."""
    half = 0.5 if parameter.kind == "INTEGER" else 0.0
    return parameter.low - half, parameter.high + half


def _position(parameter: Parameter, value: Value) -> float:
    if parameter.kind == "CATEGORICAL":
        return float(parameter.values.index(value))
    if parameter.kind == "DISCRETE" and not parameter.scale:  # evenly, as nothing says how they are spaced
        rank = bisect.bisect_left(parameter.values, float(value) - _EPSILON, key=float)
        return (rank + 0.5) / len(parameter.values)
    low, high = _bounds(parameter)
    if high <= low:
        return 0.5
    number = float(value)
    if parameter.scale == "REVERSE_LOG":
        return 1.0 - float(np.log((low + high - number) / low) / np.log(high / low))
    if parameter.scale == "LOG":
        return float(np.log(number / low) / np.log(high / low))
    return (number - low) / (high - low)


def _value(parameter: Parameter, position: float) -> Value:
    if parameter.kind == "CATEGORICAL":
        return parameter.values[int(position)]
    if parameter.kind == "DISCRETE":
        if not parameter.scale:
            return parameter.values[min(int(position * len(parameter.values)), len(parameter.values) - 1)]
        return min(parameter.values, key=lambda value: abs(_position(parameter, value) - position))
    low, high = _bounds(parameter)
    if parameter.scale == "REVERSE_LOG":
        number = low + high - low * (high / low) ** (1.0 - position)
    elif parameter.scale == "LOG":
        number = low * (high / low) ** position
    else:
        number = low + position * (high - low)
    number = min(max(number, parameter.low), parameter.high)
    if parameter.kind == "INTEGER":
        return int(min(max(round(number), parameter.low), parameter.high))
    return float(number)
